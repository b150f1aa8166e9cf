/** Tasks with `inputs` or `outputs`: skipped while their fingerprint holds, restored from the store when only outputs are gone. */
import { readEnvironment } from '../config/environment.ts'
import type { Ambient } from '../context.ts'
import type { GraphNode } from '../engine/graph.ts'
import type { AnyContext, Verdict } from '../engine/host.ts'
import type { Json } from '../engine/schema.ts'
import type { Cache, CacheRecord } from '../state/cache.ts'
import type { FileHashes } from '../state/files.ts'
import { explainDifference, type Fingerprint, fingerprint } from '../state/fingerprint.ts'
import { recalled, unknownValue } from './value.ts'

export interface Memory {
  /** Whether the task declares anything that can be compared. */
  remembers(node: GraphNode): boolean
  check(
    node: GraphNode,
    context: AnyContext & Ambient,
    options: { readonly force: boolean },
  ): Promise<Verdict & { readonly differences?: readonly string[] }>
  /** The node has succeeded; any node, as each may have changed files that others look at. */
  commit(node: GraphNode, context: AnyContext & Ambient, value: unknown, durationMs: number): Promise<void> | undefined
  /** Writes what it noted down about files. */
  close(): void
}

export interface MemoryOptions {
  readonly files: FileHashes
  readonly cache: Cache
  /** Planning: nothing is restored. */
  readonly readOnly: boolean
  /** Whether a text holds a secret: the store keeps no such value. */
  readonly secret: (text: string) => boolean
}

/** Memory over the fingerprints and the store of a project. */
export function createMemory(options: MemoryOptions): Memory {
  const { files, cache } = options
  const taken = new Map<string, Fingerprint>()
  const restore = (record: CacheRecord, cwd: string): string | undefined => {
    try {
      return `${cache.restore(record, cwd).length} outputs restored from the cache`
    } catch {
      // what can not be restored is made anew
      return undefined
    }
  }
  const take = async (node: GraphNode, context: AnyContext & Ambient): Promise<Fingerprint> => {
    const { definition } = node
    const variables = new Set([
      ...(definition.passEnv ?? []),
      ...Object.keys(definition.env ?? {}),
      ...Object.keys(definition.envFiles ? readEnvironment(context.cwd, definition.envFiles, {}) : {}),
    ])
    const env = Object.fromEntries([...variables].map((name) => [name, context.env[name]]))
    const needs = Object.entries<unknown>(context.needs)
    const print = await fingerprint(
      {
        cwd: context.cwd,
        inputs: definition.inputs,
        outputs: definition.outputs,
        source: definition.source ?? String(definition.run),
        params: (context.params ?? {}) as Record<string, Json>,
        needs: Object.fromEntries(needs.filter(([, value]) => value !== unknownValue)) as Record<string, Json>,
        ...(variables.size > 0 ? { env } : {}),
      },
      files,
    )
    taken.set(node.id, print)
    return print
  }
  const remembers = ({ definition }: GraphNode): boolean =>
    definition.cache !== false && (definition.inputs !== undefined || definition.outputs !== undefined)
  let grown = false
  const publish = async (
    node: GraphNode,
    context: AnyContext & Ambient,
    value: unknown,
    durationMs: number,
  ): Promise<void> => {
    const before = taken.get(node.id)
    const print = await take(node, context)
    // inputs that changed while the task ran: its result belongs to neither state
    if (before && before.hash !== print.hash) {
      context.log('An input changed while this ran, so its result is not remembered.')
      return
    }
    if (value !== undefined && options.secret(JSON.stringify(value))) {
      context.log('Its value holds a secret, so it is not remembered.')
      return
    }
    grown = true
    await cache.publish({
      task: node.id,
      fingerprint: print,
      cwd: context.cwd,
      outputs: node.definition.outputs ?? [],
      value: (value ?? null) as Json,
      durationMs,
    })
  }
  return {
    remembers,
    async check(node, context, { force }) {
      const print = await take(node, context)
      const fingerprint = print.hash
      const last = cache.last(node.id)
      const run = (
        cause: string,
        differences: readonly string[] = [],
      ): Verdict & { differences?: readonly string[] } => {
        if (!options.readOnly) cache.begin(node.id)
        return { decision: 'run', cause, fingerprint, ...(differences.length > 1 ? { differences } : {}) }
      }
      if (force) return run('--force')
      const unknown = unknownNeeds(context)
      if (unknown.size > 0 && last) {
        const known = Object.entries(last.parts).filter(([name]) => !unknown.has(name))
        const differences = explainDifference(Object.fromEntries(known), print.parts)
        return { decision: 'run', cause: differences.length === 0 ? '' : summary(differences), differences }
      }
      const reuse = (cause: string, value: unknown): Verdict => ({ decision: 'reuse', cause, value })
      if (last?.hash === fingerprint) {
        const found = await recalled(node.definition.returns, last.value)
        if ('problem' in found) return run(found.problem)
        const changed = cache.differences(last, context.cwd)
        if (changed.length === 0) return reuse('inputs and outputs are unchanged', found.value)
        if (!last.stored) return run(summary(changed), changed)
        if (options.readOnly) return reuse(`outputs would be restored: ${summary(changed)}`, found.value)
        const restored = restore(last, context.cwd)
        return restored === undefined ? run(summary(changed), changed) : reuse(restored, found.value)
      }
      const earlier = cache.find(fingerprint)
      const found = earlier?.task === node.id ? await recalled(node.definition.returns, earlier.value) : undefined
      if (earlier && found && 'value' in found) {
        if (options.readOnly) return reuse('outputs would be restored from an earlier run', found.value)
        const restored = restore(earlier, context.cwd)
        if (restored !== undefined) return reuse(restored, found.value)
      }
      if (!last) return run('never succeeded with these inputs')
      const differences = explainDifference(last.parts, print.parts)
      return run(summary(differences), differences)
    },
    commit(node, context, value, durationMs) {
      if (node.definition.run) files.forget()
      return remembers(node) ? publish(node, context, value, durationMs) : undefined
    },
    close() {
      files.save()
      if (grown) cache.prune()
    },
  }
}

/** Parts of the fingerprint that only a run can know. */
function unknownNeeds({ needs }: AnyContext): ReadonlySet<string> {
  const unknown = Object.entries<unknown>(needs).filter(([, value]) => value === unknownValue)
  return new Set(unknown.map(([key]) => `need ${key}`))
}

function summary(differences: readonly string[]): string {
  return differences.length === 1 ? differences[0]! : `${differences[0]} and ${differences.length - 1} more`
}
