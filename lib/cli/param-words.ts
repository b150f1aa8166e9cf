/** Params -> words of the command line: the way back. */
import type { Json } from '../engine/schema.ts'
import { looksLikeOption } from './options.ts'
import { isBoolean, type Param } from './param.ts'

/**
 * The words that `readTargets` reads as `input` again: for examples and for the command a person can repeat. Each word is
 * one argument; `quoteWord` quotes it for a shell.
 */
export function formatParams(params: readonly Param[], input: Readonly<Record<string, Json>>): readonly string[] {
  const options: string[] = []
  const words: string[] = []
  for (const param of params) {
    const value = Object.hasOwn(input, param.key) ? input[param.key] : undefined
    if (value === undefined) continue
    if (param.many && Array.isArray(value)) {
      // A word that looks like an option could not stand alone, so the whole list is written as options.
      const bare = param.positional === 'rest' ? value.slice(0, 1) : value
      const plain = bare.every((item) => typeof item === 'string' && isWord(item))
      if (value.length === 0) options.push(`--${param.option}=`)
      else if (param.positional && plain) words.push(...value.map(String))
      else options.push(...value.map((item) => `--${param.option}=${scalarText(item).replaceAll(',', '\\,')}`))
    } else if (typeof value === 'boolean' && isBoolean(param.shape)) {
      options.push(value ? `--${param.option}` : `--no-${param.option}`)
    } else {
      options.push(`--${param.option}=${scalarText(value)}`)
    }
  }
  return [...options, ...words]
}

function isWord(text: string): boolean {
  return text !== '' && !looksLikeOption(text)
}

function scalarText(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
