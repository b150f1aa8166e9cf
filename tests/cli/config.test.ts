import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'

const configs = suite<{ test: Checkout }>('config files')
configs.before.each((context) => {
  context.test = checkout({ name: 'config', files: {}, modules: ['zod'] })
})
configs.after.each(async ({ test }) => test.remove())

const script = (name: string) =>
  `import { defineConfig, task } from 'devstack'\nexport default defineConfig({ tasks: { ${name}: task({ run: ({ log }) => log('${name} ran') }) } })\n`
const yaml =
  'tasks:\n  greet:\n    description: Says hello\n    run: echo hello from yaml\n  both:\n    needs: [greet]\n'

for (const [file, text] of [
  ['devstack.config.ts', script('greet')],
  ['devstack.config.mts', script('greet')],
  ['devstack.config.js', script('greet')],
  ['devstack.config.mjs', script('greet')],
  ['devstack.config.yaml', yaml],
  ['devstack.config.json', '{ "tasks": { "greet": { "run": ["echo", "hello $HOME"] } } }'],
  ['package.json', '{ "type": "module", "devstack": { "tasks": { "greet": { "run": "echo hi" } } } }'],
  ['.config/devstack.config.ts', script('greet')],
] as const) {
  configs(file, async ({ test }) => {
    test.write({ [file]: text, 'deep/er/x': '' })
    const output = await test.succeed(['run', 'greet', '--verbose'])
    assert.match(output, /greet ran|hello|hi/)
    if (file.endsWith('.json') && file !== 'package.json') assert.match(output, 'hello $HOME')
    assert.match(await test.succeed(['list'], { cwd: 'deep/er' }), 'greet')
  })
}

configs('compose: of a YAML config makes tasks of the services, for one file and for several', async ({ test }) => {
  test.write({
    'compose.yaml': 'services:\n  cache:\n    image: debian:bookworm-slim\n',
    'more.yaml': 'services:\n  queue:\n    image: debian:bookworm-slim\n    depends_on: [cache]\n',
    'devstack.config.yaml': 'compose: compose.yaml\ntasks:\n  greet:\n    run: echo hello\n',
  })
  assert.match(await test.succeed(['list']), 'greet')
  const one = await test.succeed(['graph', 'up', '--format', 'mermaid'])
  assert.match(one, '"cache"')
  assert.not.match(one, 'queue')
  test.write({ 'devstack.config.yaml': 'compose: [compose.yaml, more.yaml]\n' })
  assert.match(await test.succeed(['graph', 'up', '--format', 'mermaid']), /cache[\s\S]*queue/)
  test.write({ 'devstack.config.yaml': 'compose: missing.yaml\n' })
  assert.match(await test.refused(['plan', 'up']), 'missing.yaml')
})

configs(
  'a graph of all tasks holds services of one name that differ, and tasks that require params',
  async ({ test }) => {
    test.write({
      'devstack.config.ts': `import { defineConfig, task, z } from 'devstack'
const whole = task({ label: 'db', run: () => 1 })
const small = task({ label: 'db', run: () => 2 })
const asked = task({ params: z.object({ which: z.string() }), needs: ({ which }) => (which.length > 3 ? { whole } : {}), run: () => 3 })
export default defineConfig({ tasks: { up: task({ needs: { whole }, run: () => 1 }), fast: task({ needs: { small }, run: () => 2 }), asked } })`,
    })
    const { nodes, edges } = JSON.parse(await test.succeed(['graph', '--format', 'json']))
    assert.equal(nodes.map(({ id }: { id: string }) => id).sort(), ['asked', 'db', 'db of fast', 'fast', 'up'])
    assert.is(edges.length, 2)
  },
)

