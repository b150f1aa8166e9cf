import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { parseArguments } from '../../../lib/cli/args.ts'
import { describeParams } from '../../../lib/cli/param.ts'
import { formatParams } from '../../../lib/cli/param-words.ts'
import { readTargets } from '../../../lib/cli/params.ts'
import type { Json, Schema } from '../../../lib/engine/schema.ts'
import { createTask, type Task } from '../../../lib/engine/task.ts'
import { DevstackError } from '../../../lib/errors.ts'
import { quoteWord } from '../../../lib/report/format.ts'

const migrate = z.object({
  to: z.string().optional().describe('stop after this version'),
  keep: z.number().int().min(1).default(5),
  mode: z.enum(['fast', 'slow']).default('fast'),
  verify: z.boolean().default(true),
  tags: z.array(z.string()).default([]),
  toVersion: z.union([z.number(), z.literal('latest')]).optional(),
  files: z.array(z.string()).meta({ positional: true }).optional(),
})

function names(schemas: Readonly<Record<string, Schema | undefined>>) {
  const tasks = new Map<string, Task>()
  for (const [name, params] of Object.entries(schemas)) tasks.set(name, createTask({ params }) as Task)
  return { taskNamed: (name: string) => tasks.get(name), all: () => [...tasks.keys()] }
}

/** Reads `devstack run task <words>` for one schema. */
async function read(schema: Schema | undefined, words: readonly string[]) {
  return readTargets(parseArguments(['run', 'task', ...words]), names({ task: schema, other: undefined }))
}

const input = async (schema: Schema, line: string) => (await read(schema, split(line))).targets[0]!.input
const split = (line: string) => (line === '' ? [] : line.split(' '))

async function failure(schema: Schema | undefined, words: string | readonly string[]): Promise<DevstackError> {
  try {
    await read(schema, typeof words === 'string' ? split(words) : words)
  } catch (thrown) {
    assert.instance(thrown, DevstackError)
    return thrown as DevstackError
  }
  throw new Error(`was accepted: ${JSON.stringify(words)}`)
}

const reading = suite('reading params')

reading('text, numbers, switches and choices, in both forms', async () => {
  assert.equal(await input(migrate, '--to 0007'), { to: '0007' })
  assert.equal(await input(migrate, '--to=0007'), { to: '0007' })
  assert.equal(await input(migrate, '--keep 7 --mode=slow'), { keep: 7, mode: 'slow' })
  assert.equal(await input(migrate, '--verify'), { verify: true })
  assert.equal(await input(migrate, '--no-verify'), { verify: false })
  assert.equal(await input(migrate, '--verify=no'), { verify: false })
  assert.equal(await input(migrate, '--to-version 12'), { toVersion: 12 })
  assert.equal(await input(migrate, '--toVersion latest'), { toVersion: 'latest' })
})

reading('the schema completes what was typed', async () => {
  const [target] = (await read(migrate, ['--to', '1'])).targets
  assert.equal(target!.params, { to: '1', keep: 5, mode: 'fast', verify: true, tags: [] })
  assert.equal(target!.input, { to: '1' })
})

reading('a list: repeated, by commas, with an escaped comma, empty', async () => {
  assert.equal(await input(migrate, '--tags a --tags b'), { tags: ['a', 'b'] })
  assert.equal(await input(migrate, '--tags a,b --tags c'), { tags: ['a', 'b', 'c'] })
  assert.equal(await input(migrate, '--tags a\\,b,c'), { tags: ['a,b', 'c'] })
  assert.equal(await input(migrate, '--tags='), { tags: [] })
})

reading('a param of one value is given once, or refused: which of two was meant nobody knows', async () => {
  const { code, message } = await failure(migrate, '--to 1 --to 2')
  assert.is(code, 'USAGE_PARAM_REPEATED')
  assert.is(message, '--to of task takes one value, got a second: "2".')
})

reading('words that are no options fill the positional params', async () => {
  assert.equal(await input(migrate, 'a.sql --to 1 b.sql'), { files: ['a.sql', 'b.sql'], to: '1' })
  const copy = z.object({ from: z.string().meta({ positional: true }), to: z.string().meta({ positional: true }) })
  assert.equal(await input(copy, 'a b'), { from: 'a', to: 'b' })
  assert.equal(await input(z.object({ n: z.number().meta({ positional: true }) }), '-5'), { n: -5 })
})

