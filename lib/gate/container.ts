/** Asks the engine for a container's state, and a container's own healthcheck for its health. */
import { type ContainerDetails, labels, type ServiceHandle } from '../runtime/runtime.ts'
import { formatCommand, lastLine } from './exec.ts'
import type { Answer, ContainerGate, GateOptions } from './gate.ts'
import { comesBack, healthcheckOf } from './lifeline.ts'
import { gate, type NamedProbe, named } from './poll.ts'

/** Healthy while the container runs (and is not paused or about to be restarted). */
export function running(): NamedProbe<ServiceHandle> {
  return named(
    (handle) => `state of container ${handle.name}`,
    async (handle, { runtime, signal }) => {
      const details = await runtime.inspect(handle.id, { signal })
      if (!details) return isGone
      return details.state === 'running'
        ? { healthy: true, detail: 'running' }
        : { healthy: false, detail: stateText(details) }
    },
  )
}

/** Healthy while the container runs, and once it has ended with exit code 0 where nothing restarts it: a job that is done. */
function runningOrDone(): NamedProbe<ServiceHandle> {
  return named(
    (handle) => `state of container ${handle.name}`,
    async (handle, { runtime, signal }) => {
      const details = await runtime.inspect(handle.id, { signal })
      if (!details) return isGone
      if (details.state === 'running') return { healthy: true, detail: 'running' }
      if (details.state === 'exited' && details.exitCode === 0 && !comesBack(details))
        return { healthy: true, detail: 'done, exit code 0' }
      return { healthy: false, detail: stateText(details) }
    },
  )
}

/** Healthy once the container has ended with exit code 0; fatal when it ended otherwise and nothing restarts it. */
export function exitedSuccessfully(): NamedProbe<ServiceHandle> {
  return named(
    (handle) => `exit code of container ${handle.name}`,
    async (handle, { runtime, signal }) => {
      const details = await runtime.inspect(handle.id, { signal })
      if (!details) return isGone
      if (details.state !== 'exited' && details.state !== 'dead') return { healthy: false, detail: stateText(details) }
      if (details.exitCode === 0) return { healthy: true, detail: 'exit code 0' }
      const cause = details.oomKilled ? ' (killed for lack of memory)' : ''
      return { healthy: false, fatal: !comesBack(details), detail: `exit code ${details.exitCode}${cause}` }
    },
  )
}

/**
 * Healthy when the container's own healthcheck command succeeds, asked here and now instead of at the engine's interval.
 * `test` overrides the command. A container without a healthcheck is never healthy, which is said at once.
 */
export function healthy(options: { readonly test?: readonly string[] } = {}): NamedProbe<ServiceHandle> {
  const tests = new WeakMap<ServiceHandle, readonly string[]>()
  return named(
    (handle) => {
      const test = options.test ?? tests.get(handle)
      return `healthcheck of ${handle.service}${test ? `: ${formatCommand(commandOf(test) ?? [])}` : ''}`
    },
    async (handle, { runtime, signal }) => {
      let test = options.test ?? tests.get(handle)
      if (!test) {
        const details = await runtime.inspect(handle.id, { signal })
        if (!details) return isGone
        test = healthcheckOf(details)?.test
        // Without the command only the engine's own verdict is left.
        if (!test) return engineVerdict(details)
        tests.set(handle, test)
      }
      const command = commandOf(test)
      if (!command)
        return { healthy: false, fatal: true, detail: `the healthcheck of "${handle.service}" is switched off` }
      // by its name, which is what a message of the engine's refusal then shows
      const result = await runtime.exec(handle.name, { command, signal })
      const said = lastLine(result.stdout) ?? lastLine(result.stderr)
      if (result.exitCode === 0) return { healthy: true, detail: said ?? 'the healthcheck succeeds' }
      return { healthy: false, detail: `exit code ${result.exitCode}${said === undefined ? '' : `: ${said}`}` }
    },
  )
}

type Policy = Omit<Partial<GateOptions<ServiceHandle>>, 'probe' | 'containers'>

/** Compose's `service_started`, as a gate. */
export function runningGate(policy: Policy = {}): ContainerGate<ServiceHandle> {
  return gate({ description: 'container running', ...policy, probe: running() })
}

/** What a service without a healthcheck is waited for: it runs, or it was a job and is done. */
export function runningOrDoneGate(policy: Policy = {}): ContainerGate<ServiceHandle> {
  return gate({ description: 'container running', ...policy, probe: runningOrDone() })
}

/** Compose's `service_healthy`, as a gate. */
export function healthyGate(policy: Policy & { readonly test?: readonly string[] } = {}): ContainerGate<ServiceHandle> {
  const { test, ...rest } = policy
  return gate({ description: 'container healthy', ...rest, probe: healthy({ test }) })
}

/** Compose's `service_completed_successfully`, as a gate: here the container's end is what is waited for. */
export function completedGate(policy: Policy = {}): ContainerGate<ServiceHandle> {
  return gate({
    description: 'container completed successfully',
    ...policy,
    probe: exitedSuccessfully(),
    containers: () => [],
    subjects: (handle) => [handle.id],
  })
}

const isGone: Answer = { healthy: false, fatal: true, detail: 'the container is gone' }

function engineVerdict(details: ContainerDetails): Answer {
  const status = details.health?.status ?? 'none'
  if (status === 'healthy') return { healthy: true, detail: 'healthy' }
  if (status === 'none') {
    const service = details.labels[labels.service] ?? details.name
    return { healthy: false, fatal: true, detail: `"${service}" has no healthcheck, so it can not become healthy` }
  }
  const said = lastLine(details.health?.lastOutput ?? '')
  return { healthy: false, detail: said === undefined ? status : `${status}: ${said}` }
}

/** A healthcheck's test as a command to run; `undefined` when it is switched off (compose-spec, healthcheck). */
function commandOf(test: readonly string[]): readonly string[] | undefined {
  const [form, ...words] = test
  if (form === undefined || form === 'NONE') return undefined
  if (form === 'CMD') return words
  if (form === 'CMD-SHELL') return ['/bin/sh', '-c', words.join(' ')]
  return test
}

function stateText(details: ContainerDetails): string {
  if (details.state !== 'exited' && details.state !== 'restarting') return details.state
  return `${details.state}, exit code ${details.exitCode}`
}
