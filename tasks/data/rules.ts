/** What becomes of each column in a sanitized backup, and which columns look as if they needed a rule. Reads nothing. */
import { createHash } from 'node:crypto'
import { DevstackError, suggest } from '../../lib/index.ts'

const fakes = ['name', 'first-name', 'last-name', 'email', 'phone', 'address', 'company', 'text'] as const
export type FakeKind = (typeof fakes)[number]

/**
 * `keep` as it is; `null`; `mask`: letters become x and digits 0, length and punctuation stay; `hash`: the same for the
 * same value everywhere, so that tables can still be joined; `fake:...`: invented, the same for the same value.
 */
export type ColumnRule = 'keep' | 'null' | 'mask' | 'hash' | `fake:${FakeKind}`

export interface TableRules {
  readonly columns?: Readonly<Record<string, ColumnRule>>
  /** Share of the rows that stay, from 0 to 1; rows elsewhere that refer to those that go, go with them. Default 1. */
  readonly sample?: number
}

/** By table: `students`, or `school.students` outside the schema `public`. */
export type SanitizeRules = Readonly<Record<string, TableRules>>

/** A column as the database has it. */
export interface Column {
  /** `public.students`, quoted where SQL needs it. */
  readonly table: string
  readonly schema: string
  readonly tableName: string
  readonly name: string
  /** `text`, `uuid`, `timestamp with time zone` ... */
  readonly type: string
  /** PostgreSQL's type category: S text, N numbers, D dates, U others ... */
  readonly category: string
  readonly nullable: boolean
  readonly generated: boolean
  /** Longest value in characters, of `varchar(n)`. */
  readonly length: number | null
}

const personalName =
  /(^|_)(e?mail|phone|mobile|cell|fax|name|firstname|lastname|fullname|surname|nickname|username|login|birth(day|date)?|dob|age|gender|sex|ssn|passport|license|tax|iban|bic|account_?(no|number)|card(_?number)?|cvv|address|street|city|zip|zipcode|postal(_?code)?|postcode|ip|ip_?addr(ess)?|mac|lat(itude)?|lon(gitude)?|geo|password|passwd|pwd|secret|token|salary|income|religion|health|diagnosis|photo|avatar|signature|contact|note|notes|comment|comments|bio)($|_)/i

/** Texts that are about a person whatever the column is called. Told by a few hundred values. */
const personalValues: readonly (readonly [string, RegExp])[] = [
  ['an e-mail address', /[\w.+-]+@[\w-]+(\.[\w-]+)+/],
  ['an IP address', /(^|[^\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)($|[^\d.])/],
  ['an account number', /(^|[^A-Z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?($|[^A-Z0-9])/],
  ['a telephone number', /(^|[^\w.-])\+\d{1,3}[ -]?\(?\d{2,4}\)?([ -]?\d{2,4}){2,4}($|[^\w])/],
]

/** Why a column looks personal, by its name or some of its values; `undefined` when it does not. */
export function looksPersonal(
  column: Pick<Column, 'name' | 'category'>,
  values: readonly string[] = [],
): string | undefined {
  // studentName, StudentName -> student_name
  const name = column.name.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
  const match = personalName.exec(name)
  if (match && column.category !== 'B') return `its name says ${match[2]!.toLowerCase()}`
  for (const [what, pattern] of personalValues)
    if (values.some((value) => pattern.test(value))) return `it holds ${what}`
  return undefined
}

/** SHA-256 of the rules, whatever the order they are written in. */
export function hashRules(rules: SanitizeRules): string {
  const sorted = (value: unknown): unknown =>
    typeof value === 'object' && value !== null
      ? Object.fromEntries(
          Object.entries(value)
            .toSorted(([a], [b]) => (a < b ? -1 : 1))
            .map(([key, inner]) => [key, sorted(inner)]),
        )
      : value
  return createHash('sha256')
    .update(JSON.stringify(sorted(rules)))
    .digest('hex')
}

/** The rules of a table, by its name with or without `public`. */
export function rulesOf(rules: SanitizeRules, column: Pick<Column, 'schema' | 'tableName'>): TableRules | undefined {
  const full = `${column.schema}.${column.tableName}`
  return Object.hasOwn(rules, full)
    ? rules[full]
    : column.schema === 'public' && Object.hasOwn(rules, column.tableName)
      ? rules[column.tableName]
      : undefined
}

/** The rule of a column, if it has one. */
export function ruleOf(rules: SanitizeRules, column: Column): ColumnRule | undefined {
  const columns = rulesOf(rules, column)?.columns
  return columns && Object.hasOwn(columns, column.name) ? columns[column.name] : undefined
}

/** Refuses rules for what is not there, rules that are none, and rules that do not fit their column's type. */
export function checkRules(rules: SanitizeRules, columns: readonly Column[]): void {
  const tables = new Map<string, Column[]>()
  for (const column of columns) {
    const names = [`${column.schema}.${column.tableName}`, ...(column.schema === 'public' ? [column.tableName] : [])]
    for (const name of names) tables.set(name, [...(tables.get(name) ?? []), column])
  }
  for (const [name, given] of Object.entries(rules)) {
    const { columns: ruled = {}, sample = 1 } = given
    const other = Object.keys(given).find((key) => key !== 'columns' && key !== 'sample')
    if (other !== undefined)
      throw bad(`${name}: ${other} is no rule for a table.${suggest(other, ['columns', 'sample'])}`)
    const table = tables.get(name)
    if (!table) throw bad(`There is no table ${name}.${suggest(name, tables.keys())}`)
    if (!(sample >= 0 && sample <= 1)) throw bad(`${name}: sample is ${sample}, which is no share from 0 to 1.`)
    for (const [columnName, rule] of Object.entries(ruled)) {
      const column = table.find((one) => one.name === columnName)
      if (!column) {
        throw bad(
          `${name} has no column ${columnName}.${suggest(
            columnName,
            table.map((one) => one.name),
          )}`,
        )
      }
      checkRule(`${name}.${columnName}`, rule, column)
    }
  }
}

function checkRule(name: string, rule: string, column: Column): void {
  const known = ['keep', 'null', 'mask', 'hash', ...fakes.map((kind) => `fake:${kind}`)]
  if (!known.includes(rule)) throw bad(`${name}: there is no rule "${rule}".${suggest(rule, known)}`)
  if (rule === 'keep') return
  if (column.generated) throw bad(`${name} is generated from other columns: give those rules, and this one none.`)
  if (rule === 'null' && !column.nullable) throw bad(`${name} must not be null: use mask, hash or fake.`)
  const text = column.category === 'S'
  if ((rule === 'mask' || rule.startsWith('fake:')) && !text) {
    throw bad(`${name} is of type ${column.type}, and ${rule} makes text: use null, hash or keep.`)
  }
  if (rule === 'hash' && !text && column.type !== 'uuid' && !/^(bigint|integer)$/.test(column.type)) {
    throw bad(`${name} is of type ${column.type}, which can not hold a hash: use null or keep.`)
  }
}

function bad(message: string): DevstackError {
  return new DevstackError({
    kind: 'config',
    code: 'SANITIZE_BAD_RULE',
    message,
    hint: `Mend \`sanitize\` of dataPack in the config; rules are keep, null, mask, hash and ${fakes.map((kind) => `fake:${kind}`).join(', ')}.`,
  })
}
