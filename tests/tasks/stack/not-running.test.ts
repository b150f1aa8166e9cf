/** What a client of a product is told when none of its services runs. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { labels } from '../../../lib/index.ts'
import { healthTask } from '../../../tasks/stack/health.ts'
import { psqlTask } from '../../../tasks/stack/psql.ts'
import { redisCliTask } from '../../../tasks/stack/redis-cli.ts'
import { refusal } from '../../support/refusal.ts'

const test = suite('what does not run')
const psql = psqlTask(async () => ({}))
const redisCli = redisCliTask(async () => '')

/** A context of a stack whose services are in these states. */
const contextOf = (states: Readonly<Record<string, string>>, params: object = {}): never =>
  ({
    params,
    signal: new AbortController().signal,
    terminal: { write: () => {}, columns: 80, colors: false },
    project: { name: 'p', stateDirectory: '/nowhere' },
    runtime: {
      containers: async () =>
        Object.entries(states).map(([service, state]) => ({
          id: service,
          name: service,
          state,
          status: state,
          labels: { [labels.project]: 'p', [labels.service]: service },
          addresses: {},
          ports: [],
        })),
    },
  }) as never

const told = async (run: () => unknown): Promise<string> => {
  const { code, message, hint } = await refusal(run)
  return `${code} ${message} ${hint}`
}

test('a paused stack is to be resumed, not started', async () => {
  const paused = contextOf({ postgres1: 'paused', redis1: 'paused' })
  for (const task of [psql, redisCli]) {
    assert.is(
      await told(() => task.definition.run!(paused)),
      'STACK_NOT_UP The stack is paused. Go on with: devstack run resume',
    )
  }
  const health = healthTask({ gates: async () => ({}), expected: async () => [] })
  const error = await refusal(() => health.definition.run!(contextOf({ redis1: 'paused' }, { services: ['redis1'] })))
  assert.match(error.hint ?? '', 'devstack run resume')
})

test('a product that is not part of what runs is named', async () => {
  assert.is(
    await told(() => psql.definition.run!(contextOf({ redis1: 'running', postgres1: 'exited' }))),
    'STACK_NOT_UP PostgreSQL is not part of what runs: redis1. Start it with: devstack run up',
  )
  assert.match(await told(() => redisCli.definition.run!(contextOf({ postgres1: 'running' }))), 'Redis is not part')
})

test('without containers, or with stopped ones, it is to be started', async () => {
  assert.match(await told(() => psql.definition.run!(contextOf({}))), 'it has no containers')
  assert.match(
    await told(() => psql.definition.run!(contextOf({ postgres1: 'exited' }))),
    'none of its containers runs',
  )
})

test.run()