reading('a rest param takes options and -- too', async () => {
  const exec = z.object({
    service: z.string().meta({ positional: true }),
    command: z.array(z.string()).meta({ positional: 'rest' }),
    user: z.string().optional(),
  })
  assert.equal(await input(exec, '--user root pg1 psql -c x --json -- other'), {
    user: 'root',
    service: 'pg1',
    command: ['psql', '-c', 'x', '--json', '--', 'other'],
  })
})

reading('short names, nested objects and key=value', async () => {
  const schema = z.object({
    follow: z.boolean().default(false).meta({ short: 'f' }),
    tail: z.number().optional().meta({ short: 't' }),
    label: z.record(z.string(), z.string()).optional(),
    limits: z.object({ cpu: z.number(), note: z.string().optional() }).optional(),
  })
  assert.equal(await input(schema, '-f -t 5'), { follow: true, tail: 5 })
  assert.equal(await input(schema, '-t5'), { tail: 5 })
  assert.equal(await input(schema, '--label a=1 --label b=x=y'), { label: { a: '1', b: 'x=y' } })
  assert.equal(await input(schema, '--limits.cpu 2 --limits.note x'), { limits: { cpu: 2, note: 'x' } })
  assert.equal(await input(schema, '--limits {"cpu":2}'), { limits: { cpu: 2 } })
})

reading('a key named __proto__ is a key', async () => {
  const schema = z.object({ label: z.record(z.string(), z.string()).optional() })
  const result = await input(schema, '--label __proto__=x')
  assert.equal(Object.keys(result['label'] as object), ['__proto__'])
  assert.is(({} as Record<string, unknown>)['x'], undefined)
})

reading('several tasks, with -- or by name', async () => {
  const tasks = names({
    backup: z.object({ keep: z.number() }),
    restore: z.object({ from: z.string() }),
    lint: undefined,
  })
  const all = async (line: string) =>
    (await readTargets(parseArguments(['run', ...line.split(' ')]), tasks)).targets.map(({ name, input }) => [
      name,
      input,
    ])
  assert.equal(await all('backup --keep 5 -- restore --from latest'), [
    ['backup', { keep: 5 }],
    ['restore', { from: 'latest' }],
  ])
  assert.equal(await all('lint backup --keep 1 lint'), [
    ['lint', {}],
    ['backup', { keep: 1 }],
    ['lint', {}],
  ])
})

reading("devstack's own options are taken behind a task, unless the task has them", async () => {
  const { options, targets } = await read(migrate, ['--yes', '--to', '1', '-j', '2', '--no-cache'])
  assert.equal(options, { yes: true, concurrency: 2, cache: false })
  assert.equal(targets[0]!.input, { to: '1' })
  const health = z.object({ json: z.boolean().default(false), timeout: z.string().optional() })
  const own = await read(health, ['--json', '--timeout', '10s'])
  assert.equal(own.options, {})
  assert.equal(own.targets[0]!.input, { json: true, timeout: '10s' })
})

reading('--help behind a task keeps everything else from mattering', async () => {
  const { options, targets } = await read(z.object({ must: z.string() }), ['--help'])
  assert.is(options.help, true)
  assert.is(targets[0]!.name, 'task')
})

reading('nothing in a word is interpreted', async () => {
  const nasty = ['$(touch x)', '`id`', '"a" \'b\'', 'a\nb', '; rm -rf .', '${HOME}', '*', '~', '\\', 'a\\nb']
  for (const text of nasty) {
    assert.equal((await read(migrate, ['--to', text])).targets[0]!.input, { to: text })
    assert.equal((await read(migrate, [text])).targets[0]!.input, { files: [text] })
  }
})

const refusing = suite('refusing params')

refusing('an unknown one, with the near name', async () => {
  const error = await failure(migrate, '--mdoe fast')
  assert.is(error.code, 'USAGE_UNKNOWN_PARAM')
  assert.is(error.exitCode, 2)
  assert.match(error.message, 'The task task has no param --mdoe. Did you mean "--mode"?')
  assert.match(error.hint ?? '', 'devstack help task')
  assert.match((await failure(undefined, '--x 1')).message, 'takes no params')
})

