/** Faults of a container's data volume. The machine's own disk is never filled. */
import { z } from 'zod'
import { type FaultKind, type FaultTools, impossible, isThere, kind, letRun, target } from './fault-kind.ts'

const atPath = target.extend({ path: z.string().startsWith('/') })
const ballast = '.devstack-ballast'
/** A file system larger than this is the machine's own, or as good as. */
const largestBytes = 4 * 1024 ** 3

async function exec(id: string, script: string, words: readonly string[], { runtime, signal }: FaultTools) {
  return runtime.exec(id, { command: ['sh', '-euc', script, 'fault', ...words], user: 'root', signal })
}

export const diskKinds: Readonly<Record<string, FaultKind>> = {
  'disk-full': kind({
    details: atPath,
    text: ({ service, path }) => `${service} has no room left at ${path}`,
    check: async ({ id, service, path }, tools) => {
      const { stdout } = await exec(id, 'df -B1 --output=size "$1" | tail -n 1', [path], tools)
      if (Number(stdout) > 0 && Number(stdout) <= largestBytes) return
      throw impossible(
        `The disk of ${service} is not filled: ${path} is on a file system it shares with the engine's machine.`,
        'Give the data a file system of its own and of limited size, for instance with: devstack run up --ephemeral',
      )
    },
    inject: async ({ id, path }, tools) => {
      const script = 'cat /dev/zero > "$1" 2>/dev/null || :'
      await exec(id, script, [`${path}/${ballast}`], tools)
    },
    heal: async (details, tools) => {
      if (!(await isThere(details, tools))) return
      await letRun(details, tools)
      await exec(details.id, 'rm -f "$1"', [`${details.path}/${ballast}`], tools)
    },
  }),
  'read-only': kind({
    details: atPath,
    text: ({ service, path }) => `${service} can not write to ${path}`,
    // over the mount, since what is open for writing keeps the mount itself writable
    inject: async ({ id, path }, { helper, signal }) => {
      const script = `enter() { nsenter -t "$pid" -m "$@"; }
enter mount --bind "$1" "$1"
enter mount -o remount,bind,ro "$1"
if enter touch "$1/.devstack" 2>/dev/null; then echo "$1 can still be written to" >&2; exit 1; fi`
      await helper.run(id, script, [path], signal)
    },
    heal: async (details, tools) => {
      if (!(await isThere(details, tools))) return
      await letRun(details, tools)
      // a container that was restarted has its mounts anew
      const script = `while nsenter -t "$pid" -m awk -v path="$1" '$2 == path && $4 ~ /(^|,)ro(,|$)/ { found = 1 } END { exit !found }' /proc/mounts
do nsenter -t "$pid" -m umount -l "$1"; done`
      await tools.helper.run(details.id, script, [details.path], tools.signal)
    },
  }),
  'clock-skew': kind({
    details: target.extend({ offsetMs: z.number() }),
    text: ({ service, offsetMs }) => `the clock of ${service} is ${offsetMs} ms off`,
    check: async ({ service }) => {
      throw impossible(
        `The clock of ${service} is not skewed: containers share the clock of their machine, and Linux time namespaces (time_namespaces(7)) offset only the monotonic clocks.`,
      )
    },
    inject: async () => undefined,
    heal: async () => undefined,
  }),
}
