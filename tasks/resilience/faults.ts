/** Injecting and healing: every fault is on record before it happens and until it is healed. */
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { DevstackError, messageOf, type Project, type Runtime, suggest } from '../../lib/index.ts'
import { now } from './clock.ts'
import type { FaultKind, FaultTools } from './fault-kind.ts'
import { faultKind } from './fault-kinds.ts'
import { type FaultRecord, leftFaults, removeFault, writeFault } from './fault-record.ts'
import { Helper, helperProject } from './helper.ts'

export interface FaultsOptions {
  readonly runtime: Runtime
  readonly project: Project
  readonly experiment: string
  /** Told what was done; `at`: when it began, milliseconds since the epoch. */
  readonly note: (text: string, at: number) => void
}

/** An injected fault. */
export interface Fault {
  readonly id: string
  readonly kind: string
  readonly text: string
}

/** The faults of one rehearsal. */
export class Faults {
  readonly #options: FaultsOptions
  readonly #helper: Helper
  #open: FaultRecord[] = []
  #injected = false
  #helperRecord: FaultRecord | undefined

  constructor(options: FaultsOptions) {
    this.#options = options
    this.#helper = new Helper(options.runtime, options.project)
  }

  /** Starts the helper, so that the injections that need it happen at once. It is on record, too, until `close`. */
  async prepare(signal: AbortSignal): Promise<void> {
    const { project, experiment } = this.#options
    this.#helperRecord = writeFault(project.stateDirectory, {
      id: newFaultId(),
      kind: 'helper',
      details: {},
      text: 'its helper container runs',
      experiment,
    })
    await this.#helper.start(signal)
  }

  /** Faults that are injected and not healed. */
  get open(): readonly Fault[] {
    return this.#open
  }

  /** Whether anything was injected so far, healed or not. */
  get injected(): boolean {
    return this.#injected
  }

  /**
   * Injects a fault. `details` are those of its kind (docs/resilience.md). Throws FAULT_IMPOSSIBLE when this machine can
   * not do it, FAULT_REFUSED when the engine would not; then nothing is left of it.
   */
  async inject(kindName: string, details: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<Fault> {
    const { runtime, project, experiment, note } = this.#options
    const kind = faultKind(kindName)
    const id = newFaultId()
    refuseUnknown(kindName, kind, details)
    const parsed = kind.details.safeParse({ ...details, chain: `DEVSTACK-${id}` })
    if (!parsed.success) {
      const wrong = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
      throw badDetails(`The fault ${kindName} was given wrong details: ${wrong.join('; ')}.`, kind)
    }
    const tools = { runtime, project, helper: this.#helper, signal }
    await kind.check?.(parsed.data, tools)
    const text = kind.text(parsed.data)
    const record = writeFault(project.stateDirectory, {
      id,
      kind: kindName,
      details: parsed.data as Readonly<Record<string, unknown>>,
      text,
      experiment,
    })
    this.#open.push(record)
    this.#injected = true
    const at = now()
    await kind.inject(parsed.data, tools)
    note(text, at)
    return record
  }

  /** Heals one fault, or all, the last injected first. Rejects when one can not be healed; its record stays. */
  async heal(signal: AbortSignal, fault?: Fault): Promise<void> {
    const { runtime, project, note } = this.#options
    const chosen = fault ? this.#open.filter(({ id }) => id === fault.id) : [...this.#open].reverse()
    const failures: string[] = []
    for (const record of chosen) {
      try {
        await healRecord(record, { runtime, project, helper: this.#helper, signal })
        removeFault(project.stateDirectory, record.id)
        this.#open = this.#open.filter(({ id }) => id !== record.id)
        note(`healed: ${record.text}`, now())
      } catch (thrown) {
        failures.push(`${record.text}: ${messageOf(thrown)}`)
      }
    }
    if (failures.length > 0) throw unhealed(failures)
  }

  /** Removes the helper. */
  async close(signal: AbortSignal): Promise<void> {
    await this.#helper.remove(signal)
    if (this.#helperRecord) removeFault(this.#options.project.stateDirectory, this.#helperRecord.id)
  }
}

/** Set for every fault. */
const given = new Set(['id', 'service', 'chain'])

/** Names of the details that a kind takes. */
function detailsOf({ details }: FaultKind): readonly string[] {
  return details instanceof z.ZodObject ? Object.keys(details.shape).filter((name) => !given.has(name)) : []
}

/** A detail with a wrong name would be left out without a word, and the default used. */
function refuseUnknown(name: string, kind: FaultKind, details: Readonly<Record<string, unknown>>): void {
  const known = detailsOf(kind)
  const wrong = Object.keys(details).find(
    (detail) => !known.includes(detail) && detail !== 'id' && detail !== 'service',
  )
  if (wrong !== undefined) throw badDetails(`The fault ${name} has no detail "${wrong}".${suggest(wrong, known)}`, kind)
}

function badDetails(message: string, kind: FaultKind): DevstackError {
  const known = detailsOf(kind)
  return new DevstackError({
    kind: 'usage',
    code: 'FAULT_BAD_DETAILS',
    message,
    hint: known.length > 0 ? `Its details are ${known.join(', ')}.` : 'It takes no details.',
  })
}

function newFaultId(): string {
  return randomBytes(4).toString('hex')
}

async function healRecord(record: FaultRecord, tools: FaultTools): Promise<void> {
  const kind = faultKind(record.kind)
  await kind.heal(kind.details.parse(record.details), tools)
}

function unhealed(failures: readonly string[]): DevstackError {
  return new DevstackError({
    kind: 'runtime',
    code: 'FAULT_NOT_HEALED',
    message: `${failures.length === 1 ? 'A fault' : `${failures.length} faults`} could not be healed.`,
    details: failures,
    hint: 'The next devstack command tries again. What is never healed is healed with its container: remove that (docker rm --force), then: devstack run up',
  })
}

/** Heals what a killed experiment left behind, and says so. For `Pack.recover`: does nothing when there is nothing. */
export async function healLeftFaults(context: {
  readonly runtime: Runtime
  readonly project: Project
  readonly signal: AbortSignal
  note(text: string): void
}): Promise<void> {
  const { runtime, project, signal, note } = context
  const left = leftFaults(project.stateDirectory)
  if (left.length === 0) return
  const helper = new Helper(runtime, project)
  const failures: string[] = []
  for (const record of [...left].reverse()) {
    note(
      `The experiment ${record.experiment} ended before it could heal: ${record.text} (since ${record.at}). Healing.`,
    )
    try {
      await healRecord(record, { runtime, project, helper, signal })
      removeFault(project.stateDirectory, record.id)
      note(`Healed: ${record.text}.`)
    } catch (thrown) {
      signal.throwIfAborted()
      // what brings the stack back must not wait for a heal that waits for the stack
      if (thrown instanceof DevstackError && thrown.code === 'FAULT_HEALED_LATER') {
        note(`Not healed yet: ${record.text}. ${thrown.message} The next command after "devstack run up" tries again.`)
      } else failures.push(`${record.text}: ${messageOf(thrown)}`)
    }
  }
  // also those the killed process had started
  await helper.remove(signal)
  if (failures.length > 0) throw unhealed(failures)
}

export { helperProject }
