/** Tells a living process from a dead one, also when its process id was given to another since. */
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** A process, told from a later one that got its id. */
export interface ProcessIdentity {
  readonly pid: number
  /** Start time in clock ticks after boot (proc(5), field 22 of stat); absent where there is no /proc. */
  readonly started?: string
  /** Boot of the machine (random(4)), so that everything from before a restart is known to be dead. */
  readonly boot?: string
  /** Process id namespace: ids mean nothing in another one, for instance inside a container. */
  readonly namespace?: string
  readonly host: string
}

/**
 * What a file says about a process, or `undefined` when it says nothing of use. Checked by hand: every run comes by here,
 * and loading a schema library would cost its start more than the check.
 */
export function parseIdentity(value: unknown): ProcessIdentity | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { pid, started, boot, namespace, host } = value as Readonly<Record<string, unknown>>
  const isText = (part: unknown) => part === undefined || typeof part === 'string'
  if (!Number.isSafeInteger(pid) || (pid as number) <= 0 || typeof host !== 'string') return undefined
  return isText(started) && isText(boot) && isText(namespace) ? (value as ProcessIdentity) : undefined
}

let own: ProcessIdentity | undefined

/** Who this process is. */
export function thisProcess(): ProcessIdentity {
  own ??= {
    pid: process.pid,
    started: startOf(process.pid),
    boot: read('/proc/sys/kernel/random/boot_id')?.trim(),
    namespace: namespaceOf(),
    host: hostname(),
  }
  return own
}

/** `unknown`: it belongs to another machine or container, whose processes can not be seen from here. */
export function stateOf(identity: ProcessIdentity): 'alive' | 'dead' | 'unknown' {
  const here = thisProcess()
  if (identity.boot !== undefined && here.boot !== undefined && identity.boot !== here.boot) {
    return identity.host === here.host ? 'dead' : 'unknown'
  }
  if (identity.boot === undefined && identity.host !== here.host) return 'unknown'
  if (identity.namespace !== here.namespace) return 'unknown'
  if (identity.started !== undefined) return startOf(identity.pid) === identity.started ? 'alive' : 'dead'
  try {
    process.kill(identity.pid, 0)
    return 'alive'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? 'alive' : 'dead'
  }
}

/** A zombie has ended already; it only waits for its parent to notice. */
function startOf(pid: number): string | undefined {
  const stat = read(`/proc/${pid}/stat`)
  // The second field is the command in parentheses and may itself hold blanks and parentheses.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields === undefined || fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
}

function namespaceOf(): string | undefined {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return undefined
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
