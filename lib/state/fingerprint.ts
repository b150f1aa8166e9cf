/** What a task's result depends on, as one hash, and as named parts so that a difference can be named. */
import { hash } from 'node:crypto'
import type { Json } from '../engine/schema.ts'
import type { FileHashes } from './files.ts'

export interface FingerprintSources {
  /** Where `inputs` are looked for, absolute. */
  readonly cwd: string
  readonly inputs?: readonly string[]
  /** The command's text or the function's source. */
  readonly source?: string
  readonly params?: Readonly<Record<string, Json>>
  /** The variables the task declares; `undefined` where one is not set. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** The values of the needs by their names. */
  readonly needs?: Readonly<Record<string, Json>>
  /** The declared patterns; what they match is checked against the cache's record. */
  readonly outputs?: readonly string[]
  /** Anything else that matters, for instance versions, by name. */
  readonly more?: Readonly<Record<string, Json>>
}

export interface Fingerprint {
  /** SHA-256 over all parts, as hex. */
  readonly hash: string
  /** `file src/a.ts`, `env TARGET`, `param to`, `need image`, `source`, `outputs` to a hash; never the values, they may be secret. */
  readonly parts: Readonly<Record<string, string>>
}

/** The fingerprint of the sources as they are now; files are read through `files`. */
export async function fingerprint(sources: FingerprintSources, files: FileHashes): Promise<Fingerprint> {
  const texts: [name: string, text: string][] = []
  const add = (kind: string, values: Readonly<Record<string, Json>> | undefined): void => {
    for (const name of sortedKeys(values)) texts.push([`${kind} ${name}`, stable(values![name] ?? null)])
  }
  if (sources.inputs) {
    texts.push(['inputs', JSON.stringify(sources.inputs)])
    for (const [path, hash] of await files.hash(sources.cwd, sources.inputs)) texts.push([`file ${path}`, hash])
  }
  if (sources.source !== undefined) texts.push(['source', sources.source])
  if (sources.outputs) texts.push(['outputs', JSON.stringify(sources.outputs)])
  add('param', sources.params)
  // no value can be mistaken for a variable that is not set
  for (const name of sortedKeys(sources.env)) {
    const value = sources.env![name]
    texts.push([`env ${name}`, value === undefined ? unset : `=${value}`])
  }
  add('need', sources.needs)
  add('more', sources.more)
  return new TextFingerprint(texts)
}

const unset = 'unset'

function sortedKeys(values: object | undefined): readonly string[] {
  return values === undefined ? [] : Object.keys(values).sort()
}

/** Parts are asked for only when something differs or is recorded, so they are made then. */
class TextFingerprint implements Fingerprint {
  readonly hash: string
  readonly #texts: readonly (readonly [name: string, text: string])[]

  constructor(texts: readonly (readonly [name: string, text: string])[]) {
    this.#texts = texts
    this.hash = hashOf(texts)
  }

  get parts(): Readonly<Record<string, string>> {
    const parts = this.#texts.map(([name, text]) => {
      const isShown = name.startsWith('file ') || (name.startsWith('env ') && text === unset)
      return [name, isShown ? text : digest(text)]
    })
    return Object.fromEntries(parts)
  }
}

function hashOf(parts: readonly (readonly [name: string, text: string])[]): string {
  let all = ''
  // Lengths keep `a` + `bc` apart from `ab` + `c`.
  for (const [name, text] of parts) all += `${name.length}:${name}${text.length}:${text}`
  return digest(all)
}

/** Each difference in a few words, files last: `param to changed`, `src/a.ts is new`. Empty when nothing differs. */
export function explainDifference(
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(now)])]
  const rank = (name: string) => (name.startsWith('file ') ? 1 : 0)
  names.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
  return names.flatMap((name) => {
    const was = Object.hasOwn(before, name) ? before[name] : undefined
    const is = Object.hasOwn(now, name) ? now[name] : undefined
    return was === is ? [] : [explain(name, was, is)]
  })
}

function explain(name: string, was: string | undefined, is: string | undefined): string {
  const [kind = '', subject] = split(name)
  if (kind === 'file') return explainFile(subject, was, is)
  if (kind === 'env') {
    if (is === undefined) return `environment variable ${subject} does not count any more`
    if (was === undefined) return `environment variable ${subject} counts now`
    return `environment variable ${subject} ${is === 'unset' ? 'is not set any more' : was === 'unset' ? 'is set now' : 'changed'}`
  }
  const words: Readonly<Record<string, string>> = {
    source: 'what it runs',
    inputs: 'the list of inputs',
    outputs: 'the list of outputs',
    param: `param ${subject}`,
    need: `the value of ${subject}`,
    more: subject,
  }
  const noun = words[kind] ?? name
  return `${noun} ${was === undefined ? 'is new' : is === undefined ? 'is gone' : 'changed'}`
}

function explainFile(path: string, was: string | undefined, is: string | undefined): string {
  const wasThere = was !== undefined && was !== 'missing'
  const isThere = is !== undefined && is !== 'missing'
  if (!isThere) return `${path} is ${wasThere ? 'gone' : 'missing'}`
  if (!wasThere) return `${path} is new`
  if (was.replace('+x', '') === is.replace('+x', '')) {
    return `${path} is ${is.endsWith('+x') ? 'executable now' : 'not executable any more'}`
  }
  return `${path} changed`
}

function split(name: string): [string, string] {
  const blank = name.indexOf(' ')
  return blank < 0 ? [name, ''] : [name.slice(0, blank), name.slice(blank + 1)]
}

/** JSON with keys in order, so that equal values have equal text. */
export function stable(value: Json): string {
  if (Array.isArray(value)) return `[${value.map((item: Json) => stable(item)).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  const record = value as { readonly [key: string]: Json }
  const members = Object.keys(record)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${stable(record[key]!)}`)
  return `{${members.join(',')}}`
}

function digest(text: string): string {
  return hash('sha256', text)
}
