/** How a graph is said to each npm peer, and how it is started: as a project's own `node_modules/.bin/X`. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Invocation } from '../sample.ts'
import type { Runner, Surroundings } from './runners.ts'

const quietly = {
  DO_NOT_TRACK: '1',
  TURBO_TELEMETRY_DISABLED: '1',
  TURBO_NO_UPDATE_NOTIFIER: '1',
  NX_DAEMON: 'false',
  NX_NO_CLOUD: 'true',
  NX_TUI: 'false',
  MOON_TOGGLE_TELEMETRY: 'false',
  // a benchmark on a CI machine measures the same as on a desk
  CI: '',
}

export const hereby: Runner = {
  name: 'hereby',
  lay(folder, { kind, works }, around) {
    if (kind === 'files') return 'has no notion of inputs'
    useModules(folder, around)
    write(folder, 'package.json', { private: true, type: 'module' })
    const noop = `import { task } from 'hereby'\nexport const all = task({ name: 'all', run: () => {} })\n`
    // hereby starts all that may start at once, so the limit is ours
    const spawning = `import { spawn } from 'node:child_process'
import { task } from 'hereby'
let free = ${around.concurrency}
const waiting = []
const run = async (line) => {
  if (free > 0) free -= 1
  else await new Promise((resolve) => waiting.push(resolve))
  const child = spawn('/bin/sh', ['-c', line], { stdio: ['ignore', 'pipe', 'pipe'] })
  const code = await new Promise((resolve) => child.once('exit', resolve))
  const next = waiting.shift()
  if (next) next()
  else free += 1
  if (code !== 0) throw new Error(line + ' failed')
}
const made = new Map()
for (const { name, needs, command } of ${JSON.stringify(works)})
  made.set(name, task({ name, dependencies: needs.map((need) => made.get(need)), run: () => run(command) }))
export const all = task({ name: 'all', dependencies: [...made.values()] })
`
    writeFileSync(join(folder, 'Herebyfile.mjs'), kind === 'noop' ? noop : spawning)
    return start(folder, 'hereby', ['all'])
  },
}

export const wireit: Runner = {
  name: 'wireit',
  lay(folder, { works, kind }, around) {
    useModules(folder, around)
    const scripts: Record<string, string> = { all: 'wireit' }
    const tasks: Record<string, object> = { all: { dependencies: works.map(({ name }) => name) } }
    for (const { name, needs, command, files } of works) {
      scripts[name] = 'wireit'
      const fresh = files ? { files: [files.input], output: [files.output] } : {}
      const still = kind === 'noop' ? { files: [], output: [] } : fresh
      tasks[name] = { command, dependencies: needs, ...still }
    }
    write(folder, 'package.json', { name: 'peer', private: true, scripts, wireit: tasks })
    const npm = {
      // what npm would tell it; npm's own start-up is left out
      npm_lifecycle_event: 'all',
      npm_package_json: join(folder, 'package.json'),
      npm_config_user_agent: 'npm/11',
    }
    const env = { ...npm, WIREIT_PARALLEL: String(around.concurrency), WIREIT_LOGGER: 'simple' }
    return start(folder, 'wireit', [], env)
  },
}

export const turbo: Runner = {
  name: 'turbo',
  lay(folder, graph, around) {
    const { works, kind } = graph
    useModules(folder, around)
    const tasks: Record<string, object> = { all: { dependsOn: works.map(({ name }) => name) } }
    for (const { name, needs, files } of works) {
      const inputs = files
        ? { inputs: [files.input], outputs: [files.output] }
        : { inputs: ['package.json'], outputs: [] }
      tasks[name] = { dependsOn: needs, ...inputs, cache: kind !== 'true' }
    }
    const scripts = { all: 'true', ...Object.fromEntries(works.map(({ name, command }) => [name, command])) }
    write(folder, 'package.json', { name: 'peer', private: true, packageManager: 'npm@11.0.0', scripts })
    write(folder, 'package-lock.json', { name: 'peer', lockfileVersion: 3, packages: { '': { name: 'peer' } } })
    write(folder, 'turbo.json', { tasks })
    commit(folder)
    const args = ['run', 'all', '--no-daemon', '--output-logs=none', `--concurrency=${around.concurrency}`]
    const measured = start(folder, 'turbo', args)
    if (kind === 'true') return { ...measured, note: 'runs each through npm' }
    // the run that only fills the cache need not wait for npm a thousand times
    const stub = join(folder, '.turbo', 'stub')
    mkdirSync(stub, { recursive: true })
    const copy = kind === 'files' ? '[ "$2" = all ] || exec cp "src/$2.txt" "out/$2.txt"' : 'exit 0'
    writeFileSync(join(stub, 'npm'), `#!/bin/sh\n[ "$1" = run ] || exit 0\n${copy}\n`)
    chmodSync(join(stub, 'npm'), 0o755)
    return { ...measured, seed: { ...measured, env: { ...measured.env, PATH: `${stub}:${process.env['PATH']}` } } }
  },
}

export const nx: Runner = {
  name: 'nx',
  lay(folder, { works, kind }, around) {
    useModules(folder, around)
    write(folder, 'package.json', { name: 'peer', private: true })
    write(folder, 'nx.json', { analytics: false, neverConnectToCloud: true, useDaemonProcess: false })
    const targets: Record<string, object> = { all: { executor: 'nx:noop', dependsOn: works.map(({ name }) => name) } }
    for (const { name, needs, command, files } of works) {
      const fresh = files
        ? { cache: true, inputs: [`{projectRoot}/${files.input}`], outputs: [`{projectRoot}/${files.output}`] }
        : {}
      const does = kind === 'noop' ? { executor: 'nx:noop' } : { executor: 'nx:run-commands', options: { command } }
      targets[name] = { ...does, dependsOn: needs, ...fresh }
    }
    write(folder, 'project.json', { name: 'peer', root: '.', targets })
    commit(folder)
    return start(folder, 'nx', ['run', 'peer:all', `--parallel=${around.concurrency}`])
  },
}

export const moon: Runner = {
  name: 'moon',
  lay(folder, { works, kind }, around) {
    useModules(folder, around)
    mkdirSync(join(folder, '.moon'))
    write(folder, '.moon/workspace.yml', { projects: { peer: '.' }, telemetry: false, vcs: { defaultBranch: 'main' } })
    const tasks: Record<string, object> = { all: { command: 'noop', deps: works.map(({ name }) => `~:${name}`) } }
    for (const { name, needs, command, files } of works) {
      const fresh = files ? { inputs: [files.input], outputs: [files.output] } : { inputs: [] }
      const options = { cache: files !== undefined, shell: false }
      tasks[name] = {
        command: kind === 'noop' ? 'noop' : command,
        deps: needs.map((need) => `~:${need}`),
        ...fresh,
        options,
      }
    }
    write(folder, 'moon.yml', { language: 'unknown', tasks })
    commit(folder)
    return start(folder, 'moon', ['run', 'peer:all', `--concurrency=${around.concurrency}`])
  },
}

function useModules(folder: string, { modules }: Surroundings): void {
  symlinkSync(modules, join(folder, 'node_modules'))
}

function start(folder: string, program: string, args: readonly string[], env: object = {}): Invocation {
  const command = join(folder, 'node_modules', '.bin', program)
  return { command, args, cwd: folder, env: { ...process.env, ...quietly, ...env } }
}

/** JSON is YAML as well. */
function write(folder: string, name: string, content: object): void {
  writeFileSync(join(folder, name), JSON.stringify(content))
}

/** A committed tree, as those that ask git for hashes are quickest with. */
function commit(folder: string): void {
  writeFileSync(join(folder, '.gitignore'), ['node_modules', 'out', '.turbo', '.nx', '.moon/cache', ''].join('\n'))
  const git = (...args: string[]): void => {
    execFileSync('git', ['-c', 'user.name=peer', '-c', 'user.email=peer@localhost', ...args], { cwd: folder })
  }
  git('init', '--quiet', '--initial-branch=main')
  git('add', '--all')
  git('commit', '--quiet', '--message=peer')
}
