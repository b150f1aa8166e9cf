import { spawnSync } from 'node:child_process'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { complete, completionDirectory, formatCompletion } from '../../../lib/cli/complete.ts'
import {
  type CompletionCache,
  readCompletionCache,
  recentRuns,
  writeCompletionCache,
} from '../../../lib/cli/completion-cache.ts'
import { completionScript } from '../../../lib/cli/completion-scripts.ts'
import { commandNames, shells } from '../../../lib/cli/grammar.ts'
import { createTask, type Task } from '../../../lib/engine/task.ts'
import { temporaryFolder } from '../../support/temporary.ts'

const cache: Pick<CompletionCache, 'tasks'> = {
  tasks: [
    {
      name: 'db:migrate',
      description: 'Apply migrations',
      aliases: ['m'],
      params: [
        { names: ['--to'], takesValue: true, choices: ['0007', '0008'] },
        { names: ['--verify', '--no-verify'], takesValue: false },
        { names: ['--only'], takesValue: true, many: true, choices: ['x', 'y'] },
        { names: ['--file'], takesValue: true, file: 'file' },
        { names: ['--timeout'], takesValue: true },
      ],
    },
    { name: 'db:seed' },
    { name: 'logs', params: [{ names: ['--service'], takesValue: true, positional: 'one', choices: ['pg', 'redis'] }] },
    {
      name: 'exec',
      params: [
        { names: ['--service'], takesValue: true, positional: 'one', choices: ['pg', 'redis'] },
        { names: ['--command'], takesValue: true, many: true, positional: 'rest' },
      ],
    },
    { name: 'up', description: 'Bring it up' },
  ],
}

/** The last word is the one being typed. */
const at = (line: string) => complete(line.split(' '), cache, ['r2', 'r1'])
const values = (line: string) => at(line).candidates.map(({ value }) => value)
const offers = (line: string, ...wanted: string[]) => {
  const found = values(line)
  for (const value of wanted) assert.ok(found.includes(value), `${line}: ${value} in ${found.join(' ')}`)
}

const words = suite('completing words')

words('commands and their options', () => {
  assert.equal(values(''), [...commandNames])
  assert.equal(values('pl'), ['plan'])
  offers('--', '--config', '--json', '--help')
  offers('run --', '--keep-going', '--help')
  assert.equal(values('run --renderer t'), ['tree'])
  assert.equal(values('run --renderer=t'), ['--renderer=tree'])
  assert.equal(values('graph --format '), ['mermaid', 'dot', 'json', 'svg'])
  assert.equal(values('init --from makefile,c'), ['makefile,compose'])
  assert.equal(values('-C sub pl'), ['plan'])
})

words('tasks with descriptions, also after options and --', () => {
  assert.equal(at('run u').candidates, [{ value: 'up', description: 'Bring it up' }])
  assert.equal(values('run -j 4 -k u'), ['up'])
  assert.equal(values('run up -- db:'), ['db:migrate', 'db:seed'])
  assert.equal(values('run up l'), ['logs'])
  assert.equal(values('why u'), ['up'])
  assert.equal(values('run m'), ['m'])
  assert.equal(values('graph u'), ['up'])
  offers('help ', 'run', 'up')
})

words("a task's params, their choices and their negation", () => {
  offers('run db:migrate --', '--to', '--no-verify', '--', '--keep-going', '--json')
  assert.equal(values('run m --to '), ['0007', '0008'])
  assert.equal(values('run db:migrate --to=0'), ['--to=0007', '--to=0008'])
  assert.equal(values('run db:migrate --only x,'), ['x,y'])
  assert.not.ok(values('run db:migrate --to 0007 --').includes('--to'))
  assert.is(values('run db:migrate --').filter((value) => value === '--timeout').length, 1)
  assert.equal(values('run logs r'), ['redis'])
  assert.equal(values('run logs pg '), ['db:migrate', 'db:seed', 'logs', 'exec', 'up', 'm'])
})

words('behind a rest param nothing of ours is offered', () => {
  assert.equal(values('run exec pg psql -'), [])
  assert.equal(values('run exec pg psql -- u'), [])
  const alone = {
    tasks: [
      { name: 'psql', params: [{ names: ['--words'], takesValue: true, many: true, positional: 'rest' as const }] },
    ],
  }
  for (const line of ['run psql app -', 'run psql app --set=', 'run psql app -- ps']) {
    assert.equal(complete(line.split(' '), alone).candidates, [], line)
  }
})

