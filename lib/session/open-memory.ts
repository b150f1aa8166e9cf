import type { Graph } from '../engine/graph.ts'
import type { Memory } from './memory.ts'
import type { Session } from './session.ts'

/** The memory of a project; undefined (and nothing is loaded) when no task of the graph declares inputs or outputs. */
export async function openMemory(
  session: Session,
  graph: Graph,
  options: { readonly readOnly: boolean; readonly warn?: (text: string) => void },
): Promise<Memory | undefined> {
  if (!session.cache) return undefined
  const wanted = [...graph.nodes.values()].some(({ definition }) => definition.inputs ?? definition.outputs)
  if (!wanted) return undefined
  const [{ createMemory }, { openFiles }, { openCache }] = await Promise.all([
    import('./memory.ts'),
    import('../state/files.ts'),
    import('../state/cache.ts'),
  ])
  const directory = session.project.stateDirectory
  const files = openFiles({ directory })
  const maxBytes = session.loaded.config.cacheBytes
  const { warn } = options
  return createMemory({
    files,
    cache: openCache({ directory, files, ...(maxBytes === undefined ? {} : { maxBytes }), ...(warn ? { warn } : {}) }),
    readOnly: options.readOnly,
    secret: (text) => session.redactor.redact(text) !== text,
  })
}
