/** Help as text, at most 80 columns wide, made from the grammar and from the tasks themselves. */
import type { Names } from '../engine/graph.ts'
import type { Json, Schema } from '../engine/schema.ts'
import type { Lock, Need, Task } from '../engine/task.ts'
import { quoteWord } from '../report/format.ts'
import { type CommandEntry, commands, commonOptions, type OptionEntry, optionLabel } from './grammar.ts'
import { describeParams, type Param } from './param.ts'
import { formatParams } from './param-words.ts'
import { expectation, type Shape } from './shape.ts'

const width = 80

/** What `devstack --help` prints. */
export function formatHelp(): string {
  const sections = [...new Set(commands.map((entry) => entry.section))]
  const lines = [
    'devstack runs typed tasks: each waits for what it needs, and no longer.',
    '',
    'Usage',
    '  devstack <command> [options] [task] [params] [-- <task> [params]]...',
  ]
  for (const section of sections) {
    const rows = commands.filter((entry) => entry.section === section)
    lines.push('', section, ...table(rows.map((entry) => [entry.name, entry.summary])))
  }
  lines.push('', 'Options of every command', ...optionRows(commonOptions))
  lines.push(
    '',
    'Start here',
    ...table([
      ['devstack init', 'write a config from the scripts that are here'],
      ['devstack list', 'what can be run'],
      ['devstack plan up', 'what "up" would do, and why; changes nothing'],
      ['devstack run up', 'do it'],
      ['devstack help <task>', 'the params of a task'],
    ]),
  )
  return lines.join('\n')
}

/** What `devstack help <command>` and `devstack <command> --help` print. */
export function formatCommandHelp(entry: CommandEntry): string {
  const lines = [`${entry.summary}.`, '', 'Usage', ...wrap(`devstack ${entry.name} ${entry.usage}`, 2, 4)]
  if (entry.notes) lines.push('', ...entry.notes.map((note) => `  ${note}`))
  if (entry.options.length > 0) lines.push('', 'Options', ...optionRows(entry.options))
  lines.push('', 'Options of every command', ...optionRows(commonOptions))
  lines.push('', entry.examples.length === 1 ? 'Example' : 'Examples')
  for (const { line, says } of entry.examples) lines.push(`  ${line}`, `      ${says}`)
  return lines.join('\n')
}

/** What `devstack help <task>` prints. The example in it has been validated by the task's own schema. */
export async function formatTaskHelp(given: {
  readonly name: string
  readonly task: Task
  readonly names: Pick<Names, 'nameOf'>
  /** As typed, with their namespace; default as the task declares them. */
  readonly aliases?: readonly string[]
}): Promise<string> {
  const { name, task, names, aliases = task.definition.aliases ?? [] } = given
  const { definition } = task
  const params = await describeParams(definition.params)
  const lines = wrap(`${name}: ${definition.description ?? 'no description'}`, 0, 2)
  lines.push('', 'Usage', ...wrap(`devstack run [options] ${name}${params.map(usageOf).join('')}`, 2, 4))
  if (params.length > 0)
    lines.push('', 'Params', ...table(params.map((param) => [paramLabel(param), aboutParam(param)])))
  const facts = [
    ...(await factsOf(task, names)),
    ...(aliases.length > 0 ? [['Aliases', aliases.join(', ')] as const] : []),
  ]
  if (facts.length > 0) lines.push('', ...table(facts, 0))
  const example = await exampleOf(name, params, definition.params)
  lines.push('', 'Example', ...shellLines(example))
  lines.push('', ...wrap(`"devstack plan ${name}" says what it would do; "devstack help run" lists the options.`, 0, 0))
  return lines.join('\n')
}