configs('--config and -C count wherever they stand, and the printed command to go on has them', async ({ test }) => {
  test.write({
    'devstack.config.yaml': 'tasks: { a: { run: echo from default } }\n',
    'other.yaml':
      'tasks:\n  a: { run: echo from other }\n  multi: { run: "false" }\n  again: { run: "test -e there || { touch there; false; }" }\n',
    'sub/devstack.config.yaml': 'tasks: { a: { run: echo from sub }, c: { run: echo c } }\n',
  })
  for (const words of [
    ['a', '--config', 'other.yaml'],
    ['a', '--config=other.yaml', '--', 'a'],
    ['--config', 'other.yaml', 'a'],
  ])
    assert.match(await test.succeed(['run', '--verbose', ...words]), 'from other')
  assert.match(await test.succeed(['run', 'a', '-C', 'sub', '--verbose']), 'from sub')
  assert.match(await test.succeed(['plan', 'c', '-C', 'sub']), 'c')
  assert.match(await test.succeed(['plan', 'multi', '--config', 'other.yaml']), 'multi')
  assert.match(
    await test.refused(['run', 'a', '--config', 'nope.yaml']),
    /There is no config at .*\n.*Without --config/,
  )
  assert.match(await test.refused(['list', '-C', 'nope']), /There is no folder .*\n.*-C counts from/)
  assert.match(await test.refused(['run', 'nope', '--config', 'other.yaml']), 'There is no task "nope"')
  const failed = await test.run(['run', 'again', '--config', 'other.yaml'])
  assert.match(failed.stdout, /devstack show --config other\.yaml \S+/)
  const [, goOn] = /devstack (resume .*)/.exec(failed.stdout)!
  assert.match(goOn!, '--config other.yaml')
  await test.succeed(goOn!.split(' '))
})

configs('a param named config stays the param of its task', async ({ test }) => {
  test.write({
    'devstack.config.ts': `import { defineConfig, task, z } from 'devstack'
export default defineConfig({ tasks: { deploy: task({ params: z.object({ config: z.string() }), run: ({ params, log }) => log('with ' + params.config) }) } })`,
    'other.yaml': 'tasks: { deploy: { run: echo other } }\n',
  })
  assert.match(await test.succeed(['run', 'deploy', '--config', 'other.yaml', '--verbose']), 'with other.yaml')
  assert.match(await test.refused(['run', 'deploy', '--config', 'prod', '--typo']), '--typo')
})

configs('no config at all says how to get one', async ({ test }) => {
  const refused = await test.refused(['list'])
  assert.match(refused, 'There is no devstack config')
  assert.match(refused, 'devstack init')
})

