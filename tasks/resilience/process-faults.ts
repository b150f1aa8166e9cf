/** Faults of a container's process. */
import { z } from 'zod'
import { DevstackError } from '../../lib/index.ts'
import { type FaultKind, kind, letRun, target } from './fault-kind.ts'

export const processKinds: Readonly<Record<string, FaultKind>> = {
  kill: kind({
    details: target,
    text: ({ service }) => `${service} killed`,
    inject: ({ id }, { runtime, signal }) => runtime.kill(id, { signal }),
    heal: letRun,
  }),
  stop: kind({
    details: target,
    text: ({ service }) => `${service} stopped`,
    inject: ({ id }, { runtime, signal }) => runtime.stop(id, { signal }),
    heal: letRun,
  }),
  pause: kind({
    details: target,
    text: ({ service }) => `${service} paused`,
    inject: ({ id }, { runtime, signal }) => runtime.pause(id, { signal }),
    heal: letRun,
  }),
  restart: kind({
    details: target,
    text: ({ service }) => `${service} restarted`,
    inject: ({ id }, { runtime, signal }) => runtime.restart(id, { signal }),
    heal: letRun,
  }),
  crash: kind({
    details: target,
    text: ({ service }) => `${service} crashed`,
    needsHelper: true,
    // the engine restarts what died by itself, not what it was told to kill
    inject: async ({ id }, { helper, signal }) => void (await helper.run(id, 'kill -KILL "$pid"', [], signal)),
    heal: letRun,
  }),
  'postgres-kill': kind({
    details: target,
    text: ({ service }) => `PostgreSQL killed in ${service}`,
    inject: async ({ id, service }, { runtime, signal }) => {
      const script = 'kill -KILL "$(head -n 1 /var/lib/postgresql/data/main/postmaster.pid)"'
      const { exitCode, stderr } = await runtime.exec(id, { command: ['sh', '-c', script], signal })
      if (exitCode === 0) return
      throw new DevstackError({
        kind: 'runtime',
        code: 'FAULT_REFUSED',
        message: `PostgreSQL in ${service} could not be killed: ${stderr.trim()}`,
      })
    },
    heal: letRun,
  }),
  oom: kind({
    details: target.extend({ limitBytes: z.number().int().positive() }),
    text: ({ service }) => `${service} out of memory`,
    needsHelper: true,
    inject: async ({ id, limitBytes }, { helper, signal }) =>
      void (await helper.run(id, `${memoryFile}\nprintf %s "$1" > "$file"`, [String(limitBytes)], signal)),
    heal: async (details, tools) => {
      await letRun(details, tools)
      const script = `${memoryFile}\nprintf %s "$none" > "$file"`
      await tools.helper.run(details.id, script, [], tools.signal)
    },
  }),
}

/** Path of the memory limit of a process's control group, and the word for no limit; cgroup v1 and v2. */
const memoryFile = `
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  file="/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$pid/cgroup")/memory.max"; none=max
else
  file="/sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' "/proc/$pid/cgroup")/memory.limit_in_bytes"; none=-1
fi
[ -f "$file" ] || { echo "the memory limit of the container is not at $file" >&2; exit 1; }`
