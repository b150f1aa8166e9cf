/** Whose a project is: another checkout of the same name is refused, and one that was moved goes on. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { labels } from '../../../lib/runtime/runtime.ts'
import { loadStack } from '../../../lib/stack/compose.ts'
import { claimProject } from '../../../lib/stack/owner.ts'
import { refusal } from '../../support/refusal.ts'

const test = suite('owner of a project')
let folder: string

test.before(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'owner-')))
  for (const name of ['here', 'other', 'empty', 'json']) mkdirSync(join(folder, name))
  writeFileSync(join(folder, 'other', 'devstack.config.ts'), '')
  writeFileSync(join(folder, 'here', 'devstack.config.ts'), '')
  writeFileSync(join(folder, 'json', 'package.json'), '{ "devstack": { "tasks": {} } }')
  symlinkSync(join(folder, 'here'), join(folder, 'link'))
})
test.after(() => rmSync(folder, { recursive: true }))

let runs = 0

/** A checkout in `here`, on an engine where containers and volumes of the project were made in these folders. */
function contextOf(containers: readonly string[], volumes: readonly string[] = []): never {
  const made = (name: string) => ({
    labels: { [labels.project]: 'p', [labels.service]: 'web', [labels.directory]: join(folder, name) },
  })
  runs += 1
  return {
    runId: `owner-${runs}`,
    needs: {},
    signal: new AbortController().signal,
    log: () => {},
    project: { name: 'p', directory: join(folder, 'here') },
    runtime: {
      containers: async () => containers.map(made),
      volumes: async () => volumes.map(made),
      networks: async () => [],
    },
  } as never
}

test('what this folder made, also under another name of it, is its own', async () => {
  assert.is(await claimProject(contextOf([])), undefined)
  assert.is(await claimProject(contextOf(['here'], ['other'])), undefined)
  assert.is(await claimProject(contextOf(['link'])), undefined)
})

test('what a checkout in another folder made is refused, naming the folder and the remedy', async () => {
  for (const [containers, volumes] of [[['other'], []] as const, [[], ['other']] as const, [['json'], []] as const]) {
    const error = await refusal(() => claimProject(contextOf(containers, volumes)))
    assert.is(error.code, 'PROJECT_ELSEWHERE')
    assert.ok(error.message.includes(join(folder, [...containers, ...volumes][0]!)), error.message)
    assert.match(error.hint ?? '', /another `name`/)
  }
})

test('a folder that was moved goes on', async () => {
  assert.is(await claimProject(contextOf(['moved'])), join(folder, 'moved'))
  assert.is(await claimProject(contextOf(['empty'])), join(folder, 'empty'))
})

test('the first step of a stack refuses, whether it looks or is forced to act', async () => {
  writeFileSync(join(folder, 'compose.yaml'), 'services:\n  web: { image: x }\n')
  const stack = await loadStack({ files: ['compose.yaml'] }, { directory: folder, project: 'p', environment: {} })
  const needs = stack.services.get('web')!.create.definition.needs as Record<string, { definition: never }>
  const ground = needs['ground']!.definition as {
    observe(context: never): Promise<unknown>
    run(context: never): Promise<unknown>
  }
  assert.is((await refusal(() => ground.observe(contextOf(['other'])))).code, 'PROJECT_ELSEWHERE')
  assert.is((await refusal(() => ground.run(contextOf(['other'])))).code, 'PROJECT_ELSEWHERE')
})

test.run()