/** Each broken in its own way: what must be said of it, and where. */
const broken: readonly (readonly [name: string, file: string, text: string, message: RegExp, place: RegExp])[] = [
  [
    'throws',
    'devstack.config.ts',
    "const a = 1\nthrow new Error('no luck')\n",
    /no luck/,
    /devstack\.config\.ts:2:\d+[\s\S]*2 \| throw new Error/,
  ],
  ['throws no Error', 'devstack.config.ts', "throw 'text'\n", /text/, /devstack\.config\.ts/],
  ['exports nothing', 'devstack.config.ts', 'const a = 1\n', /no default/, /devstack\.config\.ts/],
  ['exports a number', 'devstack.config.ts', 'export default 5\n', /a number/, /devstack\.config\.ts/],
  [
    'exports a promise that rejects',
    'devstack.config.ts',
    "export default Promise.reject(new Error('later'))\n",
    /later/,
    /devstack\.config\.ts:1/,
  ],
  [
    'has a syntax error',
    'devstack.config.ts',
    'const a = 1\nconst = 2\n',
    /./,
    /devstack\.config\.ts:2:\d+[\s\S]*2 \| const = 2/,
  ],
  [
    'has a syntax error in plain JavaScript',
    'devstack.config.mjs',
    'const a = 1\nconst = 2\n',
    /./,
    /devstack\.config\.mjs:2/,
  ],
  [
    'imports what is not there',
    'devstack.config.ts',
    "const a = 1\nimport x from 'no-such-package'\n",
    /no-such-package/,
    /devstack\.config\.ts:2:\d+/,
  ],
  [
    'imports a file that is not there',
    'devstack.config.ts',
    "import x from './nope.ts'\n",
    /nope\.ts[\s\S]*→ Make the file, or correct the import\./,
    /devstack\.config\.ts:1:\d+/,
  ],
  [
    'has an unknown setting',
    'devstack.config.ts',
    'export default { taks: {} }\n',
    /"taks" is no setting/,
    /devstack\.config\.ts/,
  ],
  [
    'has an undefined task',
    'devstack.config.ts',
    'export default { tasks: { a: undefined } }\n',
    /"a" in devstack\.config\.ts is undefined/,
    /./,
  ],
  [
    'has a setting of a wrong kind',
    'devstack.config.ts',
    "export default {\n  tasks: {},\n  secrets: 'X',\n}\n",
    /secrets: "X" must be a list of texts/,
    /devstack\.config\.ts:3:3/,
  ],
  [
    'has envFiles of a wrong kind',
    'devstack.config.mjs',
    'export default { envFiles: 3 }\n',
    /envFiles: 3 must be/,
    /:1:18/,
  ],
  ...(
    [
      ["locks: 'pg'", /locks of the task "a" in devstack\.config\.ts must be a list of names/],
      ["locks: [{ name: 'pg', size: 0 }]", /locks of the task "a" .* with a size from 1, got/],
      ["effect: 'delete'", /effect of the task "a" .* one of read, create, change, destroy, got "delete"/],
      ["descripton: 'x'", /"descripton" of the task "a" .* is no key of a task\. Did you mean "description"\?/],
      ['nees: {}', /"nees" of the task "a" .* Did you mean "needs"\?/],
      ["timeout: 'soon'", /timeout of the task "a" .* a duration/],
      ['run: 5', /run of the task "a" .* a function, got 5/],
      ['env: { A: {} }', /env of the task "a"/],
    ] as const
  ).map(
    ([key, message]) =>
      [
        `has a task with ${key}`,
        'devstack.config.ts',
        `import { task } from 'devstack'\nconst a = task({\n  ${key},\n})\nexport default { tasks: { a } }\n`,
        message,
        /devstack\.config\.ts:3:3/,
      ] as const,
  ),
  [
    'has a task of nothing',
    'devstack.config.mjs',
    "import { task } from 'devstack'\nexport default { tasks: { a: task() } }\n",
    /task\(\) needs a definition/,
    /devstack\.config\.mjs:2:30/,
  ],
  ['has broken YAML', 'devstack.config.yaml', 'tasks:\n  a: [1\n', /./, /devstack\.config\.yaml:\d+:\d+/],
  [
    'has a wrong YAML key',
    'devstack.config.yaml',
    'tasks:\n  a:\n    rnu: echo\n',
    /rnu/,
    /devstack\.config\.yaml:3:5[\s\S]*3 \| {5}rnu: echo/,
  ],
  [
    'has a wrong YAML value',
    'devstack.config.yaml',
    'tasks:\n  a:\n    run: echo\n    timeout: soon\n',
    /duration/,
    /devstack\.config\.yaml:4/,
  ],
  ['has broken JSON', 'devstack.config.json', '{ "tasks": {\n "a": }\n', /./, /devstack\.config\.json:\d+:\d+/],
  [
    'has a near miss of a YAML key',
    'devstack.config.yaml',
    'tasks:\n  a:\n    run: echo\n    descripton: x\n',
    /tasks\.a\.descripton.* Did you mean "description"\?/,
    /devstack\.config\.yaml:4:5/,
  ],
  [
    'has a number as command',
    'devstack.config.yaml',
    'tasks:\n  a:\n    run: 5\n',
    /tasks\.a\.run: .*a command as text or a list of words/,
    /devstack\.config\.yaml:3:5/,
  ],
  [
    'stands wrong in package.json',
    'package.json',
    '{\n\t"name": "x",\n\t"devstack": {\n\t\t"tasks": { "a": { "rnu": 1 } }\n\t}\n}\n',
    /tasks\.a\.rnu/,
    /package\.json:4:21\n {2}4 \| {3}"tasks"/,
  ],
  [
    'stands in a broken package.json',
    'package.json',
    '{\n  "name": "x",\n  "devstack": { "tasks": { } },\n}\n',
    /package\.json can not be read/,
    /package\.json:4:1/,
  ],
]
for (const [name, file, text, message, place] of broken) {
  configs(`a config that ${name} is told with its place, and nothing runs`, async ({ test }) => {
    test.write({ [file]: text })
    for (const args of [['list'], ['run', 'a']]) {
      const refused = await test.refused(args)
      assert.match(refused, message)
      assert.match(refused, place)
    }
  })
}

configs('a task of a YAML or JSON config may be called __proto__', async ({ test }) => {
  const files = [
    ['devstack.config.json', '{ "tasks": { "__proto__": { "run": "echo from proto" } } }'],
    ['devstack.config.yaml', 'tasks:\n  a: { run: "true" }\n  __proto__:\n    needs: [a]\n    run: echo from proto\n'],
    ['package.json', '{ "devstack": { "tasks": { "__proto__": { "run": "echo from proto" } } } }'],
  ] as const
  for (const [file, text] of files) {
    const own = checkout({ name: 'proto', files: { [file]: text } })
    try {
      assert.match(await own.succeed(['list']), '__proto__')
      assert.match(await own.succeed(['run', '__proto__', '--verbose']), 'from proto')
    } finally {
      await own.remove()
    }
  }
  test.write({ 'devstack.config.json': '{ "tasks": {\n "__proto__": { "rnu": "x" } } }' })
  assert.match(await test.refused(['list']), /tasks\.__proto__\.rnu[\s\S]*devstack\.config\.json:2:17/)
})

