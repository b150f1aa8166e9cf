import { spawnSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type DraftTask, identifierFor, inOrder, usableName } from '../../../lib/cli/init/draft.ts'
import { formatInit, planInit, writeInit } from '../../../lib/cli/init/init.ts'
import { importMakefile } from '../../../lib/cli/init/makefile.ts'
import { quote, renderConfig } from '../../../lib/cli/init/render.ts'
import { configSchema } from '../../../lib/cli/init/schema.ts'
import { importScripts } from '../../../lib/cli/init/scripts.ts'
import { importTaskfile } from '../../../lib/cli/init/taskfile.ts'
import { plainConfigSchema } from '../../../lib/config/schema.ts'
import { refusal } from '../../support/refusal.ts'
import { temporaryFolder } from '../../support/temporary.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))

function taskOf(tasks: readonly DraftTask[], name: string): DraftTask {
  const found = tasks.find((task) => task.name === name)
  assert.ok(found, `${name} in ${tasks.map((task) => task.name).join(', ')}`)
  return found!
}

const lines = (task: DraftTask) => task.commands.map(({ line }) => line)

/** Every file of the folder, written. */
async function folder(files: Readonly<Record<string, string>>): Promise<{ path: string; remove(): Promise<void> }> {
  const made = await temporaryFolder('devstack-init-')
  for (const [name, text] of Object.entries(files)) await writeFile(join(made.path, name), text)
  return made
}

const scripts = suite('importing package.json')
const npm = (given: Readonly<Record<string, unknown>>) => importScripts(JSON.stringify({ scripts: given }))

scripts('pre scripts are needs, post scripts the last command', () => {
  const { tasks, notes } = npm({ prebuild: 'rimraf dist', build: 'tsc', postbuild: 'cp a b', prettier: 'prettier .' })
  assert.equal(
    tasks.map(({ name }) => name),
    ['prebuild', 'build', 'prettier'],
  )
  assert.equal(taskOf(tasks, 'build').needs, ['prebuild'])
  assert.equal(lines(taskOf(tasks, 'build')), ['tsc', 'cp a b'])
  assert.equal(taskOf(tasks, 'prettier').needs, [])
  assert.match(notes.join('\n'), '"postbuild" is the last command of the task build')
})

scripts('what ran at once becomes a group; what ran in order stays as it is', () => {
  const { tasks } = npm({
    a: 'x',
    b: 'y',
    both: 'run-p a b',
    all: 'npm-run-all --parallel a b',
    ci: 'npm run a && yarn b',
  })
  assert.equal(taskOf(tasks, 'both').needs, ['a', 'b'])
  assert.equal(taskOf(tasks, 'both').commands, [])
  assert.equal(taskOf(tasks, 'all').needs, ['a', 'b'])
  assert.equal(lines(taskOf(tasks, 'ci')), ['npm run a && yarn b'])
  assert.match(taskOf(tasks, 'ci').notes?.join() ?? '', 'one after the other')
})

scripts('variables that npm sets are told', () => {
  const { tasks, notes } = npm({ pack: 'echo $npm_package_name ${npm_config_x}', fine: 'echo $HOME' })
  assert.is(tasks.length, 2)
  assert.equal(notes, ['"pack" reads npm_package_name and npm_config_x, which npm sets and devstack does not.'])
})

scripts('comments, empty scripts and wrong types are no tasks', async () => {
  assert.equal(npm({ '//': 'about', '//x': 'y', empty: ' ', number: 1 }).tasks, [])
  for (const text of ['{}', 'null', '[]', '"x"', '{"scripts":null}']) assert.equal(importScripts(text).tasks, [])
  const error = await refusal(() => importScripts('{"scripts":', 'package.json'))
  assert.is(error.code, 'IMPORT_UNREADABLE')
  assert.is(error.place?.file, 'package.json')
})

const make = suite('importing a Makefile')
const makefile = (text: string) => importMakefile(text.replaceAll(/^ {2,}/gm, '\t'))

make('targets with prerequisites, recipes, descriptions', () => {
  const { tasks } = makefile(
    [
      '.PHONY: all test',
      'all: build/app test ## Build it',
      'build/app: main.c util.c | out',
      '  @echo compiling',
      '  -$(CC) -o $@ $^',
      'out:',
      '  mkdir -p $@',
      '# Run the tests',
      'test: build/app; ./test.sh $<',
    ].join('\n'),
  )
  assert.equal(taskOf(tasks, 'all'), {
    name: 'all',
    description: 'Build it',
    needs: ['build/app', 'test'],
    commands: [],
  })
  assert.equal(taskOf(tasks, 'build/app'), {
    name: 'build/app',
    needs: ['out'],
    commands: [{ line: 'echo compiling' }, { line: '${CC:-cc} -o build/app main.c util.c', tolerant: true }],
    outputs: ['build/app'],
    inputs: ['main.c', 'util.c'],
  })
  assert.equal(lines(taskOf(tasks, 'test')), ['./test.sh build/app'])
  assert.is(taskOf(tasks, 'test').description, 'Run the tests')
})

