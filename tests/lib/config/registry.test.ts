import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { definePack, group, matrix, type TaskTree, task } from '../../../lib/config/define.ts'
import { Registry } from '../../../lib/config/registry.ts'
import { buildGraph } from '../../../lib/engine/graph.ts'
import type { DevstackError } from '../../../lib/errors.ts'

const registry = suite('registry')
const own = { directory: '/p', origin: 'devstack.config.ts', override: true }
const pack = { directory: '/p', origin: 'pack "ci"' }
const make = (more: object = {}) => task({ run: () => 1, ...more })

function refusal(work: () => unknown): DevstackError {
  try {
    work()
  } catch (thrown) {
    return thrown as DevstackError
  }
  throw new Error('was accepted')
}

registry('nested records are namespaces, matrix gives every combination', () => {
  const names = new Registry()
  names.add(
    { db: { migrate: make(), deep: { er: make() } }, test: matrix({ node: ['22', '24'], os: ['a'] }, () => make()) },
    own,
  )
  assert.equal(names.all(), ['db:migrate', 'db:deep:er', 'test:node=22,os=a', 'test:node=24,os=a'])
})

registry('aliases find their task, private tasks count as unknown', () => {
  const names = new Registry()
  names.add({ build: make({ aliases: ['b'] }), hidden: make({ private: true }) }, own)
  assert.is(names.require('b').name, 'build')
  assert.is(refusal(() => names.require('hidden')).code, 'USAGE_UNKNOWN_TASK')
  assert.match(refusal(() => names.require('biuld')).message, 'Did you mean "build"?')
})

registry('a name or alias may be used once', () => {
  const twice = new Registry()
  twice.add({ a: make({ aliases: ['x'] }) }, own)
  const trees: readonly TaskTree[] = [{ a: make() }, { b: make({ aliases: ['a'] }) }, { c: make({ aliases: ['x'] }) }]
  for (const tree of trees) assert.is(refusal(() => twice.add(tree, own)).code, 'CONFIG_DUPLICATE_TASK')
  const later = new Registry()
  later.add({ a: make({ aliases: ['b'] }) }, own)
  assert.is(refusal(() => later.add({ b: make() }, own)).code, 'CONFIG_DUPLICATE_TASK')
  const packs = new Registry()
  packs.add({ a: make() }, pack)
  assert.match(
    refusal(() => packs.add({ a: make() }, { ...pack, origin: 'pack "b"' })).message,
    'pack "ci" and in pack "b"',
  )
})

registry("a config's task takes the alias of a pack's", () => {
  const names = new Registry()
  names.add({ lint: make({ aliases: ['l', 'check'] }) }, pack)
  const mine = make()
  names.add({ check: mine }, own)
  assert.is(names.find('check')?.task, mine)
  assert.equal(names.aliasesOf(names.find('lint')!), ['l'])
})

registry("a config's task stands in for a pack's, wherever that is needed", async () => {
  const names = new Registry()
  const lint = make({ aliases: ['l'] })
  const check = group({ lint })
  names.add({ lint, check }, pack)
  const mine = make({ description: 'mine' })
  names.add({ lint: mine }, own)
  assert.is(names.require('lint').task, mine)
  assert.is(names.find('l'), undefined)
  const graph = await buildGraph([{ task: check }], names)
  assert.is(graph.nodes.get('lint')!.definition.description, 'mine')
})

registry('names that no command line could say, and what is no task, are refused', () => {
  const names = new Registry()
  for (const name of ['', '-x', 'a b', 'a:', ':a', 'ü'])
    assert.is(refusal(() => names.add({ [name]: make() }, own)).code, 'CONFIG_BAD_TASK_NAME', name)
  for (const value of [undefined, 5, 'x', null, definePack({ name: 'p', tasks: {} })])
    assert.is(refusal(() => names.add({ a: value as never }, own)).code, 'CONFIG_NOT_A_TASK')
})

registry('__proto__ and constructor are names like others', () => {
  const names = new Registry()
  names.add({ ['__proto__']: make(), constructor: make() }, own)
  assert.is(names.find('toString'), undefined)
  assert.equal([...names.all()].sort(), ['__proto__', 'constructor'])
})

registry.run()