async function factsOf(task: Task, names: Pick<Names, 'nameOf'>): Promise<readonly (readonly [string, string])[]> {
  const { definition } = task
  // which tasks a function asks for depends on the params; devstack plan tells
  const declared = typeof definition.needs === 'function' ? {} : (definition.needs ?? {})
  const needs = Object.entries(declared as Record<string, Need>)
  const gates =
    definition.gate === undefined ? [] : Array.isArray(definition.gate) ? definition.gate : [definition.gate]
  const effects = {
    read: 'read: changes nothing',
    create: 'create: makes things that were not there',
    change: 'change: changes things that are there',
    destroy: 'destroy: asks before it destroys',
  }
  const facts: (readonly [string, string])[] = []
  const add = (label: string, text: string) => {
    if (text !== '') facts.push([label, text])
  }
  add('Needs', (await Promise.all(needs.map(([key, need]) => aboutNeed(key, need, names)))).join(', '))
  add('Done when', gates.map((gate: { description: string }) => gate.description).join(', '))
  add('Asks', definition.confirm ?? '')
  add('Effect', definition.effect === undefined ? '' : effects[definition.effect])
  add('Locks', ((definition.locks ?? []) as readonly Lock[]).map(aboutLock).join(', '))
  add('Reads', (definition.inputs ?? []).join(', '))
  add('Writes', (definition.outputs ?? []).join(', '))
  add('Timeout', definition.timeout === undefined ? '' : aboutDuration(definition.timeout))
  add('Only on', (definition.platforms ?? []).join(', '))
  add('Undo', definition.undo ? '"devstack undo" takes it back' : '')
  return facts
}

function aboutLock(lock: Lock): string {
  return typeof lock === 'string' ? lock : `${lock.name} (${lock.size} at a time)`
}

function aboutDuration(duration: number | string): string {
  return typeof duration === 'number' ? `${duration / 1000}s` : duration
}

async function aboutNeed(key: string, need: Need | undefined, names: Pick<Names, 'nameOf'>): Promise<string> {
  // A need may be undefined in a config that is still to be mended; help must not fail on it.
  const target = need?.kind === 'edge' ? need.need : need
  const task = target?.kind === 'task' ? target : undefined
  const name = (task && names.nameOf(task)) ?? (target?.kind === 'reference' ? target.name : key)
  if (need?.kind !== 'edge') return name
  const policy = [
    ...need.until.map((gate) => gate.description),
    ...(need.within === undefined ? [] : [`within ${need.within / 1000}s`]),
    ...(need.optional ? ['may fail'] : []),
  ]
  return policy.length === 0 ? name : `${name} (${policy.join(', ')})`
}

/** `--to TEXT`, `[--keep N]`, `<file>...` with a blank before it. */
function usageOf(param: Param): string {
  const label = paramLabel(param).replace(/^(-.), /, '')
  const text = param.many && !param.positional ? `${label}...` : label
  return ` ${param.required ? text : `[${text}]`}`
}

function paramLabel(param: Param): string {
  if (param.positional) return `<${param.option}>${param.many ? '...' : ''}`
  const short = param.short === undefined ? '' : `-${param.short}, `
  const { shape } = param
  if (isSwitch(shape)) return `${short}--${param.default === true ? `no-${param.option}` : param.option}`
  return `${short}--${param.option} ${valueLabel(shape.items ?? shape)}`
}

function isSwitch(shape: Shape): boolean {
  return shape.types.length > 0 && shape.types.every((type) => type === 'boolean' || type === 'null')
}

function valueLabel(shape: Shape): string {
  if (shape.choices.length > 0 && !shape.open) return 'NAME'
  if (shape.entries) return 'KEY=VALUE'
  if (shape.properties) return 'JSON'
  return shape.types[0] === 'number' || shape.types[0] === 'integer' ? 'N' : 'TEXT'
}

function aboutParam(param: Param): string {
  const { shape } = param
  const value = shape.items ?? shape
  const expected = expectation(value)
  const isPlain = expected === 'text' || expected === 'a value' || expected === 'true or false'
  const facts = [
    ...(isPlain ? [] : [expected]),
    ...(param.many && !param.positional ? ['several: separate by commas or repeat'] : []),
    ...(param.required ? ['required'] : []),
    ...(param.default === true && isSwitch(shape) ? ['on unless given'] : []),
    ...(param.default === undefined ||
    (param.default === true && isSwitch(shape)) ||
    (Array.isArray(param.default) && param.default.length === 0)
      ? []
      : [`default ${showDefault(param.default)}`]),
  ]
  const about = param.description ?? ''
  if (facts.length === 0) return about
  return about === '' ? facts.join('; ') : `${about} (${facts.join('; ')})`
}

function showDefault(value: Json): string {
  if (value === true) return 'on'
  if (value === false) return 'off'
  if (typeof value === 'string') return value === '' ? 'empty' : value
  return Array.isArray(value) ? value.map(String).join(',') : JSON.stringify(value)
}