make('variables of every kind', () => {
  const { tasks } = makefile(
    [
      'A = $(B) c # a comment',
      'B := b',
      'B += more',
      'V ?= 1.2',
      'export MODE = fast',
      'SHELL := /bin/bash',
      'one: X = own',
      'one:',
      '  echo $(A) ${V} $X $$HOME $(UNSET) $(shell date +%s)',
      "  echo '$(V)'",
      'two:',
      '  $(MAKE) one',
    ].join('\n'),
  )
  const one = taskOf(tasks, 'one')
  assert.equal(lines(one), ['echo b more c ${V:-1.2} own $HOME ${UNSET:-} $(date +%s)', "echo '1.2'"])
  assert.equal(one.env, { MODE: 'fast' })
  assert.is(one.shell, '/bin/bash')
  assert.equal(lines(taskOf(tasks, 'two')), ['make one'])
})

make('continuations: joined in rules and variables, left to the shell in recipes', () => {
  const { tasks } = makefile(
    'X = a \\\n    b\none: two \\\n three\n  for f in $(X); do \\\n    echo $$f; \\\n  done\ntwo:\n  :\nthree:\n  :\n',
  )
  assert.equal(taskOf(tasks, 'one').needs, ['two', 'three'])
  const [loop] = lines(taskOf(tasks, 'one'))
  assert.is(spawnSync('/bin/sh', ['-c', loop!], { encoding: 'utf8' }).stdout, 'a\nb\n')
})

make('what only make can do is left to make', () => {
  const { tasks, notes } = makefile(
    [
      'SRC = $(wildcard *.c)',
      'ifeq ($(OS),Linux)',
      'FLAG = -l',
      'else',
      'FLAG = -w',
      'endif',
      'define BODY',
      'echo a',
      'endef',
      'objects: $(SRC)',
      '  cc $(SRC)',
      'flags:',
      '  echo $(FLAG)',
      'body:',
      '  $(BODY)',
      'loop: ; echo $(LOOP)',
      'LOOP = $(LOOP)x',
      '%.o: %.c',
      '  cc -c $<',
      '.c.o:',
      '  cc -c $<',
      'include other.mk',
    ].join('\n'),
  )
  for (const name of ['objects', 'flags', 'body', 'loop']) {
    assert.equal(lines(taskOf(tasks, name)), [`make ${name}`])
    assert.match(taskOf(tasks, name).notes?.join() ?? '', 'Left to make')
  }
  assert.is(tasks.length, 4)
  assert.match(notes.join('\n'), 'the pattern rule "%.o" was not imported')
  assert.match(notes.join('\n'), 'other.mk')
  assert.not.match(notes.join('\n'), 'not understood')
})

make('what depends on the order of lines, or flows to other targets, is left to make', () => {
  const { tasks } = makefile(
    [
      'A = 1',
      'first:',
      '  echo $(A)',
      'A = 2',
      'FLAGS = -a',
      'debug: FLAGS += -g',
      'debug: app',
      'alone: FLAGS += -g',
      'alone:',
      '  cc $(FLAGS)',
      'app:',
      '  cc $(FLAGS)',
    ].join('\n'),
  )
  assert.equal(lines(taskOf(tasks, 'first')), ['make first'])
  assert.equal(lines(taskOf(tasks, 'debug')), ['make debug'])
  assert.equal(lines(taskOf(tasks, 'alone')), ['cc -a -g'])
  assert.equal(lines(taskOf(tasks, 'app')), ['cc -a'])
})

make('folders written in full, and comments that describe', () => {
  const { tasks } = makefile(
    [
      'BIN := $(CURDIR)/bin',
      '# -----',
      '# Build the program. It takes a while.',
      '# More about it.',
      '.PHONY: build',
      'build: $(BIN)/app',
      '# https://example.com',
      '$(BIN)/app: main.go',
      '  go build -o $(BIN)/app',
    ].join('\n'),
  )
  assert.is(taskOf(tasks, 'build').description, 'Build the program')
  assert.equal(taskOf(tasks, 'build').needs, ['bin/app'])
  assert.is(taskOf(tasks, 'bin/app').description, undefined)
  assert.equal(lines(taskOf(tasks, 'bin/app')), ['go build -o $PWD/bin/app'])
})

