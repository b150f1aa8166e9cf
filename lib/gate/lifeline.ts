/**
 * Tells a waiting gate when a container it depends on can not become healthy any more: it ended and its restart policy
 * does not bring it back, it crash-loops, or it is gone. Engine events tell at once; a look now and then covers what
 * happened before the event stream stood.
 */
import { type DevstackError, toDevstackError } from '../errors.ts'
import { exitText } from '../runtime/exit-code.ts'
import {
  type ContainerDetails,
  type ContainerSpec,
  type EngineEvent,
  type Healthcheck,
  labels,
  type Runtime,
} from '../runtime/runtime.ts'
import { watchContainers } from './deaths.ts'

/** Why waiting is of no use. */
export type Doom =
  | { readonly why: 'impossible'; readonly detail: string }
  | { readonly why: 'lost'; readonly error: DevstackError }
  | {
      readonly why: 'container'
      readonly container: string
      readonly code: string
      readonly message: string
      readonly hint: string
    }

/** This many ends within one wait are a crash loop. */
const crashLoop = 3

export interface LifelineOptions {
  readonly runtime: Runtime
  readonly containers: readonly string[]
  doomed(doom: Doom): void
  /** Something happened to a container: the next question should come soon. */
  changed(): void
}

interface Life {
  deaths: number
  /** The engine's restart count when the wait began. */
  restartsBefore?: number
  looking?: Promise<void>
  lookAgain?: boolean
}

/** How often the container is looked at without an event, in milliseconds. */
const lookEvery = 2_000
/** Podman shows a container that it will restart as exited for a moment. */
const revivalMs = 2_000
/** How long after an end by SIGKILL the engine may take to tell that memory was lacking. */
const outOfMemoryMs = 300

export class Lifeline {
  readonly #options: LifelineOptions
  readonly #lives: ReadonlyMap<string, Life>
  readonly #controller = new AbortController()
  readonly #timers = new Set<NodeJS.Timeout>()
  #leave: (() => void) | undefined
  #lastLook = Number.NEGATIVE_INFINITY
  #closed = false
  sawOutOfMemory = false

  constructor(options: LifelineOptions) {
    this.#options = options
    this.#lives = new Map(options.containers.map((container) => [container, { deaths: 0 }]))
  }

  /** Called after each unhealthy answer; the first call starts watching, so a gate that holds at once costs nothing. */
  check(): void {
    if (this.#closed || this.#lives.size === 0) return
    this.#leave ??= watchContainers(this.#options.runtime, {
      containers: this.#options.containers,
      event: (event) => this.#event(event),
      lost: (error) =>
        this.#options.doomed({ why: 'lost', error: toDevstackError(error, 'runtime', 'RUNTIME_UNREACHABLE') }),
    })
    const now = performance.now()
    if (now - this.#lastLook < lookEvery) return
    this.#lastLook = now
    for (const container of this.#lives.keys()) this.#look(container)
  }

  close(): void {
    this.#closed = true
    this.#leave?.()
    this.#controller.abort()
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  #event(event: EngineEvent): void {
    const key = this.#lives.has(event.id) ? event.id : event.name
    const life = this.#lives.get(key)
    if (!life) return
    if (event.action === 'oom') this.sawOutOfMemory = true
    if (event.action === 'die') life.deaths += 1
    if (event.action === 'die' || event.action === 'oom' || event.action === 'destroy') this.#look(key)
    if (/^(?:die|oom|destroy|start|unpause|health_status)/.test(event.action)) this.#options.changed()
  }

  /** One look at a time for each container; an event during a look asks for another. */
  #look(container: string): void {
    const life = this.#lives.get(container)
    if (!life || this.#closed) return
    if (life.looking) {
      life.lookAgain = true
      return
    }
    life.looking = this.#judge(container, life)
      .catch((error: unknown) => this.#options.doomed({ why: 'lost', error: toDevstackError(error) }))
      .finally(() => {
        life.looking = undefined
        if (!life.lookAgain) return
        life.lookAgain = false
        this.#look(container)
      })
  }

  async #judge(container: string, life: Life): Promise<void> {
    let details: ContainerDetails | undefined
    try {
      details = await this.#options.runtime.inspect(container, { signal: this.#controller.signal })
    } catch {
      // An engine that does not answer now is asked again; one that is gone for good is told by the event stream.
      return
    }
    if (this.#closed) return
    const doom = details ? this.#doom(container, life, details) : gone(container)
    if (doom) this.#options.doomed(doom)
  }

  #doom(container: string, life: Life, details: ContainerDetails): Doom | undefined {
    life.restartsBefore ??= Math.max(0, details.restarts - life.deaths)
    const crashes = Math.max(life.deaths, details.restarts - life.restartsBefore)
    if (crashes >= crashLoop) return crashLooped(container, details, crashes, this.sawOutOfMemory)
    if (details.state !== 'exited' && details.state !== 'dead') return undefined
    if (comesBack(details) && this.#soonAfter(container, details, revivalMs)) return undefined
    // Docker tells of a lack of memory by itself, perhaps after the end that it caused
    const untold = details.exitCode === 137 && !details.oomKilled && !this.sawOutOfMemory
    if (untold && this.#soonAfter(container, details, outOfMemoryMs)) return undefined
    return ended(container, details, this.sawOutOfMemory)
  }

  /** Whether it ended so shortly ago that more may be told of it: a restart that its policy promises, or a cause. Looks again then. */
  #soonAfter(container: string, details: ContainerDetails, ms: number): boolean {
    const age = Date.now() - details.finishedAt
    if (details.finishedAt <= 0 || age < 0 || age > ms) return false
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#look(container)
    }, 100)
    this.#timers.add(timer)
    return true
  }
}

