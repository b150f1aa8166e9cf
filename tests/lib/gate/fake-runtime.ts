/** A container engine of one container that tests move by hand. */
import type {
  ContainerDetails,
  EngineEvent,
  EngineInfo,
  ExecOptions,
  ExecResult,
  LogLine,
  LogOptions,
  Runtime,
  ServiceHandle,
} from '../../../lib/runtime/runtime.ts'

export const handle: ServiceHandle = {
  id: 'c0ffee',
  name: 'shop-db-1',
  service: 'db',
  project: 'shop',
  image: 'db:1',
  addresses: { default: '127.0.0.1' },
  ports: [],
}

const running: ContainerDetails = {
  id: handle.id,
  name: handle.name,
  image: handle.image,
  imageId: 'sha256:1',
  state: 'running',
  status: 'Up',
  labels: { 'devstack.service': 'db', 'devstack.project': 'shop' },
  addresses: handle.addresses,
  ports: [],
  createdAt: 1_700_000_000_000,
  pid: 42,
  exitCode: null,
  oomKilled: false,
  restarts: 0,
  startedAt: 1_700_000_000_000,
  finishedAt: 0,
  error: '',
}

const info: EngineInfo = {
  kind: 'docker',
  version: '20.10.24',
  apiVersion: '1.41',
  source: 'default socket',
  address: 'unix:///var/run/docker.sock',
  rootless: false,
  cpus: 2,
  memoryBytes: 1,
  operatingSystem: 'Debian',
  architecture: 'x86_64',
  rootDirectory: '/var/lib/docker',
  warnings: [],
}

export class FakeEngine {
  /** `undefined`: the container is gone. */
  container: ContainerDetails | undefined = running
  lines: LogLine[] = []
  info: EngineInfo = info
  onExec: (options: ExecOptions, container: string) => Promise<ExecResult> | ExecResult = () => ({
    exitCode: 0,
    stdout: '',
    stderr: '',
  })
  /** How many event streams are open now, and how many were ever. */
  streams = 0
  opened = 0
  inspections = 0
  readonly #listeners = new Set<(event: EngineEvent | Error) => void>()
  #opening: (() => void)[] = []

  set(change: Partial<ContainerDetails>): void {
    this.container = { ...(this.container ?? running), ...change }
  }

  write(...texts: readonly string[]): void {
    for (const text of texts) {
      const at = new Date(1_700_000_000_000 + this.lines.length).toISOString()
      this.lines.push({ text, stream: 'stdout', at })
    }
  }

  emit(action: string, more: Partial<EngineEvent> = {}): void {
    const event: EngineEvent = {
      kind: 'container',
      action,
      id: handle.id,
      name: handle.name,
      labels: {},
      at: 0,
      ...more,
    }
    for (const listener of [...this.#listeners]) listener(event)
  }

  /** The engine goes away. */
  lose(error: Error): void {
    for (const listener of [...this.#listeners]) listener(error)
  }

  /** Resolves once an event stream is open. */
  listened(): Promise<void> {
    return this.streams > 0 ? Promise.resolve() : new Promise((resolve) => this.#opening.push(resolve))
  }

  readonly runtime = this.#runtime()

  #runtime(): Runtime {
    const part: Partial<Runtime> = {
      info: async () => this.info,
      inspect: async () => {
        this.inspections += 1
        return this.container
      },
      logs: (_id, options) => this.#logs(options),
      events: (_filter, { signal }) => this.#events(signal),
      exec: async (container, options) => this.onExec(options, container),
    }
    return new Proxy(part, {
      get(target, name) {
        const member = target[name as keyof Runtime]
        if (member === undefined && typeof name === 'string' && name !== 'then') throw new Error(`no fake for ${name}`)
        return member
      },
    }) as Runtime
  }

  async *#logs(options: LogOptions = {}): AsyncIterable<LogLine> {
    const since = options.since === undefined ? '' : String(options.since)
    const chosen = this.lines.filter((line) => line.at >= since)
    yield* options.tail === undefined ? chosen : chosen.slice(-options.tail)
  }

  async *#events(signal: AbortSignal): AsyncIterable<EngineEvent> {
    const waiting: (EngineEvent | Error)[] = []
    let wake = () => {}
    const listener = (event: EngineEvent | Error) => {
      waiting.push(event)
      wake()
    }
    this.#listeners.add(listener)
    this.streams += 1
    this.opened += 1
    for (const opening of this.#opening.splice(0)) opening()
    signal.addEventListener('abort', () => wake(), { once: true })
    try {
      while (!signal.aborted) {
        const next = waiting.shift()
        if (next instanceof Error) throw next
        if (next) yield next
        else {
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
      }
    } finally {
      this.#listeners.delete(listener)
      this.streams -= 1
    }
  }
}

/** What a gate gets from the runner, with the answers it reported. */
export function gateContext(engine: FakeEngine, signal: AbortSignal = new AbortController().signal) {
  const answers: string[] = []
  return {
    answers,
    runtime: engine.runtime,
    signal,
    node: 'db',
    blocked: ['migrate', 'backend'],
    answer: (text: string) => {
      answers.push(text)
    },
  }
}