make('.ONESHELL, targets defined twice, several targets of one rule', () => {
  const { tasks } = makefile('.ONESHELL:\na b: c\n  x=1\n  echo $$x\na: d\nc:\nd:\n')
  assert.equal(taskOf(tasks, 'a').needs, ['c', 'd'])
  assert.equal(lines(taskOf(tasks, 'b')), ['x=1\necho $x'])
})

make('variables that double each other do not fill the memory', () => {
  const doubling = ['A0 = xxxxxxxxxx']
  for (let index = 1; index < 29; index += 1) doubling.push(`A${index} = $(A${index - 1})$(A${index - 1})`)
  const { tasks } = makefile(`${doubling.join('\n')}\nall:\n  echo $(A28)\n`)
  assert.equal(lines(taskOf(tasks, 'all')), ['make all'])
})

make('any text gives a draft', () => {
  const piece = fc.oneof(
    fc.string(),
    fc.constantFrom(
      'a: b',
      '\tcmd $(X)',
      'X = 1',
      'ifeq',
      'endif',
      'define x',
      '$(',
      '.PHONY: a',
      '\\',
      '__proto__: a',
      'a::',
      ': b',
      '$(x): y',
    ),
  )
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const { tasks } = importMakefile(pieces.join('\n'))
      assert.ok(renderConfig([{ source: 'makefile', file: 'Makefile', tasks, notes: [] }]).text.length > 0)
    }),
    { numRuns: 300 },
  )
})

const taskfile = suite('importing a Taskfile')

taskfile('commands, dependencies, files, variables', async () => {
  const { tasks } = await importTaskfile(`
version: '3'
vars: { NAME: app }
env: { MODE: fast }
tasks:
  default: { deps: [build] }
  build:
    desc: Build it
    aliases: [b]
    dir: sub
    cmds: ['go build -o {{.NAME}}', { cmd: 'rm x', ignore_error: true }]
    sources: ['**/*.go']
    generates: ['{{ .NAME }}']
  run: [./app]
  call: { cmds: [{ task: build }, ./app] }
  short: echo hi
  nothing:
`)
  assert.equal(taskOf(tasks, 'default').needs, ['build'])
  assert.equal(taskOf(tasks, 'build'), {
    name: 'build',
    description: 'Build it',
    aliases: ['b'],
    cwd: 'sub',
    inputs: ['**/*.go'],
    outputs: ['app'],
    env: { MODE: 'fast' },
    needs: [],
    commands: [{ line: 'go build -o app' }, { line: 'rm x', tolerant: true }],
  })
  assert.equal(lines(taskOf(tasks, 'run')), ['./app'])
  assert.equal(taskOf(tasks, 'call').needs, ['build'])
  assert.equal(lines(taskOf(tasks, 'short')), ['echo hi'])
  assert.equal(taskOf(tasks, 'nothing').commands, [])
})

taskfile('what only task can do is left to task', async () => {
  const { tasks, notes } = await importTaskfile(`
includes: { docs: ./docs }
tasks:
  a: { cmds: [./x, { task: b }] }
  b: { cmds: ['echo {{ now }}'] }
  c: { preconditions: [test -f x], cmds: [x] }
  d: { deps: [{ task: a, vars: { X: 1 } }] }
  e: { cmds: [{ defer: rm x }] }
  'f:*': { cmds: [x] }
`)
  for (const name of ['a', 'b', 'c', 'd', 'e']) assert.equal(lines(taskOf(tasks, name)), [`task ${name}`])
  assert.is(tasks.length, 5)
  assert.match(notes.join('\n'), 'docs')
  assert.match(notes.join('\n'), 'f:*')
})

taskfile('words of the command line are told', async () => {
  const { tasks, notes } = await importTaskfile('tasks:\n  t: { cmds: ["vitest {{.CLI_ARGS}}"] }\n  u: { cmds: [x] }\n')
  assert.equal(lines(taskOf(tasks, 't')), ['vitest'])
  assert.equal(notes, [
    '"t" took what stands behind -- ({{.CLI_ARGS}}), which is left out; give the task params for it.',
  ])
})

