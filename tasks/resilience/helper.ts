/** The helper container: the one that may enter other containers' namespaces on the engine's machine. */
import { randomBytes } from 'node:crypto'
import { DevstackError, labels, type Project, type Runtime } from '../../lib/index.ts'

/** Image of the helper. */
export const helperImage = 'devstack-faults'

/** Containers of this project are helpers; not the stack's own project, whose tasks would take them for services. */
export function helperProject(project: string): string {
  return `${project}-faults`
}

/** Runs scripts on the engine's machine, inside the namespaces of a container. Started when first needed. */
export class Helper {
  readonly #runtime: Runtime
  readonly #project: string
  #started: Promise<string> | undefined

  constructor(runtime: Runtime, project: Pick<Project, 'name'>) {
    this.#runtime = runtime
    this.#project = helperProject(project.name)
  }

  /** Starts it, so that a later injection does not wait for it. Idempotent. */
  start(signal: AbortSignal): Promise<string> {
    this.#started ??= this.#make(signal).catch((thrown: unknown) => {
      this.#started = undefined
      throw thrown
    })
    return this.#started
  }

  async #make(signal: AbortSignal): Promise<string> {
    const { id } = await this.#runtime.create(
      {
        name: `${this.#project}-${randomBytes(3).toString('hex')}`,
        project: this.#project,
        service: 'faults',
        image: helperImage,
        command: ['sleep', 'infinity'],
        environment: {},
        labels: {},
        ports: [],
        // where the machine's control groups are, to lower the memory limit of one container
        mounts: [{ type: 'bind', source: '/sys/fs/cgroup', target: '/sys/fs/cgroup', readOnly: false }],
        networks: [],
        networkMode: 'none',
        restart: { name: 'no' },
        // what entering namespaces, filtering packets and mounting take; not everything, which some machines forbid
        capAdd: ['SYS_ADMIN', 'NET_ADMIN', 'SYS_PTRACE'],
        securityOpt: ['apparmor=unconfined', 'seccomp=unconfined'],
        pid: 'host',
        init: true,
        stopGraceMs: 0,
      },
      { signal },
    )
    await this.#runtime.start(id, { signal })
    return id
  }

  /**
   * Runs a shell script with `$pid`, the main process of the container on the engine's machine, and the given words as
   * `$1` and so on. Gives what it prints. Throws FAULT_REFUSED with what it complains about when it ends with an error.
   */
  async run(container: string, script: string, words: readonly string[], signal: AbortSignal): Promise<string> {
    const details = await this.#runtime.inspect(container, { signal })
    if (!details || details.pid === 0) {
      throw new DevstackError({
        kind: 'runtime',
        code: 'FAULT_NO_PROCESS',
        message: `${details?.name ?? container} does not run, so nothing can be injected into it.`,
      })
    }
    const helper = await this.start(signal)
    const answer = await this.#runtime.exec(helper, {
      command: ['sh', '-euc', script, 'fault', ...words],
      environment: { pid: String(details.pid) },
      signal,
    })
    if (answer.exitCode === 0) return answer.stdout.trim()
    const said = (answer.stderr || answer.stdout).trim()
    throw new DevstackError({
      kind: 'runtime',
      code: 'FAULT_REFUSED',
      message: `The fault could not be injected into ${details.name}: ${said || `exit code ${answer.exitCode}`}`,
    })
  }

  /** Removes the helpers of this project, also those a killed process left. */
  async remove(signal: AbortSignal): Promise<void> {
    await this.#started?.catch(() => undefined)
    this.#started = undefined
    const left = await this.#runtime.containers({ [labels.project]: this.#project }, { signal })
    await Promise.all(left.map(({ id }) => this.#runtime.remove(id, { signal })))
  }
}
