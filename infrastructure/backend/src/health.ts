/** UP, DOWN, or OUT_OF_SERVICE while the service drains: the words of Spring Boot's actuator, which tools know. */
export type Status = 'UP' | 'DOWN' | 'OUT_OF_SERVICE'

export interface Component {
  readonly status: Status
  readonly details?: Readonly<Record<string, unknown>>
}

/** One question, with a reason to reject. */
export type Check = (signal: AbortSignal) => Promise<Readonly<Record<string, unknown>>>

export interface HealthOptions {
  readonly checks: Readonly<Record<string, Check>>
  /** Names of those without which the service can not do its work; another that is down only shows. */
  readonly required: readonly string[]
  /** A check without an answer for this long is down, in ms. Default 1000. */
  readonly timeoutMs?: number
}

export interface HealthReport {
  readonly status: Status
  readonly components: Readonly<Record<string, Component>>
}

/** Answers the health questions of the service. Liveness asks nothing: it would have others restart us for their faults. */
export class Health {
  readonly #options: HealthOptions
  #draining = false

  constructor(options: HealthOptions) {
    this.#options = options
  }

  /** From now on not ready: no new work is to come. */
  drain(): void {
    this.#draining = true
  }

  get names(): readonly string[] {
    return Object.keys(this.#options.checks)
  }

  /** All components at once; UP when each required one is. */
  async report(names: readonly string[] = this.names): Promise<HealthReport> {
    const entries = await Promise.all(names.map(async (name) => [name, await this.component(name)] as const))
    const failed = entries.some(
      ([name, component]) => component.status !== 'UP' && this.#options.required.includes(name),
    )
    const status = this.#draining ? 'OUT_OF_SERVICE' : failed ? 'DOWN' : 'UP'
    return { status, components: Object.fromEntries(entries) }
  }

  /** Whether work may be sent here: the required components, and not draining. */
  ready(): Promise<HealthReport> {
    return this.report(this.#options.required)
  }

  live(): HealthReport {
    return { status: 'UP', components: {} }
  }

  async component(name: string): Promise<Component> {
    const check = this.#options.checks[name]
    if (check === undefined) return { status: 'DOWN', details: { error: `there is no component ${name}` } }
    const timeoutMs = this.#options.timeoutMs ?? 1_000
    const controller = new AbortController()
    const { promise, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      const late = new Error(`no answer within ${timeoutMs} ms`)
      controller.abort(late)
      reject(late)
    }, timeoutMs)
    try {
      return { status: 'UP', details: await Promise.race([check(controller.signal), promise]) }
    } catch (thrown) {
      return { status: 'DOWN', details: { error: thrown instanceof Error ? thrown.message : String(thrown) } }
    } finally {
      clearTimeout(timer)
    }
  }
}