configs('a task that stands in no record of tasks is checked as well', async ({ test }) => {
  test.write({
    'devstack.config.ts': `import { defineConfig, task } from 'devstack'
export default defineConfig({ tasks: { a: task({ needs: { x: task({ envFiles: 3 }) }, run: () => 1 }) } })`,
  })
  assert.match(await test.refused(['run', 'a']), 'envFiles of the task "a.x" must be a list of texts, got 3')
})

configs('a lock named twice is taken once', async ({ test }) => {
  test.write({ 'devstack.config.yaml': 'tasks: { a: { locks: [p, p, { name: p, size: 2 }], run: echo locked } }\n' })
  assert.match(await test.succeed(['run', 'a', '--verbose'], { timeout: 20_000 }), 'locked')
})

configs('a promise of a config is awaited', async ({ test }) => {
  const text =
    script('greet').replace('export default ', 'const config = ') + 'export default Promise.resolve(config)\n'
  test.write({ 'devstack.config.ts': text })
  await test.succeed(['run', 'greet'])
})

configs('included configs run in their own folder, with their own namespace', async ({ test }) => {
  test.write({
    'devstack.config.ts': `import { defineConfig, group, named, task } from 'devstack'
export default defineConfig({ include: { api: 'packages/api', web: 'packages/web/devstack.config.yaml' }, tasks: { all: group({ a: named('api:where'), w: named('web:where') }) } })`,
    'packages/api/devstack.config.ts': `import { defineConfig, task } from 'devstack'
export default defineConfig({ tasks: { where: task({ cwd: 'src', run: ({ $ }) => $\`pwd\` }) } })`,
    'packages/api/src/x': '',
    'packages/web/devstack.config.yaml': 'tasks:\n  where:\n    run: pwd\n',
  })
  const output = await test.succeed(['run', 'all', '--verbose'])
  assert.match(output, `${test.directory}/packages/api/src`)
  assert.match(output, `${test.directory}/packages/web`)
})

configs('names in an included config mean its own tasks first, aliases are in its namespace', async ({ test }) => {
  test.write({
    'devstack.config.yaml':
      'include: { shared: packages/shared, api: packages/api }\ntasks: { root: { run: echo root }, lib: { run: echo wrong lib } }\n',
    'packages/shared/devstack.config.yaml':
      'tasks:\n  lib: { aliases: [t], run: echo own lib }\n  two: { needs: [lib, root], run: echo two }\n',
    'packages/api/devstack.config.ts': `import { defineConfig, group, named, task } from 'devstack'
export default defineConfig({ include: { deep: '../deep' }, tasks: { a: task({ aliases: ['t'], run: ({ log }) => log('api a') }), nested: group({ inner: group({ a: named('t') }) }) } })`,
    'packages/deep/devstack.config.yaml': 'tasks: { d: { needs: [a], run: echo d } }\n',
  })
  const two = await test.succeed(['run', 'shared:two', '--verbose'])
  for (const said of ['own lib', 'root', 'two']) assert.match(two, said)
  assert.not.match(two, 'wrong lib')
  assert.match(await test.succeed(['run', 'shared:t', '--verbose']), 'own lib')
  for (const name of ['api:t', 'api:nested', 'api:deep:d'])
    assert.match(await test.succeed(['run', name, '--verbose']), 'api a')
  assert.match(await test.succeed(['list']), 'api:a (api:t)')
  assert.match(await test.succeed(['help', 'api:a']), 'api:t')
  assert.match(await test.succeed(['__complete', '--', 'run', 'api:']), 'api:t')
  assert.match(await test.refused(['run', 't']), 'There is no task "t"')
})

configs("an included config's env files apply to its tasks, and its secrets are masked", async ({ test }) => {
  test.write({
    'devstack.config.yaml': 'include: { api: packages/api }\ntasks: { root: { run: "echo root: $WHO $OTHER" } }\n',
    '.env': 'WHO=of-root\nOTHER=other-of-root\n',
    'packages/api/devstack.config.yaml':
      'secrets: [API_TOK, IN_FILE]\ntasks: { show: { envFiles: [own.env], run: "echo api: $WHO $OTHER $API_TOK $IN_FILE" } }\n',
    'packages/api/.env': 'WHO=of-api\n',
    'packages/api/own.env': 'IN_FILE=from-a-file-of-the-task\n',
  })
  const env = { API_TOK: 'abcdefgh-very-private' }
  const shown = await test.succeed(['run', 'api:show', '--verbose'], { env })
  assert.match(shown, 'api: of-api other-of-root')
  assert.not.match(shown, /very-private|from-a-file/)
  assert.match(await test.succeed(['run', 'root', '--verbose']), 'root: of-root other-of-root')
  assert.match(await test.succeed(['run', 'api:show', '--verbose'], { env: { WHO: 'of-shell' } }), 'api: of-shell')
})

