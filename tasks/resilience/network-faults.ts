/** Faults of the network, made in the network namespace of one container. A container that restarts has a new one. */
import { z } from 'zod'
import { DevstackError } from '../../lib/index.ts'
import { type FaultKind, type FaultTools, impossible, kind, target } from './fault-kind.ts'

const chained = target.extend({
  /** Names the rules, so that exactly these are healed. */
  chain: z.string().regex(/^DEVSTACK-[0-9a-f]+$/),
})

/** Which of the two iptables the kernel has. */
const filter = `
filter=iptables
nsenter -t "$pid" -n "$filter" -w -S >/dev/null 2>&1 || filter=iptables-legacy
run() { nsenter -t "$pid" -n "$filter" -w "$@"; }
chain="$1"; shift`

const clearScript = `${filter}
for from in INPUT OUTPUT; do while run -D "$from" -j "$chain" 2>/dev/null; do :; done; done
run -F "$chain" 2>/dev/null || :
run -X "$chain" 2>/dev/null || :
if run -S | grep -q -- "$chain"; then echo "the rules of $chain are still there" >&2; exit 1; fi`

async function clearChain({ id, chain }: { id: string; chain: string }, tools: FaultTools): Promise<void> {
  await inRunning(id, tools, () => tools.helper.run(id, clearScript, [chain], tools.signal))
}

async function clearShaping({ id }: { id: string }, tools: FaultTools): Promise<void> {
  const script = 'nsenter -t "$pid" -n tc qdisc del dev eth0 root 2>/dev/null || :'
  await inRunning(id, tools, () => tools.helper.run(id, script, [], tools.signal))
}

/** A container that does not run has no network namespace, so nothing in it to heal. */
async function inRunning(id: string, tools: FaultTools, heal: () => Promise<unknown>): Promise<void> {
  const details = await tools.runtime.inspect(id, { signal: tools.signal })
  if (details && details.pid > 0) await heal()
}

export const networkKinds: Readonly<Record<string, FaultKind>> = {
  partition: kind({
    details: chained.extend({
      peers: z.array(z.string()).min(1).describe('addresses it can not talk to any more'),
      /** `in`: hears nothing; `out`: nobody hears it. */
      direction: z.enum(['both', 'in', 'out']),
    }),
    text: ({ service, direction, peers }) =>
      `${service} cut off from ${peers.length} peers${direction === 'both' ? '' : `, ${direction}bound only`}`,
    inject: async ({ id, chain, peers, direction }, { helper, signal }) => {
      const script = `${filter}
direction="$1"; shift
run -N "$chain"
for peer in "$@"; do
  [ "$direction" = out ] || run -A "$chain" -s "$peer" -j DROP
  [ "$direction" = in ] || run -A "$chain" -d "$peer" -j DROP
done
[ "$direction" = out ] || run -I INPUT -j "$chain"
[ "$direction" = in ] || run -I OUTPUT -j "$chain"`
      await helper.run(id, script, [chain, direction, ...peers], signal)
    },
    heal: clearChain,
  }),
  loss: kind({
    details: chained.extend({ percent: z.number().min(0).max(100) }),
    text: ({ service, percent }) => `${service} loses ${percent} % of its packets`,
    inject: async ({ id, chain, percent }, { helper, signal }) => {
      const script = `${filter}
run -N "$chain"
run -A "$chain" ! -i lo -m statistic --mode random --probability "$1" -j DROP
run -I INPUT -j "$chain"`
      await helper.run(id, script, [chain, (percent / 100).toFixed(4)], signal)
    },
    heal: clearChain,
  }),
  bandwidth: kind({
    details: target.extend({ kilobitPerSecond: z.number().int().positive() }),
    text: ({ service, kilobitPerSecond }) => `${service} sends at most ${kilobitPerSecond} kbit/s`,
    inject: async ({ id, kilobitPerSecond }, { helper, signal }) => {
      const script = 'nsenter -t "$pid" -n tc qdisc replace dev eth0 root tbf rate "$1kbit" burst 16kbit latency 400ms'
      await helper.run(id, script, [String(kilobitPerSecond)], signal)
    },
    heal: clearShaping,
  }),
  latency: kind({
    details: target.extend({
      delayMs: z.number().nonnegative(),
      jitterMs: z.number().nonnegative().default(0),
      reorderPercent: z.number().min(0).max(100).default(0),
    }),
    text: ({ service, delayMs, jitterMs }) => `${service} answers ${delayMs} ms late, give or take ${jitterMs} ms`,
    // on the loopback of the helper itself, which talks to nobody
    check: async ({ service }, { helper, runtime, signal }) => {
      const id = await helper.start(signal)
      const script = 'tc qdisc replace dev lo root netem delay 1ms && tc qdisc del dev lo root'
      const { exitCode, stderr } = await runtime.exec(id, { command: ['sh', '-c', script], signal })
      if (exitCode === 0) return
      throw impossible(
        `The network of ${service} can not be delayed: this kernel has no sch_netem (${stderr.trim().split('\n')[0]}).`,
        'Load it on the engine machine (modprobe sch_netem), or use loss or bandwidth, which need no module.',
      )
    },
    inject: async ({ id, delayMs, jitterMs, reorderPercent }, { helper, signal }) => {
      const script = 'nsenter -t "$pid" -n tc qdisc replace dev eth0 root netem "$@"'
      const reorder = reorderPercent > 0 ? ['reorder', `${reorderPercent}%`] : []
      await helper.run(id, script, ['delay', `${delayMs}ms`, `${jitterMs}ms`, ...reorder], signal)
    },
    heal: clearShaping,
  }),
  disconnect: kind({
    details: target.extend({ network: z.string(), ipv4Address: z.string().optional() }),
    text: ({ service, network }) => `${service} disconnected from ${network}`,
    inject: ({ id, network }, { runtime, signal }) => runtime.disconnect(network, id, { signal }),
    heal: async ({ id, service, network, ipv4Address }, { runtime, signal }) => {
      const details = await runtime.inspect(id, { signal })
      if (!details || details.addresses[network]) return
      const attachment = { aliases: [service], ...(ipv4Address === undefined ? {} : { ipv4Address }) }
      try {
        await runtime.connect(network, id, attachment, { signal })
      } catch (thrown) {
        const seen = await runtime.inspect(id, { signal })
        if (!(thrown instanceof DevstackError) || !seen?.addresses[network]) throw thrown
      }
    },
  }),
}
