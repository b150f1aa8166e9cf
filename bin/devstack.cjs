#!/bin/sh
':' //; exec node -- "$0" "$@"
// The line above is a string to Node and a command to sh: without `--`, Node takes an `--env-file` of ours for its own.
// Plain JavaScript that every Node reads: finds a Node that is new enough, then starts the command line.
const { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } = require('node:fs')
const module_ = require('node:module')
const { basename, dirname, join } = require('node:path')

const root = dirname(__dirname)
const dist = join(root, 'dist')
const [major, minor] = process.versions.node.split('.').map(Number)

if (major > 22 || (major === 22 && minor >= 18)) void start()
else void import('./newer-node.js').then(({ startWithNewerNode }) => startWithNewerNode(root))

async function start() {
  module_.enableCompileCache(join(root, 'node_modules', '.cache', 'devstack'))
  const core = join(dist, 'core.cjs')
  if (!existsSync(core)) {
    process.stderr.write(`devstack is not built: ${core} is missing.\n  → Run: npm run build\n`)
    process.exitCode = 1
    return
  }
  const bundles = cachedBundles(module_.getCompileCacheDir())
  await bundles.load(core).main()
  if (!process.exitCode) bundles.save()
}

/**
 * Loads files of dist/ with the code of every function that the last such command used. Node's own cache has only what is
 * compiled while a file loads: half of a start was compiling the rest. Kept beside Node's cache, by its name bound to this
 * build; `folder` is undefined where Node keeps none. docs/adr/0024-code-of-used-functions.md
 */
function cachedBundles(folder) {
  const { Script } = require('node:vm')
  const command = /^[a-z_]+$/.exec(process.argv[2] ?? '')?.[0] ?? 'other'
  const unsaved = []

  function load(path) {
    const text = readFileSync(path, 'latin1')
    const build = /^\/\/ ([0-9a-f]{16})\n/.exec(text)?.[1]
    const plain = module_.createRequire(path)
    // for coverage it is no bundle, but a line that loads the sources
    if (!build || !folder) return plain(path)
    const name = `${basename(path).split(/[-.]/)[0]}-${command}-`
    const file = join(folder, name + build)
    const cachedData = codeIn(file)
    const script = new Script(`(function(exports,require,module,__filename,__dirname,__importer){${text}\n})`, {
      filename: path,
      cachedData,
    })
    if (!cachedData || script.cachedDataRejected) unsaved.push({ script, name, file })
    const loaded = { id: path, path: dist, filename: path, exports: {}, loaded: false, children: [], paths: [] }
    require.cache[path] = loaded
    script.runInThisContext()(
      loaded.exports,
      Object.assign(required, plain),
      loaded,
      path,
      dist,
      (name) => import(name),
    )
    loaded.loaded = true
    return loaded.exports

    function required(name) {
      const other = name.startsWith('./') ? join(dist, name) : undefined
      return other && !require.cache[other] ? load(other) : plain(name)
    }
  }

  return { load, save: () => unsaved.forEach(save) }

  /** What can not be written is compiled again next time. */
  function save({ script, name, file }) {
    try {
      mkdirSync(folder, { recursive: true })
      for (const old of readdirSync(folder)) if (old.startsWith(name)) rmSync(join(folder, old), { force: true })
      writeFileSync(`${file}.${process.pid}`, script.createCachedData(), { flush: true })
      renameSync(`${file}.${process.pid}`, file)
    } catch {}
  }
}

function codeIn(file) {
  try {
    return readFileSync(file)
  } catch {
    return undefined
  }
}
