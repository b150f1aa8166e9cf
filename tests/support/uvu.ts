/**
 * Preloaded into every test file (`node --import ./tests/support/uvu.ts tests/x.test.ts`): lets uvu report what it otherwise
 * swallows. As published, it keeps quiet about what a hook throws, about thrown values that are no errors, and about errors
 * that have a `details` property of their own, as ours do; the rest of the suite is then silently not run.
 */
import { registerHooks } from 'node:module'
import { inspect } from 'node:util'

declare global {
  /** Called by the changed lines of uvu. */
  var uvuReadable: (thrown: unknown) => Error
}

globalThis.uvuReadable = (thrown) => {
  if (!(thrown instanceof Error)) return new Error(`thrown: ${typeof thrown === 'string' ? thrown : inspect(thrown)}`)
  const { details, code } = thrown as { readonly details?: unknown; readonly code?: unknown }
  if (details === undefined || details === false || typeof details === 'string') return thrown
  const lines = Array.isArray(details) ? details.map(String) : [inspect(details)]
  const readable = new Error([`${String(code ?? '')} ${thrown.message}`.trim(), ...lines].join('\n    '))
  readable.stack = `${readable.message.replaceAll('\n', ' ')}${thrown.stack?.slice(thrown.stack.indexOf('\n    at ')) ?? ''}`
  return readable
}

const changes: readonly (readonly [string, string])[] = [
  ['} catch (err) {', '} catch (thrown) { const err = globalThis.uvuReadable(thrown);'],
  ['} finally {', "} catch (thrown) { errors += format('a hook', globalThis.uvuReadable(thrown), name); } finally {"],
]

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    if (!url.endsWith('/uvu/dist/index.mjs') || loaded.source === undefined || loaded.source === null) return loaded
    let source = typeof loaded.source === 'string' ? loaded.source : new TextDecoder().decode(loaded.source)
    for (const [from, to] of changes) {
      if (source.split(from).length !== 2) throw new Error(`uvu has changed: "${from}" is not there once`)
      source = source.replace(from, () => to)
    }
    return { ...loaded, source }
  },
})