/** Whether the restart policy starts a container that ended like this again; on Docker it then shows as `restarting`. */
export function comesBack(details: ContainerDetails): boolean {
  const policy = details.restartPolicy ?? specOf(details)?.restart
  if (!policy || policy.name === 'no') return false
  if (policy.name !== 'on-failure') return true
  if (details.exitCode === 0) return false
  return policy.maximumRetries === undefined || policy.maximumRetries === 0 || details.restarts < policy.maximumRetries
}

/** The healthcheck as the engine or, where it does not tell, the container's label has it. */
export function healthcheckOf(details: ContainerDetails): Healthcheck | undefined {
  return details.healthcheck ?? specOf(details)?.healthcheck
}

/** What the container was made from, as its label tells; what is unreadable counts as unknown. */
function specOf(details: ContainerDetails): Partial<ContainerSpec> | undefined {
  const text = details.labels[labels.spec]
  if (text === undefined) return undefined
  try {
    const spec: unknown = JSON.parse(text)
    return typeof spec === 'object' && spec !== null ? (spec as Partial<ContainerSpec>) : undefined
  } catch {
    return undefined
  }
}

function gone(container: string): Doom {
  return {
    why: 'container',
    container,
    code: 'GATE_CONTAINER_GONE',
    message: 'its container is gone.',
    hint: 'Something removed it meanwhile; start again with `devstack run up`.',
  }
}

const moreMemory = 'It ran out of memory: raise its limit (mem_limit in the compose file) or let it use less.'
const readTheLog = 'Its last log lines usually name the cause; correct it and run again.'
/** Podman 4 on cgroup v1 does not report that the kernel killed for lack of memory. */
const perhapsMemory =
  'It was killed. If nobody did that, it ran out of memory: raise its limit (mem_limit in the compose file).'

function remedy(details: ContainerDetails, outOfMemory: boolean): string {
  if (outOfMemory) return moreMemory
  return details.exitCode === 137 ? perhapsMemory : readTheLog
}

function ended(container: string, details: ContainerDetails, sawOutOfMemory: boolean): Doom {
  const outOfMemory = details.oomKilled || sawOutOfMemory
  const { name, exitCode, error } = details
  return {
    why: 'container',
    container,
    code: outOfMemory ? 'GATE_CONTAINER_OOM' : 'GATE_CONTAINER_EXITED',
    message: outOfMemory
      ? `container ${name} was killed for lack of memory (exit code ${exitCode}).`
      : `container ${name} ended with ${exitText(exitCode)}.${error ? ` ${error}` : ''}`,
    hint: remedy(details, outOfMemory),
  }
}

function crashLooped(container: string, details: ContainerDetails, crashes: number, sawOutOfMemory: boolean): Doom {
  return {
    why: 'container',
    container,
    code: 'GATE_CRASH_LOOP',
    message: `container ${details.name} crash-loops: it ended ${crashes} times while being waited for (last with ${exitText(details.exitCode)}).`,
    hint: remedy(details, details.oomKilled || sawOutOfMemory),
  }
}
