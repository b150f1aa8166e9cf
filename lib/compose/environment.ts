import { type InterpolationProblem, interpolate } from './interpolate.ts'
import { composeError, type Source, short } from './tree.ts'

type Variables = Readonly<Record<string, string>>

/**
 * Variables of a `.env` file or an `env_file`: `KEY=value`, `export KEY=value`, `#` comments, 'literal' and "escaped, ${interpolated}"
 * values that may span lines, unquoted values interpolated and cut at ` #`. A key alone takes its value from `source.environment`, or
 * is left out. `${NAME}` looks in `source.environment` first, then above in the file, then in `earlier` files' variables. `raw` takes
 * every value as it stands.
 */
export function parseEnvironment(
  source: Source,
  format: 'default' | 'raw' = 'default',
  earlier: Variables = {},
): Variables {
  const { text, environment } = source
  const values = new Map<string, string>()
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0

  function lookup(name: string): string | undefined {
    if (Object.hasOwn(environment, name)) return environment[name]
    return values.get(name) ?? (Object.hasOwn(earlier, name) ? earlier[name] : undefined)
  }

  function expand(value: string, offset: number): string {
    return interpolate(value, {
      lookup,
      fail: (problem: InterpolationProblem) => {
        throw composeError(
          problem.kind === 'required' ? 'VARIABLE_REQUIRED' : 'ENV_FILE',
          problem.message[0]!.toUpperCase() + problem.message.slice(1),
          { at: { source, offset: Math.min(offset + problem.index, text.length) } },
        )
      },
    })
  }

  function restOfLine(): string {
    const end = text.indexOf('\n', at)
    const line = text.slice(at, end === -1 ? text.length : end)
    at = end === -1 ? text.length : end + 1
    return line.replace(/\r$/, '')
  }

  function quoted(quote: '"' | "'"): string {
    const start = at
    at += 1
    let out = ''
    while (at < text.length) {
      const char = text[at]!
      if (char === quote) {
        at += 1
        return out
      }
      if (char === '\\' && at + 1 < text.length && (quote === '"' || text[at + 1] === "'")) {
        out += quote === '"' ? char + text[at + 1]! : text[at + 1]!
        at += 2
      } else {
        out += char
        at += 1
      }
    }
    throw composeError('ENV_FILE', 'A quoted value is not closed', { at: { source, offset: start } })
  }

  function value(): string {
    while (text[at] === ' ' || text[at] === '\t') at += 1
    const offset = at
    const quote = text[at]
    if (quote === '"' || quote === "'") {
      const inside = quoted(quote)
      const after = restOfLine().trim()
      if (after !== '' && !after.startsWith('#'))
        throw composeError('ENV_FILE', `"${short(after)}" follows a closed quote`, { at: { source, offset } })
      return quote === "'" ? inside : expand(unescaped(inside), offset + 1)
    }
    const line = restOfLine()
    const comment = line.search(/(^|\s)#/)
    return expand((comment === -1 ? line : line.slice(0, comment)).trim(), offset)
  }

  const keyPattern =
    format === 'raw' ? /([^=\s#][^=\n]*)(=)/y : /(?:export[ \t]+)?([^\s=:'"#]+)[ \t]*(=|:(?=[ \t]|$)|(?=\r?\n|$|#))/my
  while (at < text.length) {
    const start = at
    while (text[at] === ' ' || text[at] === '\t') at += 1
    if (at >= text.length) break
    if (text[at] === '#' || text[at] === '\n' || text[at] === '\r') {
      restOfLine()
      continue
    }
    keyPattern.lastIndex = at
    const found = keyPattern.exec(text)
    const key = found?.[1]?.trim()
    if (!found || !key || key === '__proto__') {
      at = start
      const line = restOfLine()
      if (format === 'raw' && /^[^=\s]+$/.test(line.trim())) {
        const inherited = lookup(line.trim())
        if (inherited !== undefined) values.set(line.trim(), inherited)
        continue
      }
      throw composeError('ENV_FILE', `"${short(line.trim())}" is no KEY=value`, {
        at: { source, offset: start },
        hint: 'Write one KEY=value a line; # starts a comment',
      })
    }
    at = keyPattern.lastIndex
    if (format === 'raw') {
      values.set(key, restOfLine())
    } else if (found[2] === '') {
      restOfLine()
      const inherited = lookup(key)
      if (inherited !== undefined) values.set(key, inherited)
    } else {
      values.set(key, value())
    }
  }
  return Object.fromEntries(values)
}

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\', $: '$$' }

function unescaped(text: string): string {
  return text.replace(/\\([\s\S])/g, (whole, char: string) => escapes[char] ?? whole)
}
