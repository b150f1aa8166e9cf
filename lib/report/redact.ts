/**
 * Masks secrets in everything that is shown or stored: as they are, inside JSON, URLs and base64, and each line of
 * those with several lines.
 *
 * What is masked: a declared secret of at least 4 characters, and of at least 6 when it was only guessed from the name
 * of its environment variable. Words that any text holds (`password`, `postgres`, `true`, ...) and plain numbers below
 * 6 digits are never masked, since that would hide more than it protects: a secret like that is none.
 */
import type { RunEvent } from '../engine/events.ts'
import { type Automaton, createAutomaton } from './automaton.ts'

export const mask = '***'
const declaredLength = 4
const guessedLength = 6

const commonWords = new Set(
  (
    'admin administrator default devstack disabled enabled example false localhost none null password postgres ' +
    'postgresql production public redis root secret staging test token true undefined user username changeme'
  ).split(' '),
)

export interface Redactor {
  /** Masks this value from now on. Too short or too common ones are ignored; says whether it was taken. */
  add(secret: string): boolean
  /** Masks the values of variables whose names look secret, and passwords inside URLs of any variable. */
  addEnvironment(environment: Readonly<Record<string, string | undefined>>): void
  redact(text: string): string
  /** The event with every text in it masked; the same object when nothing had to be. Ids of nodes and runs stay. */
  redactEvent(event: RunEvent): RunEvent
  /** For text that comes in pieces: `write` gives what is certain, `end` the rest. */
  stream(): RedactingStream
}

export interface RedactingStream {
  write(chunk: string): string
  end(): string
}

export function createRedactor(): Redactor {
  const secrets = new Set<string>()
  let automaton: Automaton | undefined

  const current = (): Automaton => {
    if (!automaton) {
      const patterns = new Set<string>()
      for (const secret of secrets) for (const form of formsOf(secret)) patterns.add(form)
      automaton = createAutomaton(patterns)
    }
    return automaton
  }

  const take = (secret: string, shortest: number): boolean => {
    const value = secret.trim()
    if (!isSecret(value, shortest)) return false
    if (!secrets.has(value)) {
      secrets.add(value)
      automaton = undefined
    }
    return true
  }

  const redact = (text: string): string => {
    if (secrets.size === 0 || text.length < declaredLength) return text
    const { masked } = collect(current(), text)
    return masked.length === 0 ? text : rewrite(text, masked, 0, text.length)
  }

  return {
    add: (secret) => take(secret, declaredLength),
    addEnvironment(environment) {
      for (const [name, value] of Object.entries(environment)) {
        if (!value) continue
        if (looksSecret(name)) take(value, guessedLength)
        for (const password of passwordsIn(value)) take(password, declaredLength)
      }
    },
    redact,
    redactEvent: (event) => (secrets.size === 0 ? event : (redactFacts(event, redact) as RunEvent)),
    stream() {
      let pending = ''
      // how many units at the start of `pending` belong to a secret whose mask is already written
      let told = 0
      const flush = (until: number, found: readonly Span[]): string => {
        const spans: readonly Span[] = told > 0 ? merge([[0, told], ...found]) : found
        const text = rewrite(pending, spans, told, until)
        const last = spans.findLast(([from, to]) => from < until && to > until)
        told = Math.max(0, (last ? last[1] : told) - until)
        pending = pending.slice(until)
        return text
      }
      return {
        write(chunk) {
          pending += chunk
          if (secrets.size === 0) return flush(pending.length, [])
          const { masked, open } = collect(current(), pending)
          return flush(pending.length - open, masked)
        },
        end: () => flush(pending.length, secrets.size === 0 ? [] : collect(current(), pending).masked),
      }
    },
  }
}

type Span = readonly [from: number, to: number]

/** Where secrets stand in the text, overlapping ones as one, and how much of its end is undecided. */
function collect(automaton: Automaton, text: string): { readonly masked: readonly Span[]; readonly open: number } {
  const spans: Span[] = []
  const open = automaton.scan(text, (from, to) => spans.push([from, to]))
  return { masked: spans.length > 1 ? merge(spans) : spans, open }
}

function merge(spans: readonly Span[]): Span[] {
  const merged: [number, number][] = []
  for (const [from, to] of spans.toSorted((a, b) => a[0] - b[0])) {
    const last = merged.at(-1)
    if (last && from < last[1]) last[1] = Math.max(last[1], to)
    else merged.push([from, to])
  }
  return merged
}

/** `text` from `from` to `until` with the spans masked; a span that began before `from` is masked already. */
function rewrite(text: string, spans: readonly Span[], from: number, until: number): string {
  if (from >= until) return ''
  let result = ''
  let at = from
  for (const [start, end] of spans) {
    if (start >= until) break
    if (end <= at) continue
    if (start >= at) result += text.slice(at, start) + mask
    at = Math.min(end, until)
  }
  return result + text.slice(at, until)
}

function isSecret(value: string, shortest: number): boolean {
  if (value.length < shortest || commonWords.has(value.toLowerCase())) return false
  if (/^\d+$/.test(value)) return value.length >= guessedLength
  // a run of one character is a rule or a mask of another tool
  return new Set(value).size > 1
}

