/**
 * One rehearsal of an experiment, in this order: steady state checked, load running, fault injected, recovery awaited,
 * healed (always), steady state again, ledger compared, verdict.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Ambient,
  DevstackError,
  messageOf,
  milliseconds,
  reachOf,
  type ServiceHandle,
  suggest,
} from '../../lib/index.ts'
import { now, pause, until } from './clock.ts'
import type { ExperimentContext, Limits } from './context.ts'
import { Faults } from './faults.ts'
import { loadReport, type ObservedTimes, violationsOf } from './findings.ts'
import { limitsOf } from './limits.ts'
import type { Load, RunningLoad } from './load.ts'
import { late, loadNamed, newLeader, writesFlow } from './recovery.ts'
import type { ExperimentReport } from './report.ts'
import { holdsWithin, refused, type SteadyState, stackServices } from './steady-state.ts'

/** How long a healthy stack is given to say so before an experiment is refused. */
const steadyMs = 10_000
/** Until when the stack must be whole again after the heal. */
const redundancyMs = 120_000
/** Clients must have had this many writes acknowledged before anything is injected. */
const warmUp = 20
/** The period of Sentinel's questions. */
const phaseMs = 1000
/** A heal after a cancellation has this long: less than the 15 s after which the runner gives a task up, to say so itself. */
const lateHealMs = 12_000

type Around = Ambient & { readonly signal: AbortSignal; log(text: string): void }

export interface RehearsalOptions<P> {
  readonly id: string
  readonly name: string
  readonly title: string
  readonly params: P
  readonly steadyState: readonly SteadyState[]
  readonly load: readonly Load[]
  readonly limits: Limits
  /** Targets are multiplied by this; promises are not. Default 1. */
  readonly slack?: number
  readonly options: {
    inject(context: ExperimentContext<P>): Promise<void>
    observe?(context: ExperimentContext<P>): Promise<void>
    heal?(context: ExperimentContext<P>): Promise<void>
    assert?(report: ExperimentReport, context: ExperimentContext<P>): readonly string[] | Promise<readonly string[]>
  }
  readonly helper: boolean
}

/** Runs it. Rejects with EXPERIMENT_REFUSED when the stack is not healthy, and when it is cancelled, after the heal. */
export async function rehearse<P>(given: RehearsalOptions<P>, around: Around): Promise<ExperimentReport> {
  const services = await stackServices(around)
  const failures = await holdsWithin(given.steadyState, services, { around, ms: steadyMs })
  if (failures.length > 0) throw refused(given.name, failures)
  return new Rehearsal(given, around, services).run()
}

class Rehearsal<P> {
  readonly #given: RehearsalOptions<P>
  readonly #around: Around
  #services: readonly ServiceHandle[]
  readonly #faults: Faults
  readonly #moments: { at: number; text: string }[] = []
  readonly #reasons: string[] = []
  readonly #notes: string[] = []
  readonly #loads: RunningLoad[] = []
  #notRun = false
  #startedAt = now()
  #injectedAt: number | undefined
  #healedAt: number | undefined