refusing('a wrong one, naming it and what was expected', async () => {
  const wrong = async (line: string) => (await failure(migrate, line)).message
  assert.is(await wrong('--keep many'), '--keep of task needs a whole number from 1, got "many".')
  assert.is(await wrong('--keep 0'), '--keep of task needs a whole number from 1, got "0".')
  assert.is(await wrong('--keep 1.5'), '--keep of task needs a whole number from 1, got "1.5".')
  const above = z.object({ seconds: z.coerce.number().positive(), share: z.number().gt(0).max(1) })
  const needs = async (line: string) => (await failure(above, line)).message
  assert.is(await needs('--seconds 0 --share 1'), '--seconds of task needs a number above 0, got "0".')
  assert.is(await needs('--seconds 1 --share 2'), '--share of task needs a number above 0 up to 1, got "2".')
  assert.is(await wrong('--mode fsat'), '--mode of task needs one of fast, slow, got "fsat". Did you mean "fast"?')
  assert.is(await wrong('--to-version x'), '--to-version of task needs one of latest or a number, got "x".')
  assert.is(await wrong('--verify=maybe'), '--verify of task needs true or false, got "maybe".')
  assert.is((await failure(migrate, '--no-keep')).code, 'USAGE_BAD_PARAM')
  assert.is((await failure(migrate, '--no-verify=1')).code, 'USAGE_BAD_PARAM')
})

refusing('a missing value or param', async () => {
  assert.is((await failure(migrate, '--to')).code, 'USAGE_PARAM_NEEDS_VALUE')
  assert.match((await failure(migrate, '--to -x')).hint ?? '', '--to=-x')
  const error = await failure(z.object({ to: z.string().describe('version') }), '')
  assert.is(error.code, 'USAGE_PARAM_MISSING')
  assert.match(error.message, 'task needs --to (version): text.')
  const two = await failure(z.object({ a: z.string(), b: z.string() }), '')
  assert.match(two.message, '--a')
  assert.match(two.details[0] ?? '', '--b')
})

refusing("what the schema's own checks say", async () => {
  const schema = z.object({ even: z.number().refine((n) => n % 2 === 0, 'must be even') })
  assert.is((await failure(schema, '--even 3')).message, '--even of task: must be even, got "3".')
  const whole = z.object({ a: z.number(), b: z.number() }).refine(({ a, b }) => a < b, 'a must be below b')
  assert.match((await failure(whole, '--a 2 --b 1')).message, 'a must be below b')
  const listed = z.object({ only: z.array(z.enum(['x', 'y'])) })
  assert.match((await failure(listed, '--only x,z')).message, 'needs one of x, y, got "z"')
})

refusing('words that no param takes, and unknown or private tasks', async () => {
  const error = await failure(undefined, 'othr')
  assert.is(error.code, 'USAGE_TOO_MANY_ARGUMENTS')
  assert.match(error.message, 'Did you mean "other"?')
  assert.is((await failure(undefined, '-- nope')).code, 'USAGE_UNKNOWN_TASK')
  assert.is((await failure(undefined, '--')).code, 'USAGE_TASK_MISSING')
  const hidden = createTask({ private: true }) as Task
  try {
    await readTargets(parseArguments(['run', 'hidden']), { taskNamed: () => hidden, all: () => [] })
    assert.unreachable()
  } catch (thrown) {
    assert.is((thrown as DevstackError).code, 'USAGE_TASK_PRIVATE')
  }
})

const describing = suite('describing params')

describing('a schema that is no object is refused', async () => {
  try {
    await describeParams(z.string() as unknown as Schema)
    assert.unreachable()
  } catch (thrown) {
    assert.is((thrown as DevstackError).code, 'PARAMS_NOT_AN_OBJECT')
  }
})

describing('a schema of another maker that tells nothing of itself is refused', async () => {
  const other: Schema = { '~standard': { version: 1, vendor: 'other', validate: (value) => ({ value }) } }
  try {
    await describeParams(other)
    assert.unreachable()
  } catch (thrown) {
    assert.is((thrown as DevstackError).code, 'PARAMS_UNREADABLE')
    assert.match((thrown as DevstackError).message, '"other"')
  }
})

