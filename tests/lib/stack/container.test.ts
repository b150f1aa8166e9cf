/** A container replaced: the old one goes first, or serves until the new one does, and what is left when that fails. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ContainerGate } from '../../../lib/gate/gate.ts'
import { type ContainerSummary, labels, type ServiceHandle } from '../../../lib/runtime/runtime.ts'
import { loadStack } from '../../../lib/stack/compose.ts'

const test = suite('replaced containers')
let folder: string

test.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'stack-container-'))
})
test.after(() => rmSync(folder, { recursive: true }))

const image = { id: 'sha256:2', tag: 'x', labels: {} } as never

/** An engine of containers by id, and what it was asked to do. */
class Engine {
  readonly calls: string[] = []
  readonly containers = new Map<string, string>()

  constructor(...names: readonly string[]) {
    for (const name of names) this.containers.set(`id-of-${name}`, name)
  }

  readonly runtime = {
    containers: async () => [...this.containers].map(([id, name]) => summary(id, name)),
    inspect: async (id: string) => summary(id, this.containers.get(id) ?? ''),
    create: async ({ name }: { readonly name: string }) => {
      if ([...this.containers.values()].includes(name)) throw new Error(`${name} is taken`)
      this.#did('create', name)
      this.containers.set('new', name)
      return { id: 'new', warnings: [] }
    },
    start: async (id: string) => this.#did('start', id),
    stop: async (id: string) => this.#did('stop', id),
    rename: async (id: string, name: string) => {
      this.#did('rename', id, name)
      this.containers.set(id, name)
    },
    remove: async (id: string) => {
      this.#did('remove', id)
      this.containers.delete(id)
    },
  }

  #did(...words: readonly string[]): void {
    this.calls.push(words.join(' '))
  }
}

function summary(id: string, name: string): ContainerSummary {
  return {
    id,
    name,
    image: 'x',
    imageId: 'sha256:1',
    state: 'running',
    status: 'Up',
    labels: { [labels.project]: 'p', [labels.service]: 'web' },
    addresses: {},
    ports: [],
    createdAt: 0,
  }
}

const holds: ContainerGate<ServiceHandle> = { description: 'it serves', hold: async () => undefined }
const fails: ContainerGate<ServiceHandle> = {
  description: 'it serves',
  hold: async () => {
    throw new Error('it does not serve')
  },
}

async function replace(engine: Engine, order: string, gate: ContainerGate<ServiceHandle>): Promise<ServiceHandle> {
  writeFileSync(
    join(folder, 'compose.yaml'),
    `services:\n  web: { image: x, deploy: { update_config: { order: ${order} } } }\n`,
  )
  const stack = await loadStack(
    { files: ['compose.yaml'], gates: { web: gate } },
    { directory: folder, project: 'p', environment: {} },
  )
  const context = {
    runId: 'r',
    log: () => undefined,
    signal: new AbortController().signal,
    project: { name: 'p', directory: folder, stateDirectory: join(folder, '.devstack'), environment: {} },
    runtime: engine.runtime,
  }
  return stack.services.get('web')!.replace(context as never, image)
}

test('stop-first: the old one goes before the new one is made', async () => {
  const engine = new Engine('p-web-1')
  assert.is((await replace(engine, 'stop-first', holds)).id, 'new')
  assert.equal(engine.calls, ['stop id-of-p-web-1', 'remove id-of-p-web-1', 'create p-web-1', 'start new'])
})

test('start-first: the old one serves under another name until the gate of the new one holds', async () => {
  const engine = new Engine('p-web-1')
  let then: readonly string[] = []
  const watched = {
    ...holds,
    hold: async () => {
      then = [...engine.calls]
      return undefined
    },
  }
  await replace(engine, 'start-first', watched)
  assert.equal(then, ['rename id-of-p-web-1 p-web-1-leaving', 'create p-web-1', 'start new'])
  assert.equal(engine.calls.slice(then.length), ['stop id-of-p-web-1', 'remove id-of-p-web-1'])
  assert.equal([...engine.containers.values()], ['p-web-1'])
})

test('start-first: when the new one does not come up, the old one has its name again', async () => {
  const engine = new Engine('p-web-1')
  const thrown = await replace(engine, 'start-first', fails).catch((error: Error) => error.message)
  assert.is(thrown, 'it does not serve')
  assert.equal(engine.calls.slice(3), ['remove new', 'rename id-of-p-web-1 p-web-1'])
  assert.equal([...engine.containers], [['id-of-p-web-1', 'p-web-1']])
})

test('a replacement that was killed half-way: the one that was to go counts least', async () => {
  const both = new Engine('p-web-1-leaving', 'p-web-1')
  await replace(both, 'stop-first', holds)
  assert.ok(both.calls.includes('remove id-of-p-web-1'))
  const alone = new Engine('p-web-1-leaving')
  await replace(alone, 'start-first', holds)
  assert.equal([...alone.containers.values()], ['p-web-1'])
})

test.run()