configs('a config may be included twice; a true cycle is refused', async ({ test }) => {
  test.write({
    'devstack.config.yaml': 'include: { a: a, b: b, c: lib }\ntasks: { all: { needs: ["a:use", "b:use"] } }\n',
    'a/devstack.config.yaml': 'include: { lib: ../lib }\ntasks: { use: { needs: ["lib:build"], run: echo a } }\n',
    'b/devstack.config.yaml': 'include: { lib: ../lib }\ntasks: { use: { needs: ["lib:build"], run: echo b } }\n',
    'lib/devstack.config.yaml': 'tasks: { build: { run: echo built >> marks } }\n',
  })
  await test.succeed(['run', 'all', 'c:build'])
  assert.is(readFileSync(join(test.directory, 'lib/marks'), 'utf8'), 'built\n')
  test.write({ 'lib/devstack.config.yaml': 'include: { a: ../a }\n' })
  const refused = await test.refused(['list'])
  assert.match(refused, /include each other: \S+\/a\/\S+ → \S+\/lib\/\S+ → \S+\/a\/\S+\.\n/)
})

configs('a task typed as a command is told from an unknown command', async ({ test }) => {
  test.write({
    'devstack.config.yaml': 'tasks: { migrate: { aliases: [m], run: "true" } }\n',
    'sub/x': '',
  })
  await test.succeed(['list'])
  for (const words of [['migrate'], ['-C', 'sub', 'migrate']])
    assert.match(await test.refused(words), /"migrate" is a task, not a command[\s\S]*devstack run migrate/)
  assert.match(await test.refused(['m']), '"m" is a task')
  assert.match(await test.refused(['nope']), 'There is no command "nope"')
})

configs('doctor finds cycles', async ({ test }) => {
  test.write({
    'devstack.config.ts': `import { defineConfig, named, task, z } from 'devstack'
const run = () => {}
const chosen = task({ params: z.object({ which: z.string() }), needs: ({ which }) => ({ x: which.length > 0 ? named('a') : named('b') }), run })
export default defineConfig({ tasks: { chosen, fine: task({ run }), a: task({ needs: { b: named('b') }, run }), b: task({ needs: { a: named('a') }, run }) } })`,
  })
  const { stdout } = await test.run(['doctor', '--json'], { env: { DOCKER_HOST: 'unix:///nowhere.sock' } })
  const finding = JSON.parse(stdout).find(({ check }: { check: string }) => check === 'config')
  assert.is(finding.level, 'problem')
  assert.match(finding.message, 'a → b → a')
})

configs('cycles are printed whole, and the same whoever is asked', async ({ test }) => {
  test.write({
    'devstack.config.ts': `import { defineConfig, definePack, named, task } from 'devstack'
const run = () => {}
const pack = definePack({ name: 'p', tasks: { inPack: task({ needs: { x: named('outside') }, run }) } })
export default defineConfig({ use: [pack], tasks: {
  self: task({ needs: { me: named('self') }, run }), a: task({ needs: { b: named('b') }, run }), b: task({ needs: { c: named('c') }, run }), c: task({ needs: { a: named('a') }, run }),
  outside: task({ needs: { x: named('inPack') }, run }) } })`,
  })
  assert.match(await test.refused(['run', 'self']), 'Task "self" needs itself.')
  for (const name of ['a', 'b', 'c']) assert.match(await test.refused(['run', name]), 'a → b → c → a')
  for (const name of ['inPack', 'outside'])
    assert.match(await test.refused(['plan', name]), 'inPack → outside → inPack')
})

configs('a need on an undefined import is told', async ({ test }) => {
  test.write({
    'a.ts':
      "import { task } from 'devstack'\nimport { b } from './b.ts'\nexport const a = task({ needs: { b }, run: () => 1 })\n",
    'b.ts':
      "import { task } from 'devstack'\nimport { a } from './a.ts'\nexport const b = task({ needs: { get a() { return a } }, run: () => 1 })\n",
    'devstack.config.ts':
      "import { defineConfig, task } from 'devstack'\nconst oops: any = {}\nexport default defineConfig({ tasks: { broken: task({ needs: { image: oops.image }, run: () => 1 }) } })\n",
  })
  assert.match(await test.refused(['run', 'broken']), 'needs "image", which is undefined')
})

configs.run()