taskfile('broken ones are refused with their line', async () => {
  const error = await refusal(() => importTaskfile('tasks:\n  a: [\n', 'Taskfile.yml'))
  assert.is(error.code, 'IMPORT_UNREADABLE')
  assert.ok((error.place?.line ?? 0) > 1)
  assert.is((await refusal(() => importTaskfile('- a\n'))).code, 'IMPORT_UNREADABLE')
  assert.equal((await importTaskfile('')).tasks, [])
  const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]']
  for (let index = 1; index < 9; index += 1) {
    const [before, name] = ['abcdefghi'[index - 1], 'abcdefghi'[index]]
    bomb.push(`${name}: &${name} [${Array(9).fill(`*${before}`).join(',')}]`)
  }
  assert.is((await refusal(() => importTaskfile(bomb.join('\n')))).code, 'IMPORT_UNREADABLE')
})

const written = suite('the written config')

written('compiles, loads, and has the tasks under their names', async () => {
  const drafts = [
    importScripts(
      '{"scripts":{"test":"uvu","test:unit":"uvu `x` ${Y} \\\\ \'q\' \\"d\\"","class":"true","build all":"true","a-b":"1","aB":"2"}}',
    ),
    makefile(
      '.PHONY: test\ntest: build/app ## It\'s "quoted"\n  -rm x # gone\n  echo $$HOME\nbuild/app: a.c\n  cc $<\n',
    ),
    await importTaskfile('tasks: { test: echo, default: { deps: [test], desc: All of it } }'),
  ]
  const { text, notes } = renderConfig(drafts)
  const { path, remove } = await folder({ 'devstack.config.mts': text })
  try {
    await mkdir(join(path, 'node_modules'))
    await writeFile(
      join(path, 'tsconfig.json'),
      JSON.stringify({
        extends: join(root, 'tsconfig.json'),
        compilerOptions: {
          noUnusedLocals: true,
          types: [],
          typeRoots: [join(root, 'node_modules/@types')],
          paths: { devstack: [join(root, 'lib/index.ts')] },
        },
        include: [],
        exclude: [],
        files: [join(path, 'devstack.config.mts')],
      }),
    )
    const compiler = join(root, 'node_modules/typescript/bin/tsc')
    const compile = () => spawnSync(process.execPath, [compiler, '-p', path], { cwd: path, encoding: 'utf8' }).stdout
    const complaints = (stdout: string) => stdout.split('\n').filter((line) => /^(devstack\.config|error)/.test(line))
    assert.equal(complaints(compile()), [])
    // The same compiler with the same settings would have seen a mistake.
    await writeFile(join(path, 'devstack.config.mts'), text.replace('needs: { ', 'needs: { mistake, '))
    assert.match(complaints(compile()).join('\n'), "'mistake'")
    await writeFile(
      join(path, 'loadable.mts'),
      text.replace("from 'devstack'", `from ${JSON.stringify(pathToFileURL(join(root, 'lib/index.ts')).href)}`),
    )
    const { default: config } = (await import(pathToFileURL(join(path, 'loadable.mts')).href)) as {
      default: { tasks: Record<string, { kind: string; definition: { source?: string } }> }
    }
    const names = [
      'test',
      'test:unit',
      'class',
      'build-all',
      'a-b',
      'aB',
      'make:test',
      'build/app',
      'taskfile:test',
      'default',
    ]
    assert.equal(Object.keys(config.tasks), names)
    for (const task of Object.values(config.tasks)) assert.is(task.kind, 'task')
    assert.match(notes.join('\n'), '"build all" is the task build-all')
    assert.match(notes.join('\n'), '"test" is the task make:test')
  } finally {
    await remove()
  }
})

written('names that repeat and needs that go round', () => {
  const task = (name: string, ...needs: string[]): DraftTask => ({ name, needs, commands: [{ line: name }] })
  const ordered = inOrder([task('a', 'b'), task('b', 'c', 'gone'), task('c', 'a'), task('d', 'd')])
  assert.equal(
    ordered.map(({ name, needs }) => [name, needs]),
    [
      ['c', []],
      ['b', ['c']],
      ['a', ['b']],
      ['d', []],
    ],
  )
  assert.match(ordered[0]!.notes?.join() ?? '', 'The need on "a" would close a cycle.')
  const chain = Array.from({ length: 20_000 }, (_, index) => task(`t${index}`, `t${index + 1}`))
  assert.is(inOrder(chain).length, 20_000)
})

written('a need stands before whoever needs it, whatever the graph', () => {
  const graph = fc.array(fc.array(fc.nat(9), { maxLength: 4 }), { maxLength: 10 })
  fc.assert(
    fc.property(graph, (needs) => {
      const tasks = needs.map((own, index) => ({ name: `${index}`, needs: own.map(String), commands: [] }))
      const ordered = inOrder(tasks)
      assert.is(ordered.length, tasks.length)
      const seen = new Set<string>()
      for (const { name, needs: own } of ordered) {
        for (const need of own) assert.ok(seen.has(need))
        seen.add(name)
      }
    }),
  )
})

