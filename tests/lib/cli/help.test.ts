import { spawnSync } from 'node:child_process'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { parseArguments } from '../../../lib/cli/args.ts'
import { commands } from '../../../lib/cli/grammar.ts'
import { formatCommandHelp, formatHelp, formatTaskHelp } from '../../../lib/cli/help.ts'
import { readTargets } from '../../../lib/cli/params.ts'
import type { Schema } from '../../../lib/engine/schema.ts'
import { after, createTask, type Gate, type Task } from '../../../lib/engine/task.ts'

const ready: Gate = { description: 'image pulled', hold: async () => undefined }
const image = createTask({ description: 'Build the image' }) as Task

function fitsIn80(text: string): void {
  for (const line of text.split('\n')) assert.ok(line.length <= 80, `${line.length}: ${line}`)
}

const general = suite('help of devstack')

general('names every command, fits into 80 columns, and shows where to start', () => {
  const text = formatHelp()
  for (const { name, summary } of commands) assert.match(text, new RegExp(`^  ${name} +${summary}`, 'm'))
  assert.match(text, 'devstack init')
  fitsIn80(text)
})

general('every command says what it does, its options and an example', () => {
  for (const entry of commands) {
    const text = formatCommandHelp(entry)
    assert.ok(text.startsWith(`${entry.summary}.\n`))
    for (const { name } of entry.options) assert.match(text, `--${name}`)
    for (const { line } of entry.examples) assert.ok(text.includes(line))
    fitsIn80(text)
  }
})

const ofTask = suite('help of a task')

async function help(task: Task, name = 'migrate'): Promise<string> {
  const names = new Map<Task, string>([
    [image, 'api:image'],
    [task, name],
  ])
  const text = await formatTaskHelp({ name, task, names: { nameOf: (one) => names.get(one) } })
  fitsIn80(text)
  return text
}

/** The line under `Example`, read as the command line reads it. */
async function tryExample(task: Task, text: string): Promise<Readonly<Record<string, unknown>>> {
  const line = /\nExample\n {2}devstack ((?:.*\\\n)*.*)\n/.exec(text)![1]!
  const { stdout } = spawnSync('/bin/sh', ['-c', `printf '%s\\0' ${line}`], { encoding: 'utf8' })
  const names = { taskNamed: (name: string) => (name === 'migrate' ? task : undefined), all: () => ['migrate'] }
  return (await readTargets(parseArguments(stdout.split('\0').slice(0, -1)), names)).targets[0]!.params
}

ofTask('params with description, default and choices; needs, effect, locks, aliases', async () => {
  const task = createTask({
    description: 'Apply SQL migrations',
    needs: { image: after(image, { until: ready as never, within: '60s' }) },
    locks: ['postgres', { name: 'cpu', size: 2 }],
    effect: 'change',
    aliases: ['m'],
    timeout: '5m',
    gate: { description: 'schema is current', hold: async () => undefined },
    undo: () => {},
    params: z.object({
      to: z
        .string()
        .optional()
        .describe('stop after this version')
        .meta({ examples: ['0007'] }),
      keep: z.int().min(1).default(5),
      mode: z.enum(['fast', 'slow']).default('fast').describe('how to go about it'),
      verify: z.boolean().default(true).describe('check afterwards'),
      tags: z.array(z.string()).default([]),
      files: z.array(z.string()).meta({ positional: true }).optional(),
    }),
  }) as Task
  const text = await help(task)
  assert.match(text, 'migrate: Apply SQL migrations')
  assert.match(text, /--to TEXT +stop after this version/)
  assert.match(text, /--keep N +a whole number from 1; default 5/)
  assert.match(text, /--mode NAME +how to go about it \(one of fast, slow; default fast\)/)
  assert.match(text, /--no-verify +check afterwards \(on unless given\)/)
  assert.match(text, /--tags TEXT +several: separate by commas or repeat/)
  assert.match(text, '[<files>...]')
  assert.match(text, /Needs +api:image \(image pulled, within 60s\)/)
  assert.match(text, /Done when +schema is current/)
  assert.match(text, /Effect +change: changes things that are there/)
  assert.match(text, /Locks +postgres, cpu \(2 at a time\)/)
  assert.match(text, /Timeout +5m/)
  assert.match(text, /Aliases +m\n/)
  assert.equal((await tryExample(task, text))['to'], '0007')
})

ofTask('the example works also where params are required', async () => {
  const schemas: Schema[] = [
    z.object({ name: z.string(), count: z.int().min(3), mode: z.enum(['a', 'b']), on: z.boolean() }),
    z.object({ at: z.url(), who: z.email(), files: z.array(z.string()).min(1).meta({ positional: true }) }),
    z.object({ only: z.array(z.enum(['x', 'y'])), env: z.record(z.string(), z.string()) }),
    z.object({ limits: z.object({ cpu: z.number() }) }),
  ]
  for (const params of schemas) {
    const task = createTask({ params }) as Task
    assert.ok(await tryExample(task, await help(task)))
  }
})

ofTask('where no value can be found, the example says what goes there', async () => {
  const task = createTask({ params: z.object({ code: z.string().regex(/^[A-Z]{3}-\d+$/) }) }) as Task
  assert.match(await help(task), '--code <text like')
})

ofTask('a bare task, a need that is undefined, and words longer than a line', async () => {
  assert.match(await help(createTask({}) as Task), 'no description')
  assert.match(await help(createTask({ needs: { gone: undefined as never } }) as Task), /Needs +gone/)
  await help(createTask({ description: 'x'.repeat(300), aliases: ['y'.repeat(200)] }) as Task)
})

ofTask('a reference shows the name it stands for', async () => {
  const broken = {
    kind: 'reference' as const,
    name: 'stack:db',
    resolve: () => {
      throw new Error('no such service')
    },
  }
  assert.match(await help(createTask({ needs: { db: broken } }) as Task), /Needs +(db|stack:db)/)
})

general.run()
ofTask.run()
