/**
 * Where in the user's own files an error came from, so that it can be shown as file:line:column with the offending line
 * instead of a stack trace. Knows the stacks and messages of Node 22 and 24.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Place } from '../errors.ts'

// Our own frames never are the user's mistake. As sources this file lies in lib/cli/, published in the bundle's folder.
const ownFolder = fileURLToPath(new URL(import.meta.url.includes('/lib/cli/') ? '..' : '.', import.meta.url))
const largestFile = 10 * 1024 * 1024

/**
 * The place in `configFile`, or in a file it imports, that what was thrown while loading it speaks of; the file alone
 * when nothing more can be told. Looks at syntax errors, missing imports and exports, and the topmost frame of the stack
 * that is neither Node's, a package's nor our own. Never throws.
 */
export function placeOfThrown(thrown: unknown, configFile: string): Place {
  const stack = textOf(thrown, 'stack')
  const code = textOf(thrown, 'code')
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') {
    return withText(placeOfImport(textOf(thrown, 'message'), configFile))
  }
  const found = placeOfSyntax(stack) ?? placeOfFrame(stack)
  if (found) return withText(found)
  // V8 keeps the place of a syntax error in plain JavaScript to itself; a check of the file prints it.
  if (textOf(thrown, 'name') === 'SyntaxError' && /\.[cm]?js$/.test(configFile)) {
    const check = spawnSync(process.execPath, ['--check', configFile], {
      encoding: 'utf8',
      timeout: 10_000,
      env: { PATH: process.env['PATH'] },
    })
    const place = placeOfSyntax(check.stderr ?? '')
    if (place) return withText(place)
  }
  return { file: configFile }
}

/** The first lines of a syntax error's stack: `file:line`, the line, a caret below the column. */
function placeOfSyntax(stack: string): Place | undefined {
  const lines = stack.split('\n', 12)
  const head = /^((?:file:\/\/)?\/.*?|(?:file:\/\/\/)?[A-Za-z]:[\\/].*?):(\d+)$/.exec(lines[0] ?? '')
  if (!head) return undefined
  const caretAt = lines.findIndex((line) => /^\s*\^+\s*$/.test(line))
  const column = caretAt < 0 ? undefined : lines[caretAt]!.indexOf('^') + 1
  const file = pathOf(head[1]!)
  const line = Number(head[2])
  return { file, line, ...(column === undefined ? {} : { column }) }
}

function placeOfFrame(stack: string): Place | undefined {
  for (const line of stack.split('\n')) {
    const frame = /^\s+at (?:.*?\()?((?:file:\/\/)?(?:\/|[A-Za-z]:[\\/]).*?):(\d+):(\d+)\)?$/.exec(line)
    if (!frame) continue
    const file = pathOf(frame[1]!)
    if (/[\\/]node_modules[\\/]/.test(file) || file.startsWith(ownFolder)) continue
    return { file, line: Number(frame[2]), column: Number(frame[3]) }
  }
  return undefined
}

/** `Cannot find package 'x' imported from /config.ts`: the line of that import. */
function placeOfImport(message: string, configFile: string): Place {
  const match = /'([^']+)'.* imported from (.+)$/s.exec(message.split('\n', 1)[0]!)
  if (!match) return { file: configFile }
  const file = pathOf(match[2]!.trim())
  // A relative import is reported as the path it led to, so its last part is what the source line has.
  const wanted = match[1]!.split(/[\\/]/)
  const specifiers = /[\\/]/.test(match[1]![0]!) ? [wanted.at(-1)!] : [match[1]!]
  const lines = linesOf(file) ?? []
  for (const specifier of specifiers) {
    const index = lines.findIndex((line) => /\b(import|from|require)\b/.test(line) && line.includes(specifier))
    if (index >= 0) return { file, line: index + 1, column: lines[index]!.indexOf(specifier) + 1 }
  }
  return { file }
}

function withText(place: Place): Place {
  if (place.line === undefined) return place
  const text = linesOf(place.file)?.[place.line - 1]
  // A line of a minified file would fill the screen.
  return text === undefined || text.length > 400 ? place : { ...place, text }
}

function linesOf(file: string): readonly string[] | undefined {
  try {
    const { size } = statSync(file)
    return size > largestFile ? undefined : readFileSync(file, 'utf8').split(/\r?\n/)
  } catch {
    return undefined
  }
}

/** Configs are imported with a query behind their path to get past the module cache. */
function pathOf(location: string): string {
  const bare = location.replace(/\?[^?]*$/, '')
  try {
    return bare.startsWith('file:') ? fileURLToPath(bare) : bare
  } catch {
    return bare
  }
}

/** A property as text; what was thrown may be no object, or one whose getters throw. */
function textOf(thrown: unknown, key: 'stack' | 'code' | 'message' | 'name'): string {
  try {
    const value = (thrown as Record<string, unknown> | null | undefined)?.[key]
    return typeof value === 'string' ? value : ''
  } catch {
    return ''
  }
}
