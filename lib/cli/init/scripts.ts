/** Scripts of a package.json as draft tasks. */
import { DevstackError, messageOf } from '../../errors.ts'
import type { Draft, DraftTask } from './draft.ts'

/**
 * Reads the text of a package.json. A `pre` script becomes a need of its script and a `post` script its last command, as
 * npm runs them; `run-p` and `npm-run-all --parallel` become needs, which run at once as they did.
 */
export function importScripts(text: string, file = 'package.json'): Draft {
  const scripts = readScripts(text, file)
  const notes: string[] = []
  const tasks: DraftTask[] = []
  const isHook = (name: string, prefix: string) => name.startsWith(prefix) && scripts.has(name.slice(prefix.length))
  for (const [name, line] of scripts) {
    const variables = [...new Set(line.match(/(?<=\$\{?)npm_\w+/g))]
    if (variables.length > 0) {
      notes.push(`"${name}" reads ${variables.join(' and ')}, which npm sets and devstack does not.`)
    }
    if (isHook(name, 'post')) {
      notes.push(`"${name}" is the last command of the task ${name.slice('post'.length)}.`)
      continue
    }
    const before = scripts.has(`pre${name}`) && !isHook(name, 'pre') ? [`pre${name}`] : []
    const after = scripts.get(`post${name}`)
    const parallel = parallelScripts(line, scripts)
    if (parallel && after === undefined) {
      tasks.push({ name, needs: [...before, ...parallel], commands: [] })
      continue
    }
    const chained = chainedScripts(line).filter((script) => scripts.has(script))
    tasks.push({
      name,
      needs: before,
      commands: [{ line }, ...(after === undefined ? [] : [{ line: after }])],
      ...(chained.length > 1
        ? {
            notes: [`Runs ${chained.join(', ')} one after the other. What does not depend on another could be a need.`],
          }
        : {}),
    })
  }
  return { source: 'package.json', file, tasks, notes }
}

function readScripts(text: string, file: string): ReadonlyMap<string, string> {
  let parsed: unknown
  try {
    parsed = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch (cause) {
    throw new DevstackError({
      kind: 'config',
      code: 'IMPORT_UNREADABLE',
      message: `${file} is not valid JSON: ${messageOf(cause)}`,
      hint: 'Correct it, or choose what to import with --from.',
      place: { file },
      cause,
    })
  }
  const scripts = (parsed as { scripts?: unknown } | null)?.scripts
  if (typeof scripts !== 'object' || scripts === null) return new Map()
  return new Map(
    Object.entries(scripts).filter(
      (entry): entry is [string, string] =>
        // "//" is how comments are written there.
        typeof entry[1] === 'string' && entry[1].trim() !== '' && !entry[0].startsWith('//'),
    ),
  )
}

/** The scripts that `run-p a b` and its like start at once; `undefined` when the line is anything else. */
function parallelScripts(line: string, scripts: ReadonlyMap<string, string>): readonly string[] | undefined {
  const match = /^(?:run-p|npm-run-all\s+(?:-p|--parallel))((?:\s+[\w:.@/-]+)+)$/.exec(line.trim())
  const names = match?.[1]?.trim().split(/\s+/)
  return names?.every((name) => scripts.has(name)) ? names : undefined
}

/** The scripts in `npm run a && yarn b && pnpm run c`. */
function chainedScripts(line: string): readonly string[] {
  return line
    .split('&&')
    .map((part) => /^\s*(?:npm run|yarn(?: run)?|pnpm(?: run)?|bun run)\s+([\w:.@/-]+)\s*$/.exec(part)?.[1])
    .filter((name) => name !== undefined)
}