  constructor(given: RehearsalOptions<P>, around: Around, services: readonly ServiceHandle[]) {
    this.#given = given
    this.#around = around
    this.#services = services
    this.#faults = new Faults({
      runtime: around.runtime,
      project: around.project,
      experiment: given.title,
      note: (text, at) => this.#mark(text, at),
    })
  }

  async run(): Promise<ExperimentReport> {
    const { signal } = this.#around
    let healed = false
    try {
      try {
        if (this.#given.helper) await this.#faults.prepare(signal)
        await this.#startLoads()
        await this.#disturb()
      } finally {
        healed = await this.#heal(signal)
      }
      signal.throwIfAborted()
      return await this.#judge(healed)
    } finally {
      await this.#end()
    }
  }

  async #startLoads(): Promise<void> {
    const { runtime, project, signal } = this.#around
    const folder = join(project.stateDirectory, 'experiments', this.#given.id)
    mkdirSync(folder, { recursive: true })
    const reach = await reachOf(runtime, signal)
    this.#startedAt = now()
    for (const load of this.#given.load) {
      const run = this.#given.id
      const context = { runtime, services: this.#services, reach, environment: this.#around.env, folder, run, signal }
      if ((await load.applies?.(context)) ?? true) this.#loads.push(await load.start(context))
    }
    const warm = await until(() => this.#loads.every(({ ledger }) => ledger.all.length >= warmUp), {
      ms: 30_000,
      signal,
    })
    signal.throwIfAborted()
    if (!warm) throw refused(this.#given.name, ['The load got hardly any write acknowledged within 30 s.'])
    // the gates passed at a fixed phase of the members' timers, and a fault would always strike at the same one
    await pause(1000 + Math.random() * phaseMs, signal)
  }

  /** Injection and recovery. What goes wrong here becomes a reason of the verdict: the heal and the comparison follow. */
  async #disturb(): Promise<void> {
    const { signal, log } = this.#around
    const context = this.#context(signal)
    try {
      signal.throwIfAborted()
      this.#injectedAt = now()
      await this.#given.options.inject(context)
      // an injection may take as long as it likes: a task that runs, members that restart one by one
      const limit = AbortSignal.timeout(milliseconds(this.#given.limits.recovery ?? '90s'))
      const bounded = this.#context(AbortSignal.any([signal, limit]))
      await (this.#given.options.observe?.(bounded) ?? bounded.writesFlow())
    } catch (thrown) {
      signal.throwIfAborted()
      // a wrong name or detail is no finding about the stack
      if (thrown instanceof DevstackError && thrown.kind === 'usage' && !this.#faults.injected) throw thrown
      if (thrown instanceof DevstackError && thrown.code === 'FAULT_IMPOSSIBLE') this.#notRun = true
      this.#reasons.push(messageOf(thrown))
      log(messageOf(thrown))
    }
  }

  /** Whatever happened, also a cancellation, and be it in the midst of the heal: nothing stays broken. */
  async #heal(signal: AbortSignal): Promise<boolean> {
    const late = signal.aborted
    let failures = await this.#undo(late ? AbortSignal.timeout(lateHealMs) : signal)
    if (failures.length > 0 && signal.aborted && !late) failures = await this.#undo(AbortSignal.timeout(lateHealMs))
    if (failures.length === 0) this.#healedAt = now()
    for (const failure of failures) {
      this.#reasons.push(failure)
      this.#around.log(failure)
    }
    return failures.length === 0
  }

  /** Gives why something could not be undone. An experiment's own heal that fails keeps no fault from being healed. */
  async #undo(signal: AbortSignal): Promise<readonly string[]> {
    const failures: string[] = []
    try {
      await this.#given.options.heal?.(this.#context(signal))
    } catch (thrown) {
      failures.push(`heal threw: ${messageOf(thrown)}`)
    }
    try {
      await this.#faults.heal(signal)
    } catch (thrown) {
      failures.push([messageOf(thrown), ...(thrown instanceof DevstackError ? thrown.details : [])].join(' '))
    }
    return failures
  }

  async #judge(healed: boolean): Promise<ExperimentReport> {
    const { signal } = this.#around
    // a task that was run in between may have made containers anew, or removed them all
    this.#services = await stackServices(this.#around).catch((thrown: unknown) => {
      if (!(thrown instanceof DevstackError) || thrown.code !== 'STACK_NOT_UP') throw thrown
      this.#reasons.push(thrown.message)
      return []
    })
    const { steadyState } = this.#given
    const since = now()
    const missing = await holdsWithin(steadyState, this.#services, {
      around: this.#around,
      ms: redundancyMs,
      onHold: (description) => now() - since > 1000 && this.#mark(`again: ${description}`),
    })
    const redundantAt = now()
    if (missing.length === 0) this.#mark('fully redundant again')
    else this.#reasons.push(...missing)
    await pause(500, signal)
    await Promise.all(this.#loads.map((load) => load.stop()))
    const times: ObservedTimes = { startedAt: this.#startedAt, injectedAt: this.#injectedAt, endedAt: now() }
    const loads = await Promise.all(
      this.#loads.map(async (load) => {
        const ledger = await load.compare(signal)
        return loadReport(
          {
            name: load.name,
            durable: load.durable,
            bound: load.bound,
            acknowledged: load.ledger.all,
            errors: load.errors,
            lanes: load.lanes,
            writable: load.writable(),
            ledger,
          },
          times,
        )
      }),
    )
    const relative = (at: number): number => Math.round(at - this.#startedAt)
    for (const { leaders, name } of loads) {
      for (const { at, member } of leaders.slice(1)) this.#moments.push({ at, text: `${member} leads ${name}` })
    }
    for (const { errorWindow, name } of loads) {
      if (errorWindow && errorWindow.from >= relative(this.#injectedAt ?? this.#startedAt))
        this.#moments.push({ at: errorWindow.from, text: `first ${name} client notices` })
    }
    for (const { firstAfter, gapMs, name } of loads) {
      if (firstAfter !== undefined && gapMs >= 750) this.#moments.push({ at: firstAfter, text: `first ${name} write` })
    }
    const redundancy = this.#healedAt === undefined ? undefined : redundantAt - this.#healedAt
    const report: ExperimentReport = {
      format: 1,
      id: this.#given.id,
      experiment: this.#given.name,
      title: this.#given.title,
      at: new Date(this.#startedAt).toISOString(),
      verdict: 'passed',
      reasons: this.#reasons,
      notes: this.#notes,
      healed,
      durationMs: relative(times.endedAt),
      ...(this.#injectedAt === undefined || this.#healedAt === undefined
        ? {}
        : { fault: { from: relative(this.#injectedAt), to: relative(this.#healedAt) } }),
      ...(redundancy === undefined || missing.length > 0 ? {} : { redundancyMs: Math.round(redundancy) }),
      moments: this.#moments.sort((a, b) => a.at - b.at),
      limits: [],
      loads,
    }
    if (!this.#notRun) {
      report.limits.push(...limitsOf(report, this.#given.limits, this.#given.slack))
      this.#reasons.push(...violationsOf(loads, healed, missing.length === 0))
      this.#reasons.push(...(await this.#asserted(report)))
      for (const { name, held, strength, limitMs, actualMs } of report.limits) {
        const reached = actualMs === undefined ? 'it never happened' : `${(actualMs / 1000).toFixed(1)} s`
        const text = `${name}: ${reached}, the limit is ${limitMs / 1000} s.`
        if (!held) (strength === 'promise' ? this.#reasons : this.#notes).push(text)
      }
    }
    const verdict = this.#notRun ? 'not-run' : this.#reasons.length > 0 ? 'failed' : 'passed'
    return { ...report, verdict }
  }

  /** What the experiment asserts itself. An assertion that breaks proves nothing, and leaves the report as it is. */
  async #asserted(report: ExperimentReport): Promise<readonly string[]> {
    const { signal } = this.#around
    try {
      const violations: unknown = (await this.#given.options.assert?.(report, this.#context(signal))) ?? []
      if (Array.isArray(violations)) return violations.map(String)
      return [`assert gave ${typeof violations} instead of a list of sentences.`]
    } catch (thrown) {
      signal.throwIfAborted()
      return [`assert threw: ${messageOf(thrown)}`]
    }
  }

  #mark(text: string, moment = now()): void {
    const at = moment - this.#startedAt
    this.#moments.push({ at: Math.round(at), text })
    this.#around.log(`${(at / 1000).toFixed(1)} s: ${text}`)
  }

  #context(signal: AbortSignal): ExperimentContext<P> {
    const { runtime, project, env, exec, flags, log } = this.#around
    const services = this.#services
    const service = (name: string): ServiceHandle => {
      const found = services.find((one) => one.service === name)
      if (found) return found
      const names = services.map((one) => one.service)
      throw new DevstackError({
        kind: 'usage',
        code: 'STACK_UNKNOWN_SERVICE',
        message: `There is no service "${name}" here.${suggest(name, names)}`,
        hint: `The services are ${names.join(', ')}.`,
      })
    }
    return {
      params: this.#given.params,
      services,
      service,
      runtime,
      project,
      env,
      exec,
      flags,
      signal,
      log,
      mark: (text) => this.#mark(text),
      note: (text) => void this.#notes.push(text),
      load: (name) => loadNamed(this.#loads, name),
      fault: (kind, name, details = {}) => {
        const { id } = service(name)
        return this.#faults.inject(kind, { ...details, id, service: name }, signal)
      },
      heal: (fault) => this.#faults.heal(signal, fault),
      steady: async (ms = 60_000) => {
        const missing = await holdsWithin(this.#given.steadyState, services, {
          around: { ...this.#around, signal },
          ms,
        })
        if (missing.length > 0) throw late(`the stack is in its steady state (${missing.join('; ')})`)
      },
      writesFlow: (options = {}) => writesFlow(this.#loads, { ...options, signal }),
      newLeader: (old, name = 'postgresql') => newLeader(this.#loads, { old, load: name, signal }),
    }
  }

  async #end(): Promise<void> {
    const signal = AbortSignal.timeout(15_000)
    // a load that does not end must not keep the helper from being removed
    const stopped = await Promise.allSettled(this.#loads.map(async (load) => load.stop()))
    const tidied = await Promise.allSettled([
      ...this.#loads.map(async (load) => load.clear(signal)),
      this.#faults.close(signal),
    ])
    for (const result of [...stopped, ...tidied]) {
      if (result.status === 'rejected') this.#around.log(`Tidying up: ${messageOf(result.reason)}`)
    }
  }
}
