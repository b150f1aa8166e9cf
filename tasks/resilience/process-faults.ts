/** Faults of a container's process. */
import { z } from 'zod'
import { DevstackError } from '../../lib/index.ts'
import { until } from './clock.ts'
import { type FaultKind, isThere, kind, letRun, target } from './fault-kind.ts'

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
  'crash-loop': kind({
    details: target.extend({ times: z.number().int().min(1).max(20) }),
    text: ({ service, times }) => `${service} crashed ${times} times in a row`,
    inject: async ({ id, service, times }, { helper, runtime, signal }) => {
      let crashed = 0
      for (let crash = 0; crash < times; crash += 1) {
        let pid = 0
        // the engine waits longer each time before it starts it again, and takes a moment to see that it died
        const runsAnew = async (): Promise<boolean> => {
          const seen = await runtime.inspect(id, { signal })
          pid = seen?.pid ?? 0
          return seen?.state === 'running' && pid > 0 && pid !== crashed
        }
        if (!(await until(runsAnew, { ms: 30_000, signal, every: 50 }))) {
          signal.throwIfAborted()
          throw new DevstackError({
            kind: 'runtime',
            code: 'FAULT_REFUSED',
            message: `${service} crashed ${crash} of ${times} times: the engine did not start it again within 30 s.`,
          })
        }
        crashed = pid
        await helper.run(id, 'kill -KILL "$pid"', [], signal)
      }
    },
    heal: letRun,
  }),
  oom: kind({
    details: target,
    text: ({ service }) => `${service} out of memory`,
    inject: async ({ id, service }, { helper, runtime, signal }) => {
      // the main process is to be the one that the kernel picks; then little more than what is used now is allowed
      const script = `${memoryFile}
echo 1000 > "/proc/$pid/oom_score_adj"
used=$(cat "$(dirname "$file")/memory.current" 2>/dev/null || cat "$(dirname "$file")/memory.usage_in_bytes")
echo $((used + 8388608)) > "$file"`
      const before = await runtime.inspect(id, { signal })
      await helper.run(id, script, [], signal)
      // and something in the container asks for more
      const hog = { command: ['sh', '-c', 'head -c 512m /dev/zero | tail > /dev/null'], signal }
      await runtime.exec(id, hog).catch(() => undefined)
      const died = async (): Promise<boolean> => {
        const seen = await runtime.inspect(id, { signal })
        return seen !== undefined && (seen.state !== 'running' || seen.startedAt !== before?.startedAt)
      }
      if (await until(died, { ms: 10_000, signal })) return
      throw new DevstackError({
        kind: 'runtime',
        code: 'FAULT_REFUSED',
        message: `${service} was given too little memory, and the kernel killed nothing.`,
      })
    },
    heal: async (details, tools) => {
      if (!(await isThere(details, tools))) return
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
