/**
 * Builds what is published: bundles in dist/ (esbuild) and, with --types, declarations (tsc). With --sources dist/ only
 * points at the sources. docs/adr/0021-few-large-files.md says why it is done so.
 */
import { spawnSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { type BuildOptions, build, type Plugin } from 'esbuild'

const cli = 'lib/cli/main.ts'
/** What configs import: ES modules over the bundles. */
const faces = { index: 'lib/index.ts', packs: 'tasks/index.ts' }

/** Left in node_modules: loaded only when used. */
const external = [
  'zx',
  'zx/core',
  'dockerode',
  'listr2',
  '@inquirer/confirm',
  '@inquirer/select',
  'tar-fs',
  'ignore',
  'pg',
  'node-pg-migrate',
  'tar-stream',
]

/** A file each, so that nobody reads what he does not use. */
const packages = ['zod', 'yaml', 'cosmiconfig', 'docker-modem', 'tinyglobby']

/** Node has these in memory when it starts; the others together take as long as Node itself, so they wait for their use. */
const early = ['node:events', 'node:fs', 'node:module', 'node:path', 'node:url', 'node:util']
/** Packages ask for these without a prefix; other modules they may call or extend as they are, so those can not wait. */
const late = ['crypto', 'fs/promises']

const banner = `
var require = ((load) => (name) =>
  (name.startsWith('node:') ? ${JSON.stringify(early)}.includes(name) : !${JSON.stringify(late)}.includes(name))
    ? load(name)
    : new Proxy({}, { get: (_, key) => (key === '__esModule' ? undefined : load(name)[key]) }))(require)
const __url = require('node:url').pathToFileURL(__filename).href
// bin/devstack.cjs runs this as a script, and a script that Node has not loaded itself may not import
const __import = typeof __importer === 'function' ? __importer : (name) => import(name)`

/** Loading zod takes as long as starting Node, so it waits until the first schema is made. */
const lazyZod = (place: string): string => `
let loaded
const load = () => {
  if (!loaded) {
    loaded = ${place}.z
    // compiling a schema pays for itself after many uses, and most are used once a process
    loaded.config({ jitless: true })
  }
  return loaded
}
export const z = new Proxy({}, {
  get: (_, key) => load()[key],
  has: (_, key) => key in load(),
  ownKeys: () => Reflect.ownKeys(load()),
  getOwnPropertyDescriptor: (_, key) => ({ ...Reflect.getOwnPropertyDescriptor(load(), key), configurable: true }),
})`

const settings: BuildOptions = {
  outdir: 'dist',
  bundle: true,
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  platform: 'node',
  target: 'node22',
  external,
  // docker-modem without ssh2, a third of its start-up: ssh:// is refused before it is reached
  alias: { ssh2: './lib/runtime/docker/no-ssh.ts' },
  define: { 'import.meta.url': '__url' },
  banner: { js: banner },
  logLevel: 'warning',
  legalComments: 'none',
  // bin/devstack.cjs reads them as such
  charset: 'ascii',
  write: false,
}

/** A devstack that runs meanwhile may still load its files. */
const keptForMs = process.argv.includes('--types') ? 0 : 3_600_000

interface Output {
  readonly path: string
  readonly text: string
}

if (process.argv.includes('--sources')) {
  // for coverage: a line of a bundle can not be traced back to its source well enough
  write([
    { path: join('dist', 'core.cjs'), text: `module.exports = require('../${cli}')\n` },
    ...Object.entries(faces).map(([name, path]) => face(name, `export * from '../${path}'`)),
  ])
} else write(await bundle())

/**
 * `core.cjs` has what every start needs: all that the command line and the public API import statically. What they import
 * later is in `more`, the packs in `packs`, and each package in a file of its own; they find core's modules in core.
 */
async function bundle(): Promise<readonly Output[]> {
  const core = await survey([cli, faces.index])
  const outputs: Output[] = []
  /** Expressions that load what is in another file. */
  const places = new Map<string, string>()
  const wanted = new Set<string>([faces.index])
  const elsewhere = (name: string): string | undefined => {
    if (!core.modules.has(name)) return places.get(name)
    wanted.add(name)
    return `require('./core.cjs')['${name}']`
  }
  /** The hash in its name keeps a devstack that runs meanwhile from loading what belongs to another core. */
  const add = async (name: string, options: BuildOptions): Promise<string> => {
    const output = await bundled({ ...options, entryNames: `${name}-[hash]` })
    outputs.push(output)
    return `require('./${basename(output.path)}')`
  }
  for (const name of packages) places.set(name, await add(name, { entryPoints: [name] }))
  const packs = await add('packs', { entryPoints: [faces.packs], plugins: [placing(elsewhere)] })
  const later = [...core.later].filter((name) => name !== faces.packs)
  const more = await add('more', {
    stdin: {
      contents: `module.exports = { ${later.map((name) => `'${name}': () => require('./${name}')`).join(', ')} }`,
      resolveDir: '.',
    },
    plugins: [placing(elsewhere)],
  })
  places.set(faces.packs, packs)
  for (const name of later) places.set(name, `${more}['${name}']()`)
  outputs.push(
    await bundled({
      stdin: {
        contents: [
          `export { main } from './${cli}'`,
          ...[...wanted].map((name) => `export * as '${name}' from './${name}'`),
        ].join('\n'),
        resolveDir: '.',
      },
      entryNames: 'core',
      plugins: [placing((name) => places.get(name))],
    }),
  )
  for (const [name, path] of Object.entries(faces)) {
    const names = (await survey([path])).exports
    const place = path === faces.packs ? packs : elsewhere(path)!
    outputs.push(
      face(
        name,
        `import { createRequire } from 'node:module'
const require = createRequire(import.meta.url)
export const { ${names.join(', ')} } = ${place}`,
      ),
    )
  }
  return outputs
}

function face(name: string, text: string): Output {
  return { path: join('dist', `${name}.js`), text: `${text}\n` }
}

async function bundled(options: BuildOptions): Promise<Output> {
  const { outputFiles } = await build({ ...settings, ...options })
  const { path, text } = outputFiles![0]!
  const code = text.slice(settings.banner!['js']!.length).replace(/(?<=[\s(=[])import\(/g, '__import(')
  const whole = settings.banner!['js'] + code
  // the first line names this very text to the cache of bin/devstack.cjs
  return { path, text: `// ${hash('sha256', whole).slice(0, 16)}\n${whole}` }
}

interface Survey {
  /** What is imported statically, by path from here. */
  readonly modules: ReadonlySet<string>
  /** What is imported by `import()`. */
  readonly later: ReadonlySet<string>
  /** Names of the only entry's exports. */
  readonly exports: readonly string[]
}

async function survey(entryPoints: readonly string[]): Promise<Survey> {
  const later = new Set<string>()
  const { metafile } = await build({
    entryPoints: [...entryPoints],
    outdir: 'dist',
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    metafile: true,
    write: false,
    plugins: [
      {
        name: 'survey',
        setup: ({ onResolve }) =>
          onResolve({ filter: /^\.{1,2}\// }, ({ path, resolveDir, kind }) => {
            if (kind !== 'dynamic-import') return undefined
            later.add(relative('.', resolve(resolveDir, path)))
            return { path, external: true }
          }),
      },
    ],
  })
  const modules = new Set(Object.keys(metafile.inputs))
  return {
    modules,
    later: later.difference(modules),
    exports: Object.values(metafile.outputs)[0]!.exports,
  }
}

/** Lets `placeOf` say with which expression a module is loaded that is not in this file; `undefined`: it is. */
function placing(placeOf: (name: string) => string | undefined): Plugin {
  return {
    name: 'placing',
    setup: ({ onResolve, onLoad }) => {
      onResolve({ filter: /./, namespace: 'file' }, ({ path, resolveDir, kind }) => {
        if (kind === 'entry-point') return undefined
        const name = path.startsWith('.') ? relative('.', resolve(resolveDir, path)) : path
        const place = placeOf(name)
        return place === undefined ? undefined : { path: name, namespace: 'placed', pluginData: place }
      })
      onResolve({ filter: /./, namespace: 'placed' }, ({ path }) => ({ path, external: true }))
      onLoad({ filter: /./, namespace: 'placed' }, ({ path, pluginData: place }) => ({
        contents: path === 'zod' ? lazyZod(place) : `module.exports = ${place}`,
      }))
    },
  }
}

/** Puts every file in place whole, in this order, and then removes what is out of date. */
function write(files: readonly Output[]): void {
  for (const { path, text } of files) {
    mkdirSync(dirname(path), { recursive: true })
    if (textOf(path) === text) continue
    const draft = `${path}.${process.pid}`
    writeFileSync(draft, text)
    renameSync(draft, path)
  }
  const current = new Set(files.map(({ path }) => path.replace(/^.*[\\/]/, '')))
  for (const name of names('dist')) {
    const file = join('dist', name)
    const stat = statSync(file, { throwIfNoEntry: false })
    if (!stat?.isFile() || current.has(name) || Date.now() - stat.mtimeMs < keptForMs) continue
    rmSync(file, { force: true })
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function names(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

if (process.argv.includes('--types')) {
  rmSync(join('dist', 'types'), { recursive: true, force: true })
  const { status } = spawnSync(
    process.execPath,
    ['node_modules/typescript/bin/tsc', '--project', 'tsconfig.build.json'],
    { stdio: 'inherit' },
  )
  if (status !== 0) process.exitCode = 1
}
