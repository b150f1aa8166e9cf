/** What is asked before clients write around another task, with commands that answer as told. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DevstackError } from '../../../lib/index.ts'
import { experiment, insideVariable } from '../../../tasks/resilience/experiment.ts'
import { checkTask } from '../../../tasks/resilience/zero-loss.ts'
import { refusal } from '../../support/refusal.ts'

const test = suite('zero loss around a task')

function around(answer: () => string, yes = false) {
  const asked: string[][] = []
  const exec = async (words: readonly string[]) => {
    asked.push([...words].slice(2))
    return { stdout: answer() }
  }
  const context = {
    exec,
    project: { directory: '/', config: '/other.ts' },
    flags: { yes, noBackup: false },
  } as unknown as Parameters<typeof checkTask>[1]
  return { asked, context }
}

test('is refused for a task that there is not, with the words of the command', async () => {
  const failed = new DevstackError({
    kind: 'task',
    code: 'TASK_COMMAND_FAILED',
    message: 'exit code 2',
    details: ['Error: There is no task "nosuch".', '  → "devstack list" lists the tasks.'],
  })
  const { asked, context } = around(() => {
    throw failed
  })
  const error = await refusal(() => checkTask(['nosuch', '--x'], context))
  assert.equal(asked, [['--config', '/other.ts', 'plan', '--json', 'nosuch', '--x']])
  assert.is(error.code, 'EXPERIMENT_TASK_REFUSED')
  assert.match(error.message, /devstack run nosuch --x can not be run: There is no task "nosuch"\./)
})

test('is refused for one that destroys, unless that was agreed to', async () => {
  const plan = () => JSON.stringify([{ node: 'down', destroys: ['volume a and the data in it'] }, { node: 'x' }])
  const error = await refusal(() => checkTask(['down'], around(plan).context))
  assert.is(error.code, 'CONFIRMATION_NEEDED')
  assert.equal(error.details, ['volume a and the data in it'])
  await checkTask(['down'], around(plan, true).context)
  await checkTask(['health'], around(() => '[{"node":"health"}]').context)
})

test('does not wait for itself inside another one', () => {
  const parts = { description: 'x', load: [], inject: async () => undefined, helper: false }
  const needsOf = (exclusive: boolean) => () => {
    const { needs } = experiment({ ...parts, exclusive }).definition
    assert.type(needs, 'function')
    return (needs as (params: object) => object)({})
  }
  process.env[insideVariable] = '1'
  try {
    assert.throws(needsOf(false), /can not run inside another one/)
    assert.equal(needsOf(true)(), {})
  } finally {
    delete process.env[insideVariable]
  }
  assert.equal(needsOf(false)(), {})
})

test.run()