words('files and folders are left to the shell', () => {
  assert.is(at('--config x').paths, 'file')
  assert.is(at('-C x').paths, 'directory')
  assert.is(at('run --junit=x').paths, 'file')
  assert.is(at('run db:migrate --file ./').paths, 'file')
  assert.is(at('run up').paths, 'none')
})

words('runs, shells and actions', () => {
  assert.equal(values('show '), ['r2', 'r1'])
  assert.equal(values('completion f'), ['fish'])
  assert.equal(values('cache '), ['stats', 'prune'])
  assert.equal(values('cache stats '), [])
  assert.equal(values('nonsense '), [])
})

words('whatever is typed, there is an answer, and each candidate continues the word', () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom(...commandNames, '--', '-', 'up', 'exec', 'm', '--to', '--only', '-j', '--config', '='),
  )
  fc.assert(
    fc.property(fc.array(word), (typed) => {
      const { candidates } = complete(typed, cache)
      const current = typed.at(-1) ?? ''
      for (const { value } of candidates) assert.ok(value.startsWith(current))
    }),
    { numRuns: 500 },
  )
})

words('the answer is one candidate a line', () => {
  const text = formatCompletion({
    paths: 'file',
    candidates: [{ value: 'a', description: 'two\nlines\tand a tab' }, { value: 'b' }, { value: 'c\nd' }],
  })
  assert.is(text, ':file\na\ttwo lines and a tab\nb')
})

words('the folder follows -C and --config', () => {
  assert.is(completionDirectory(['-C', 'sub', 'run', ''], '/p'), '/p/sub')
  assert.is(completionDirectory(['--cwd=/x', 'run', ''], '/p'), '/x')
  assert.is(completionDirectory(['--config', 'a/b.ts', ''], '/p'), '/p/a')
  assert.is(completionDirectory(['-C'], '/p'), '/p')
})

const stored = suite('the completion cache')
const migrate = createTask({
  description: 'Apply',
  params: z.object({ to: z.enum(['a', 'b']).optional(), verify: z.boolean().default(true) }),
}) as Task

async function project(): Promise<{ path: string; state: string; config: string; remove(): Promise<void> }> {
  const { path, remove } = await temporaryFolder('devstack-complete-')
  const config = join(path, 'devstack.config.ts')
  await writeFile(config, 'export default {}\n')
  return { path, state: join(path, '.devstack'), config, remove }
}

const tasks = [
  { name: 'migrate', definition: migrate.definition },
  { name: 'hidden', definition: createTask({ private: true }).definition },
  { name: 'odd', definition: createTask({ params: z.string() as never }).definition },
]

stored('is fresh until a source changes, and found from below', async () => {
  const { path, state, config, remove } = await project()
  try {
    await writeCompletionCache({ stateDirectory: state, sources: [config], tasks })
    await mkdir(join(path, 'a/b'), { recursive: true })
    const found = readCompletionCache(join(path, 'a/b'))
    assert.is(found?.fresh, true)
    assert.is(found?.stateDirectory, state)
    assert.equal(found?.cache.tasks, [
      {
        name: 'migrate',
        description: 'Apply',
        params: [
          { names: ['--to'], takesValue: true, choices: ['a', 'b'] },
          { names: ['--verify', '--no-verify'], takesValue: false },
        ],
      },
      { name: 'odd' },
    ])
    await writeFile(config, 'export default { changed: true }\n')
    assert.is(readCompletionCache(path)?.fresh, false)
    await writeCompletionCache({ stateDirectory: state, sources: [config], tasks: [] })
    assert.equal(readCompletionCache(path)?.cache.tasks, [])
  } finally {
    await remove()
  }
})

stored('is not rewritten while it is fresh', async () => {
  const { state, config, remove } = await project()
  try {
    await writeCompletionCache({ stateDirectory: state, sources: [config], tasks })
    const before = await readFile(join(state, 'completion.json'), 'utf8')
    await writeCompletionCache({ stateDirectory: state, sources: [config], tasks: [] })
    assert.is(await readFile(join(state, 'completion.json'), 'utf8'), before)
  } finally {
    await remove()
  }
})