describing('a schema of an older zod is read by ours', async () => {
  const schema = z.object({ keep: z.number().default(5) })
  const { jsonSchema: _, ...standard } = schema['~standard']
  const older = Object.create(schema, { '~standard': { value: standard } }) as Schema
  assert.equal(
    (await describeParams(older)).map(({ option, default: value }) => [option, value]),
    [['keep', 5]],
  )
})

describing('defaults, choices, coerced and recursive types', async () => {
  const node: z.ZodType = z.lazy(() => z.object({ next: node.optional() }))
  const schema = z.object({
    when: z.coerce.date().optional(),
    count: z.coerce.number().default(1),
    level: z.enum(['a', 'b']).nullable().default('a'),
    tree: node.optional(),
  })
  const params = await describeParams(schema)
  assert.equal(
    params.map(({ key, required, choices }) => [key, required, choices]),
    [
      ['when', false, []],
      ['count', false, []],
      ['level', false, ['a', 'b']],
      ['tree', false, []],
    ],
  )
  const { targets } = await read(schema, ['--when', '2026-03-31', '--count', '3'])
  assert.instance(targets[0]!.params['when'], Date)
  assert.is(targets[0]!.params['count'], 3)
  assert.equal(targets[0]!.input, { when: '2026-03-31', count: 3 })
  assert.is((await failure(schema, '--level c')).code, 'USAGE_BAD_PARAM')
})

describing('discriminated unions show the params of every branch', async () => {
  const schema = z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('full') }),
    z.object({ kind: z.literal('since'), at: z.string() }),
  ])
  const params = await describeParams(schema as unknown as Schema)
  assert.equal(
    params.map(({ key, required, choices }) => [key, required, choices]),
    [
      ['kind', true, ['full', 'since']],
      ['at', false, []],
    ],
  )
})

const laws = suite('laws of params')
const lawful = z.object({
  text: z.string().optional(),
  whole: z.int().optional(),
  real: z.number().optional(),
  on: z.boolean().optional(),
  pick: z.enum(['a', 'b,c', '--d', '']).optional(),
  many: z.array(z.string()).optional(),
  numbers: z.array(z.number()).optional(),
  map: z.record(z.string(), z.string()).optional(),
  rest: z.array(z.string()).meta({ positional: true }).optional(),
})
const anyText = fc.string({ unit: 'binary' })
const lawfulInput = fc.record(
  {
    text: anyText,
    whole: fc.integer(),
    real: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
    on: fc.boolean(),
    pick: fc.constantFrom('a', 'b,c', '--d', ''),
    // A list of one empty text reads as an empty list: an unset variable in --many="$X" means nothing.
    many: fc.array(anyText).filter((items) => !items.includes('')),
    numbers: fc.array(fc.integer()),
    map: fc.dictionary(anyText, anyText),
    rest: fc.array(anyText).filter((items) => !items.includes('')),
  },
  { requiredKeys: [] },
)

laws('params written as words read back the same', async () => {
  const params = await describeParams(lawful)
  await fc.assert(
    fc.asyncProperty(lawfulInput, async (given) => {
      const words = formatParams(params, given as Record<string, Json>)
      const { targets } = await read(lawful, words)
      assert.is(JSON.stringify(sorted(targets[0]!.input)), JSON.stringify(sorted(given)))
    }),
    { numRuns: 300 },
  )
})

laws('whatever was typed behind a task gives targets or a DevstackError', async () => {
  const word = fc.oneof(
    anyText,
    fc.constantFrom(
      '--',
      '-',
      '--text',
      '--no-on',
      '--on=',
      '--map',
      '--map=a',
      '--map.',
      '--numbers=1,x',
      '--.=',
      'other',
      '--__proto__=1',
      '--map.__proto__.x=1',
      '--json',
    ),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(word), async (words) => {
      try {
        await read(lawful, words)
      } catch (thrown) {
        assert.instance(thrown, DevstackError)
      }
      assert.is(({} as Record<string, unknown>)['x'], undefined)
    }),
    { numRuns: 500 },
  )
})

laws('a quoted word is one argument', () => {
  assert.is(quoteWord('a b'), "'a b'")
  assert.is(quoteWord("it's"), "'it'\\''s'")
  assert.is(quoteWord('--to=0007'), '--to=0007')
  assert.is(quoteWord(''), "''")
})

function sorted(value: object): unknown {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}

reading.run()
refusing.run()
describing.run()
laws.run()