written('any text is a literal that reads back the same', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const literal = quote(text)
      assert.not.match(literal, /[\n\r\u2028\u2029]/)
      assert.is(new Function(`return ${literal}`)(), text)
    }),
  )
})

written('a name begins with none of the signs that the command line or a path would take', () => {
  for (const [text, name] of [
    [',:+', '+'],
    [',-x', 'x'],
    ['/=:a:b', 'a:b'],
    [',', 'task'],
  ] as const) {
    assert.is(usableName(text), name)
  }
})

written('names and identifiers are usable, whatever they come from', () => {
  const taken = new Set<string>()
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.match(usableName(text), /^[\w@.+][\w@.+,=/-]*(:[\w@.+,=/-]+)*$/)
      const identifier = identifierFor(text, taken)
      assert.ok(new Function(`const ${identifier} = 1; return ${identifier}`)())
    }),
    { numRuns: 1000 },
  )
})

const command = suite('devstack init')

command('imports everything that is here, or what is chosen', async () => {
  const { path, remove } = await folder({
    'package.json': '{"scripts":{"build":"tsc"}}',
    Makefile: 'clean:\n\trm -rf dist\n',
    'docker-compose.yml': 'services: {}\n',
  })
  try {
    const all = await planInit({ directory: path })
    assert.equal(
      all.imported.map(({ source, tasks }) => [source, tasks]),
      [
        ['package.json', 1],
        ['makefile', 1],
        ['compose', 0],
      ],
    )
    assert.match(all.text, "use: [compose('docker-compose.yml')]")
    assert.match(all.text, 'tasks: { build, clean }')
    const one = await planInit({ directory: path, from: ['makefile'] })
    assert.not.match(one.text, 'tsc')
    const error = await refusal(() => planInit({ directory: path, from: ['taskfile'] }))
    assert.is(error.code, 'IMPORT_NOT_FOUND')
    assert.match(error.hint ?? '', '--from makefile (Makefile)')
  } finally {
    await remove()
  }
})

command('in an empty folder: a config to start from; never over another', async () => {
  const { path, remove } = await folder({})
  try {
    const plan = await planInit({ directory: path })
    await writeInit(plan)
    assert.is(await readFile(plan.file, 'utf8'), plan.text)
    assert.match(plan.text, 'tasks: { hello }')
    assert.match(formatInit(plan), 'nothing to import')
    assert.is((await refusal(() => planInit({ directory: path }))).code, 'CONFIG_EXISTS')
    assert.is((await refusal(() => writeInit(plan))).code, 'CONFIG_EXISTS')
    assert.is(await readFile(plan.file, 'utf8'), plan.text)
  } finally {
    await remove()
  }
})

command('is an ES module by its name where package.json does not say so', async () => {
  const kindOf = async (text: string) => {
    const { path, remove } = await folder({ 'package.json': text })
    try {
      return (await planInit({ directory: path })).file.slice(path.length + 1)
    } finally {
      await remove()
    }
  }
  assert.is(await kindOf('{ "type": "module" }'), 'devstack.config.ts')
  assert.is(await kindOf('{ "type": "commonjs" }'), 'devstack.config.mts')
  assert.is(await kindOf('{}'), 'devstack.config.mts')
})

command('a config of another kind counts too, and so does a folder that is none', async () => {
  const { path, remove } = await folder({ 'devstack.config.yaml': '' })
  try {
    assert.is((await refusal(() => planInit({ directory: path }))).code, 'CONFIG_EXISTS')
    assert.is((await refusal(() => planInit({ directory: join(path, 'gone') }))).code, 'FOLDER_UNREADABLE')
    await mkdir(join(path, 'below/.config'), { recursive: true })
    await writeFile(join(path, 'below/.config/devstack.json'), '{}')
    assert.is((await refusal(() => planInit({ directory: join(path, 'below') }))).code, 'CONFIG_EXISTS')
  } finally {
    await remove()
  }
})

command('the JSON Schema names what the reader of YAML and JSON configs takes', async () => {
  const schema = await configSchema()
  assert.equal(Object.keys(schema['properties'] as object), Object.keys(plainConfigSchema.shape))
  assert.is(schema['additionalProperties'], false)
})

for (const one of [scripts, make, taskfile, written, command]) one.run()