stored('what is broken counts as absent', async () => {
  const { path, state, remove } = await project()
  try {
    await mkdir(state)
    const broken = [
      '',
      '{',
      'null',
      '[]',
      '{"format":2,"sources":[],"tasks":[]}',
      '{"format":1,"sources":[null],"tasks":[]}',
    ]
    broken.push('{"format":1,"sources":[],"tasks":[{"name":1}]}', '{"format":1,"sources":[],"tasks":[null]}')
    broken.push('{"format":1,"sources":[],"tasks":[{"name":"a","params":[null]}]}')
    for (const text of broken) {
      await writeFile(join(state, 'completion.json'), text)
      assert.is(readCompletionCache(path), undefined, text)
    }
  } finally {
    await remove()
  }
})

stored('a state folder that can not be written is no error', async () => {
  const { path, config, remove } = await project()
  try {
    await writeFile(join(path, 'file'), '')
    await writeCompletionCache({ stateDirectory: join(path, 'file'), sources: [config], tasks })
    await writeCompletionCache({ stateDirectory: join(path, 's'), sources: [join(path, 'missing')], tasks })
    assert.is(readCompletionCache(path), undefined)
  } finally {
    await remove()
  }
})

stored('runs come newest first', async () => {
  const { state, remove } = await project()
  try {
    assert.equal(recentRuns(state), [])
    await mkdir(join(state, 'runs'), { recursive: true })
    for (const name of ['20260101-a.jsonl', '20260301-b.jsonl', 'note.txt'])
      await writeFile(join(state, 'runs', name), '')
    assert.equal(recentRuns(state), ['20260301-b', '20260101-a'])
  } finally {
    await remove()
  }
})

const scripts = suite('scripts of the shells')

scripts('each asks devstack', () => {
  for (const shell of shells) assert.match(completionScript(shell), '__complete --')
})

/** Lets bash complete a line and gives what it would offer. */
async function inBash(line: string, pieces: readonly string[]): Promise<{ words: string[]; offered: string[] }> {
  const { path, remove } = await temporaryFolder('devstack-bash-')
  try {
    await mkdir(join(path, 'node_modules/.bin'), { recursive: true })
    const program = join(path, 'node_modules/.bin/devstack')
    // Tells what it was asked, and answers as devstack would.
    await writeFile(
      program,
      '#!/bin/sh\nshift 2\nprintf "%s\\n" "$@" > asked\nprintf ":none\\ndb:migrate\\tApply\\ndb:seed\\n"\n',
    )
    await chmod(program, 0o755)
    await writeFile(join(path, 'script'), completionScript('bash'))
    const test = [
      'source ./script',
      `COMP_LINE=${quoted(line)} COMP_POINT=${line.length}`,
      `COMP_WORDS=(${pieces.map(quoted).join(' ')}) COMP_CWORD=${pieces.length - 1}`,
      '_devstack',
      'printf "%s\\n" "${COMPREPLY[@]}"',
    ].join('\n')
    const { stdout, stderr, status } = spawnSync('bash', ['--norc', '-c', test], { cwd: path, encoding: 'utf8' })
    assert.is(status, 0, stderr)
    const asked = (await readFile(join(path, 'asked'), 'utf8')).split('\n').slice(0, -1)
    return { words: asked, offered: stdout.trim().split('\n') }
  } finally {
    await remove()
  }
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

const hasBash = spawnSync('bash', ['--version']).status === 0

if (hasBash) {
  scripts('bash: words are put together again where bash split them', async () => {
    const plain = await inBash('devstack run u', ['devstack', 'run', 'u'])
    assert.equal(plain, { words: ['run', 'u'], offered: ['db:migrate', 'db:seed'] })
    const empty = await inBash('devstack run ', ['devstack', 'run', ''])
    assert.equal(empty.words, ['run', ''])
    const colon = await inBash('devstack run db:', ['devstack', 'run', 'db', ':'])
    assert.equal(colon, { words: ['run', 'db:'], offered: ['migrate', 'seed'] })
    const more = await inBash('devstack run db:mi', ['devstack', 'run', 'db', ':', 'mi'])
    assert.equal(more, { words: ['run', 'db:mi'], offered: ['migrate', 'seed'] })
    const equals = await inBash('devstack run --format=', ['devstack', 'run', '--format', '='])
    assert.equal(equals.words, ['run', '--format='])
  })
} else {
  scripts('bash: not tried, since there is no bash here', () => {})
}

words.run()
stored.run()
scripts.run()
