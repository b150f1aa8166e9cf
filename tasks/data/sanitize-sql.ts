/** Rules as SQL. The salt is random and forgotten: without it nobody can find out a value by hashing guesses. */
import { identifier, literal } from './cluster.ts'
import type { Column, ColumnRule, FakeKind } from './rules.ts'

const firstNames = [
  'Alma',
  'Bruno',
  'Celia',
  'Dario',
  'Edda',
  'Felix',
  'Greta',
  'Henri',
  'Ines',
  'Jonas',
  'Kira',
  'Levi',
  'Mona',
  'Nils',
  'Olga',
  'Pavel',
  'Rosa',
  'Sven',
  'Tilda',
  'Viktor',
]
const lastNames = [
  'Acker',
  'Berg',
  'Castell',
  'Dahl',
  'Ebert',
  'Falk',
  'Garde',
  'Holt',
  'Ibsen',
  'Jansen',
  'Keller',
  'Lund',
  'Marek',
  'Norden',
  'Olsen',
  'Petri',
  'Rask',
  'Stern',
  'Thoma',
  'Winter',
]
const streets = ['Mill Lane', 'Station Road', 'Orchard Way', 'Harbour Street', 'Elm Row', 'Chapel Hill', 'Quarry Path']
const companies = [
  'Northwind Tools',
  'Blue Harbour',
  'Oak and Iron',
  'Lantern Works',
  'Meridian Supply',
  'Granite Labs',
]

/** What a column's new value is computed by; `undefined` for `keep`. */
export function ruleExpression(column: Column, rule: ColumnRule, salt: string): string | undefined {
  const name = identifier(column.name)
  // the same value of another column has the same hash: so references stay references
  const digest = `sha256(convert_to(${literal(salt)} || ${name}::text, 'UTF8'))`
  const fit = (text: string): string => (column.length === null ? text : `left(${text}, ${column.length})`)
  if (rule === 'keep') return undefined
  if (rule === 'null') return 'NULL'
  if (rule === 'mask') {
    return `regexp_replace(regexp_replace(${name}, '[[:alpha:]]', 'x', 'g'), '[[:digit:]]', '0', 'g')`
  }
  if (rule === 'hash') {
    if (column.type === 'uuid') return `left(encode(${digest}, 'hex'), 32)::uuid`
    const number = `(('x' || left(encode(${digest}, 'hex'), 16))::bit(64)::bigint & 9223372036854775807)`
    if (column.type === 'bigint') return number
    if (column.type === 'integer') return `(${number} % 2147483647)::integer`
    return fit(`encode(${digest}, 'hex')`)
  }
  return `CASE WHEN ${name} IS NULL THEN NULL ELSE ${fit(fake(rule.slice('fake:'.length) as FakeKind, digest))} END`
}

function fake(kind: FakeKind, digest: string): string {
  const pick = (words: readonly string[], byte: number): string =>
    `(ARRAY[${words.map(literal).join(', ')}])[1 + get_byte(${digest}, ${byte}) % ${words.length}]`
  const number = (byte: number, size: number): string =>
    `(get_byte(${digest}, ${byte}) * 256 + get_byte(${digest}, ${byte + 1})) % ${size}`
  switch (kind) {
    case 'first-name':
      return pick(firstNames, 0)
    case 'last-name':
      return pick(lastNames, 1)
    case 'name':
      return `${pick(firstNames, 0)} || ' ' || ${pick(lastNames, 1)}`
    case 'email':
      // reserved for examples (RFC 2606), and different for different values
      return `'user-' || left(encode(${digest}, 'hex'), 20) || '@example.test'`
    case 'phone':
      // reserved for fiction
      return `'+1-555-01' || lpad((${number(2, 100)})::text, 2, '0')`
    case 'address':
      return `(1 + ${number(2, 200)})::text || ' ' || ${pick(streets, 4)}`
    case 'company':
      return pick(companies, 5)
    case 'text':
      return `'Text ' || left(encode(${digest}, 'hex'), 8)`
  }
}

/** One statement for a table: every column with a rule at once. `undefined` when there is nothing to change. */
export function updateStatement(
  columns: readonly Column[],
  ruleFor: (column: Column) => ColumnRule | undefined,
  salt: string,
): string | undefined {
  const assignments = columns.flatMap((column) => {
    const rule = ruleFor(column)
    const expression = rule === undefined ? undefined : ruleExpression(column, rule, salt)
    return expression === undefined ? [] : [`${identifier(column.name)} = ${expression}`]
  })
  return assignments.length === 0 ? undefined : `UPDATE ONLY ${columns[0]!.table} SET ${assignments.join(', ')}`
}

/** Keeps about this share of the rows, chosen by a hash of their contents. */
export function sampleStatement(table: string, share: number, salt: string): string {
  const limit = Math.round(share * 1_000_000)
  return `DELETE FROM ONLY ${table} t
    WHERE abs(hashtextextended(${literal(salt)} || t::text, 7)::numeric) % 1000000 >= ${limit}`
}

export interface ForeignKey {
  readonly name: string
  readonly table: string
  readonly columns: readonly string[]
  readonly parent: string
  readonly parentColumns: readonly string[]
  /** `FOREIGN KEY (...) REFERENCES ...`, as it was. */
  readonly definition: string
}

/** Removes rows that refer to what is not there any more. */
export function orphanStatement(key: ForeignKey): string {
  const same = key.columns.map((column, at) => `p.${identifier(key.parentColumns[at]!)} = c.${identifier(column)}`)
  const present = key.columns.map((column) => `c.${identifier(column)} IS NOT NULL`)
  return `DELETE FROM ${key.table} c
    WHERE ${present.join(' AND ')} AND NOT EXISTS (SELECT FROM ${key.parent} p WHERE ${same.join(' AND ')})`
}
