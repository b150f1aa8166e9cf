// deadline: 420s
/** What is published works: packed, installed into an empty folder, and run there with a small config. */
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const root = dirname(import.meta.dirname)

interface Context {
  folder: string
  project: string
  tarball: string
  files: readonly string[]
}

function run(command: string, args: readonly string[], cwd: string) {
  const env: NodeJS.ProcessEnv = {}
  // npm hands its own settings to what it runs; a user's npm starts without them
  for (const [name, value] of Object.entries(process.env)) if (!/^npm_/i.test(name)) env[name] = value
  env['npm_config_update_notifier'] = 'false'
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, env, encoding: 'utf8', timeout: 300_000 })
  if (error) throw error
  return { status, stdout, stderr }
}

function succeed(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = run(command, args, cwd)
  assert.is(status, 0, `${command} ${args.join(' ')}\n${stdout}\n${stderr}`)
  return stdout
}

const config = `
import { defineConfig, task, z } from 'devstack'

const greeting = task({ description: 'A greeting', run: () => ({ text: 'hello' }) })

const greet = task({
  description: 'Greets',
  params: z.object({ name: z.string().default('world') }),
  needs: { greeting },
  run: ({ needs, params, log }) => log(needs.greeting.text + ' ' + params.name),
})

const broken = task({ description: 'Fails', run: ({ $ }) => $\`exit 3\` })

export default defineConfig({ name: 'packed', tasks: { greet, broken } })
`

/** Packing builds; in a copy it does not pull the bundle from under the other test files. */
function copyOfSources(folder: string): string {
  const copy = join(folder, 'sources')
  const left = /^(?:(?:.*\/)?node_modules|dist|coverage|backups|snapshots|\.git|\.devstack|tests|.*\.env.*)(?:\/|$)/
  cpSync(root, copy, { recursive: true, filter: (path) => !left.test(relative(root, path)) })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'dir')
  return copy
}

const published = suite<Context>('published package')

published.before((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'package-'))
})
published.after(({ folder }) => rmSync(folder, { recursive: true, force: true }))

// a test and no hook: uvu keeps quiet about what a hook throws
published('is packed and installed', (context) => {
  context.project = join(context.folder, 'project')
  mkdirSync(context.project)
  const packed = succeed('npm', ['pack', '--json', '--pack-destination', context.folder], copyOfSources(context.folder))
  // lifecycle scripts may print before the JSON
  const [{ filename, files }] = JSON.parse(packed.slice(packed.indexOf('[\n'))) as [
    { readonly filename: string; readonly files: readonly { readonly path: string }[] },
  ]
  context.tarball = join(context.folder, filename)
  context.files = files.map((file) => file.path)
  writeFileSync(join(context.project, 'package.json'), '{ "private": true, "type": "module" }\n')
  writeFileSync(join(context.project, 'devstack.config.ts'), config)
  succeed('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', context.tarball], context.project)
})

published('holds what is needed and nothing else', ({ files }) => {
  const needed = [
    'bin/devstack.cjs',
    'bin/newer-node.js',
    'dist/core.cjs',
    'dist/index.js',
    'dist/packs.js',
    'dist/types/lib/index.d.ts',
  ]
  for (const path of [...needed, 'README.md', 'LICENSE', 'CHANGELOG.md', 'compose/stack.yml']) {
    assert.ok(files.includes(path), `${path} is missing`)
  }
  const stray = files.filter((path) => /^(?:lib|docs|\.)|(?:^|\/)(?:tests|node_modules)\/|\.env/.test(path))
  assert.equal(stray, [])
})

published('runs a task whose need flows to it', ({ project }) => {
  const devstack = join(project, 'node_modules', '.bin', 'devstack')
  assert.match(succeed(devstack, ['run', 'greet', '--name', 'ada'], project), 'hello ada')
  assert.match(succeed(devstack, ['list'], project), 'Greets')
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly version: string }
  assert.match(succeed(devstack, ['--version'], project), version)
})

published('keeps the code of functions that a command used, and starts as well without it', ({ project }) => {
  const devstack = join(project, 'node_modules', '.bin', 'devstack')
  const start = (): string => succeed(devstack, ['run', 'greet', '--renderer', 'lines'], project)
  const cache = join(project, 'node_modules', 'devstack', 'node_modules', '.cache', 'devstack')
  const kept = (): readonly string[] => globSync('*/core-run-*', { cwd: cache }).map((name) => join(cache, name))
  rmSync(cache, { recursive: true, force: true })

  assert.match(start(), 'hello world')
  const [code, ...others] = kept()
  assert.ok(code)
  assert.equal(others, [])
  const whole = statSync(code)
  assert.match(start(), 'hello world')
  assert.is(statSync(code).ino, whole.ino, 'kept code is used, not made again')

  // cut short, and left by another build
  truncateSync(code, whole.size >> 1)
  assert.match(start(), 'hello world')
  assert.ok(statSync(code).size > whole.size * 0.9, 'what V8 refuses is made again')
  renameSync(code, code.replace(/[0-9a-f]{16}$/, '0123456789abcdef'))
  assert.match(start(), 'hello world')
  assert.equal(kept(), [code])

  // a failed command used other functions than the next one will
  rmSync(cache, { recursive: true })
  assert.is(run(devstack, ['run', 'broken'], project).status, 1)
  assert.equal(kept(), [])

  // no place to keep it
  rmSync(cache, { recursive: true, force: true })
  writeFileSync(cache, '')
  assert.match(start(), 'hello world')
  rmSync(cache)
})

published('fails with the exit code of a failed task and no stack trace', ({ project }) => {
  const { status, stdout, stderr } = run(join(project, 'node_modules', '.bin', 'devstack'), ['run', 'broken'], project)
  assert.is(status, 1)
  const shown = stdout + stderr
  assert.not.match(shown, /node:internal|node_modules|\.cjs:\d+/, shown)
})

published('brings types that a strict project compiles with', ({ project }) => {
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        noEmit: true,
        module: 'nodenext',
        target: 'es2024',
        skipLibCheck: true,
        types: [],
      },
      include: ['*.ts'],
    }),
  )
  const tsc = join(root, 'node_modules', '.bin', 'tsc')
  assert.is(succeed(tsc, ['-p', '.'], project), '')
  const misspelt = config.replace('needs.greeting.text', 'needs.greting.text')
  writeFileSync(join(project, 'wrong.config.ts'), misspelt)
  const { status, stdout } = run(tsc, ['-p', '.'], project)
  assert.is.not(status, 0)
  assert.match(stdout, /wrong\.config\.ts.*greting/)
})

published.run()