const secretWords = new Set(
  'password passwd passphrase pwd pass token secret secrets key apikey credential credentials authorization'.split(' '),
)
/** Names that say where a secret lies, or what belongs to it, not what it is. */
const describing = new Set(
  'path file dir sock socket id name url uri host port user type method mode length size algorithm'.split(' '),
)

/** Whether an environment variable of this name holds a secret: `PGPASSWORD`, `API_KEY`, `githubToken`. */
export function looksSecret(name: string): boolean {
  if (/^(old)?pwd$/i.test(name)) return false
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter(Boolean)
  const last = words.at(-1)
  if (last === undefined || describing.has(last)) return false
  // npm's basic authentication; elsewhere AUTH tells how to log in more often than with what
  if (/^npm_config_.*_auth$/i.test(name)) return true
  return words.some(
    (word) => secretWords.has(word) || /(password|passwd|passphrase|token|secret|apikey|credentials?)$/.test(word),
  )
}

/** Passwords of `scheme://user:password@host` in the text, as written and decoded. */
function passwordsIn(text: string): string[] {
  const found: string[] = []
  for (const [, password] of text.matchAll(/[a-z][a-z0-9+.-]*:\/\/[^\s/?#:@]*:([^\s/?#@]+)@/gi)) {
    found.push(password!)
    try {
      found.push(decodeURIComponent(password!))
    } catch {
      // a stray percent sign: then it is written as it is
    }
  }
  return found
}

/** Every way a secret may be written down. */
function formsOf(secret: string): Set<string> {
  const forms = new Set<string>()
  const lines = secret.split(/\r\n|\r|\n/).map((line) => line.trim())
  const parts = lines.length > 1 ? [secret, ...lines.filter((line) => isSecret(line, guessedLength))] : [secret]
  if (lines.length > 1) parts.push(lines.join('\n'), lines.join('\r\n'), `${lines.join('\n')}\n`)
  for (const part of parts) {
    for (const form of [part, ...jsonForms(part), ...urlForms(part), ...base64Forms(part)]) {
      if (form.length >= declaredLength) forms.add(form)
    }
  }
  return forms
}

function jsonForms(text: string): string[] {
  const quote = (value: string) => JSON.stringify(value).slice(1, -1)
  const ascii = (value: string) =>
    value.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  const once = quote(text)
  // JSON inside JSON, as in a log line that holds a response; some writers escape slashes or everything beyond ASCII
  return [once, quote(once), once.replaceAll('/', '\\/'), ascii(once)]
}

function urlForms(text: string): string[] {
  const known = text.toWellFormed()
  const component = encodeURIComponent(known)
  const percent = (unit: string) => `%${unit.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
  // RFC 3986 reserves five characters that encodeURIComponent leaves; form encoding (WHATWG URL) treats others apart
  const strict = component.replace(/[!'()*]/g, percent)
  const form = new URLSearchParams({ x: known }).toString().slice(2)
  const all = [
    component,
    strict,
    strict.replace(/[-._~]/g, percent),
    form,
    form.replaceAll('+', '%20'),
    encodeURI(known),
  ]
  for (const one of [component, strict]) all.push(one.replaceAll('%20', '+'))
  return [...all, ...all.map((one) => one.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()))]
}

/**
 * Base64 of the secret at each of the three places it can have inside what was encoded (`user:secret`), without the
 * characters at both ends that also hold bits of its neighbours.
 */
function base64Forms(text: string): string[] {
  const bytes = Buffer.from(text, 'utf8')
  const forms = [bytes.toString('base64'), bytes.toString('base64').replace(/=+$/, '')]
  for (let before = 0; before < 3; before += 1) {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    const whole = (before + bytes.length) % 3 === 0
    const inner = encoded.slice(before === 0 ? 0 : before + 1, whole ? undefined : -1)
    // a shorter one says too little of the secret and is met by chance
    if (inner.length >= guessedLength) forms.push(inner)
  }
  return [...forms, ...forms.map((form) => form.replaceAll('+', '-').replaceAll('/', '_'))]
}

/** Fields that name things of the run; masking them would tear the run's events apart. */
const names = new Set(
  (
    'type at runId node traceId needs nodes task because blocked criticalPath continues undoes partOf decision ' +
    'effect stream kind code state level format version fingerprint for lock holders'
  ).split(' '),
)
/** Fields whose inside is the user's own: no name in there is ours. */
const values = new Set(['value', 'params'])

function redactFacts(fact: unknown, redact: (text: string) => string): unknown {
  return mapTexts(fact, redact, true)
}

/** Maps every text in a JSON value; gives back the same object where nothing changed. */
function mapTexts(value: unknown, redact: (text: string) => string, ours: boolean): unknown {
  if (typeof value === 'string') return redact(value)
  if (Array.isArray(value)) {
    const mapped = value.map((item) => mapTexts(item, redact, ours))
    return mapped.some((item, index) => item !== value[index]) ? mapped : value
  }
  if (typeof value !== 'object' || value === null) return value
  let changed = false
  const entries = Object.entries(value).map(([key, item]): [string, unknown] => {
    if (ours && names.has(key)) return [key, item]
    const mapped = mapTexts(item, redact, ours && !values.has(key))
    const name = ours ? key : redact(key)
    if (mapped !== item || name !== key) changed = true
    return [name, mapped]
  })
  return changed ? Object.fromEntries(entries) : value
}
