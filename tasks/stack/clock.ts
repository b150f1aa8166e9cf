/**
 * Whether the machine slept, restarted or had its clock set between two moments. Three clocks tell it: the wall clock; the
 * time since boot that goes on during sleep (CLOCK_BOOTTIME); and the one that does not (CLOCK_MONOTONIC, clock_gettime(2)).
 */
import { uptime } from 'node:os'
import { thisProcess } from '../../lib/index.ts'

/** All in milliseconds. */
export interface ClockReading {
  /** Since the epoch. */
  readonly wall: number
  /** Since boot, time asleep included. */
  readonly uptime: number
  /** Since boot, time asleep left out. */
  readonly awake: number
  /** Identity of the boot; absent where the system does not tell. */
  readonly boot?: string
}

/** Where readings come from; tests step one of their own. */
export type Clock = () => ClockReading

/** This machine. */
export const machineClock: Clock = () => {
  const { boot } = thisProcess()
  return {
    wall: Date.now(),
    uptime: uptime() * 1000,
    awake: Number(process.hrtime.bigint() / 1_000_000n),
    ...(boot === undefined ? {} : { boot }),
  }
}

export type ClockJump =
  | { readonly kind: 'restarted' }
  | { readonly kind: 'slept'; readonly ms: number }
  /** Positive: set forward. */
  | { readonly kind: 'stepped'; readonly ms: number }

/** Smaller differences are rounding and the slow corrections of time servers. */
const toleranceMs = 2000

/** What happened to the clocks between two readings; empty when nothing did. */
export function clockJumps(before: ClockReading, after: ClockReading): readonly ClockJump[] {
  const rebooted =
    before.boot !== undefined && after.boot !== undefined
      ? before.boot !== after.boot
      : after.uptime + toleranceMs < before.uptime
  if (rebooted) return [{ kind: 'restarted' }]
  const jumps: ClockJump[] = []
  const slept = after.uptime - after.awake - (before.uptime - before.awake)
  if (slept > toleranceMs) jumps.push({ kind: 'slept', ms: slept })
  const stepped = after.wall - after.uptime - (before.wall - before.uptime)
  if (Math.abs(stepped) > toleranceMs) jumps.push({ kind: 'stepped', ms: stepped })
  return jumps
}

/** `the machine slept for 2 h`. */
export function describeJump(jump: ClockJump): string {
  if (jump.kind === 'restarted') return 'the machine was restarted'
  if (jump.kind === 'slept') return `the machine slept for ${longTime(jump.ms)}`
  return `the clock was set ${jump.ms > 0 ? 'forward' : 'back'} by ${longTime(Math.abs(jump.ms))}`
}

/** `42 s`, `17 min`, `3.5 h`, `2.0 days`. */
export function longTime(ms: number): string {
  const whole = Math.round(ms / 1000)
  if (whole < 120) return `${whole} s`
  if (whole < 7200) return `${Math.round(whole / 60)} min`
  if (whole < 48 * 3600) return `${(whole / 3600).toFixed(1)} h`
  return `${(whole / 86_400).toFixed(1)} days`
}
