/** Experiments as tasks: what is checked before anything is broken, their titles, and several runs. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DevstackError, z } from '../../../lib/index.ts'
import { experiment, judge, titleOf } from '../../../tasks/resilience/experiment.ts'
import { checkParts } from '../../../tasks/resilience/experiment-check.ts'
import { postgresLoad } from '../../../tasks/resilience/postgres-load.ts'
import { sampleReport } from './sample-report.ts'

const test = suite('experiments as tasks')

const good = { description: 'Break a thing', load: [postgresLoad()], inject: async () => undefined }

test('refuse, when the config is loaded, what is no experiment', () => {
  const wrong: readonly (readonly [parts: object, message: RegExp])[] = [
    [{ load: 5 }, /^load of the experiment "Break a thing" must be a list of loads/],
    [{ load: [{ name: 'x' }] }, /^load of/],
    [{ inject: 5 }, /^inject of .* must be a function\.$/],
    [{ inject: undefined }, /^inject of/],
    [{ observe: 'soon' }, /^observe of/],
    [{ steadyState: ['well'] }, /^steadyState of .* a list of \{ services, gate \}/],
    [{ limits: { gap: 'soon' } }, /^limits\.gap of .* must be a duration such as "2s", got "soon"/],
    [{ description: undefined }, /^description of an experiment must be a text/],
    [{ params: { repeat: z.string() } }, /^The experiment .* can not have a param "repeat"/],
    [{ load: [postgresLoad(), postgresLoad()] }, /^The experiment .* has two loads "postgresql"/],
  ]
  for (const [parts, message] of wrong) {
    const error = thrownBy(() => experiment({ ...good, ...parts } as never))
    assert.is(error.code, 'CONFIG_INVALID', JSON.stringify(parts))
    assert.match(error.message, message)
  }
  experiment({ ...good, steadyState: [], limits: { gap: '2s' }, helper: false, heal: undefined } as never)
})

test('refuse what their functions give, before the stack is looked at', () => {
  assert.match(thrownBy(() => checkParts('chop', 5 as never, {})).message, /^load of chop must give a list of loads/)
  assert.match(thrownBy(() => checkParts('chop', [], { gap: 'x' as never })).message, /^limits\.gap of chop/)
  checkParts('chop', [postgresLoad()], { promise: '60s' })
})

test('have a title that is the command, with what is not as by default', () => {
  const params = z.object({
    fault: z.enum(['kill', 'pause']).default('kill'),
    failsafe: z.boolean().default(true),
    verify: z.boolean().default(false),
    maxGap: z.number().optional(),
    with: z.array(z.string()).optional(),
    service: z.string(),
    task: z.array(z.string()).optional().meta({ positional: 'rest' }),
    repeat: z.number().default(1),
  })
  const usual = { fault: 'kill', failsafe: true, verify: false, service: 'a', repeat: 3 }
  assert.is(titleOf('test', usual, params), 'test --fault kill --service a')
  assert.is(
    titleOf(
      'test',
      { ...usual, failsafe: false, verify: true, maxGap: 3, with: ['a=1', 'b=2'], task: ['up', 'x'] },
      params,
    ),
    'test --fault kill --no-failsafe --verify --max-gap 3 --with a=1 --with b=2 --service a up x',
  )
})

test('whose stack does not survive a run fail with what was found until then', async () => {
  const refusal = new DevstackError({ kind: 'gate', code: 'EXPERIMENT_REFUSED', message: 'no', details: ['no leader'] })
  const report = sampleReport({ verdict: 'failed', reasons: ['3 writes are lost.'] })
  const error: DevstackError = await judge([report], ['page'], { refusal, log: () => undefined }).then(
    () => assert.unreachable('it did not fail') as never,
    (thrown) => thrown,
  )
  assert.is(error.code, 'EXPERIMENT_FAILED')
  assert.equal(error.details, [
    '3 writes are lost.',
    'Run 2 was refused: the stack was not in its steady state any more.',
    'no leader',
  ])
})

test.run()

function thrownBy(act: () => unknown): DevstackError {
  try {
    act()
  } catch (thrown) {
    return thrown as DevstackError
  }
  assert.unreachable('nothing was thrown')
  throw new Error('unreachable')
}