/** A line that works, or one with `<...>` where no value could be found that the schema takes. */
async function exampleOf(
  name: string,
  params: readonly Param[],
  schema: Schema | undefined,
): Promise<readonly string[]> {
  const line = (input: Readonly<Record<string, Json>>) => [
    'devstack run',
    quoteWord(name),
    ...formatParams(params, input).map(quoteWord),
  ]
  if (schema === undefined) return line({})
  const works = async (input: Readonly<Record<string, Json>>) => {
    try {
      return !(await schema['~standard'].validate(input)).issues
    } catch {
      return false
    }
  }
  const required = params.filter((param) => param.required)
  const input = Object.fromEntries(required.map((param) => [param.key, sample(param.shape)]))
  if (!(await works(input))) return ['devstack run', quoteWord(name), ...required.map(placeholder)]
  const optional = params.find(({ required, shape }) => !required && (shape.examples.length > 0 || !isText(shape)))
  if (optional) {
    const more = { ...input, [optional.key]: sample(optional.shape, optional.default) }
    if (await works(more)) return line(more)
  }
  return line(input)
}

/** Arguments on lines that a shell reads as one command. */
function shellLines(words: readonly string[]): string[] {
  const lines: string[] = []
  for (const word of words) {
    const line = lines.at(-1)
    if (line !== undefined && line.length + word.length + 3 <= width) lines[lines.length - 1] = `${line} ${word}`
    else lines.push(`${lines.length === 0 ? '  ' : '    '}${word}`)
  }
  return lines.map((line, index) => (index < lines.length - 1 ? `${line} \\` : line))
}

function placeholder(param: Param): string {
  return param.positional ? paramLabel(param) : `--${param.option} <${expectation(param.shape)}>`
}

function isText(shape: Shape): boolean {
  return shape.choices.length === 0 && shape.types[0] === 'string'
}

const samples: Readonly<Record<string, string>> = {
  uri: 'https://example.com',
  email: 'me@example.com',
  uuid: '123e4567-e89b-42d3-a456-426614174000',
  ipv4: '127.0.0.1',
  ipv6: '::1',
  date: '2026-03-31',
  time: '13:45:00',
  'date-time': '2026-03-31T13:45:00Z',
}

function sample(shape: Shape, other?: Json): Json {
  if (shape.examples.length > 0) return shape.examples[0]!
  const choice = shape.choices.find((value) => value !== other) ?? shape.choices[0]
  if (choice !== undefined) return choice
  if (shape.items) return [sample(shape.items)]
  switch (shape.types[0]) {
    case 'integer':
    case 'number':
      return other !== undefined ? other : (shape.least ?? Math.min(1, shape.most ?? 1))
    case 'boolean':
      return other !== true
    case 'object': {
      const inner = [...(shape.properties ?? [])].filter(([key]) => shape.required.has(key))
      return shape.entries ? { key: sample(shape.entries) } : Object.fromEntries(inner.map(([k, v]) => [k, sample(v)]))
    }
    default:
      return samples[shape.format ?? ''] ?? 'text'
  }
}

function optionRows(options: readonly OptionEntry[]): string[] {
  return table(
    options.map((option) => {
      const { value } = option
      const choices = value.kind === 'choice' ? `: ${value.choices.join(', ')}` : ''
      return [optionLabel(option), `${option.summary}${choices}`]
    }),
  )
}

/** Two columns; what does not fit beside its label goes below it. */
function table(rows: readonly (readonly [string, string])[], indent = 2): string[] {
  const column = Math.min(28, Math.max(...rows.map(([label]) => label.length))) + indent + 2
  return rows.flatMap(([label, text]) => {
    const [first, ...more] = fill(text, width - column)
    const lines = first === undefined ? more : [first, ...more]
    const below = lines.map((line) => `${' '.repeat(column)}${line}`)
    const head = `${' '.repeat(indent)}${label}`
    if (head.length + 2 > column) return [...wrap(label, indent, indent + 4), ...below]
    return lines.length === 0 ? [head] : [`${head.padEnd(column)}${lines[0]}`, ...below.slice(1)]
  })
}

function wrap(text: string, indent: number, hanging: number): string[] {
  return fill(text, width - Math.max(indent, hanging)).map(
    (line, index) => `${' '.repeat(index === 0 ? indent : hanging)}${line}`,
  )
}

/** Breaks at blanks; a word wider than the line is broken where it must be, so that no line ever is too wide. */
function fill(text: string, columns: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line)
      line = ''
    }
    line = line === '' ? word : `${line} ${word}`
    while (line.length > columns) {
      lines.push(line.slice(0, columns))
      line = line.slice(columns)
    }
  }
  if (line !== '') lines.push(line)
  return lines
}
