// deadline: 7200s
/**
 * devstack is killed (SIGKILL) in the middle of every shipped experiment and of every kind of fault; then any other command,
 * picked at random, notices, says so and heals. By hand: `node tests/long/resilience-kill.test.ts`. `ONLY='redis|oom'`, a
 * regular expression over commands, chooses some, `SEED=7` repeats the choice of commands.
 */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { randomOf } from '../../tasks/resilience/schedule.ts'
import { scenarioEngine } from '../support/engine.ts'
import { patience, rehearsalPlace, shipped } from '../support/rehearsals.ts'

const test = suite('resilience, killed')
const engine = await scenarioEngine()
const only = new RegExp(process.env['ONLY'] ?? '')
const seed = Number(process.env['SEED'] ?? Date.now() % 100_000)
const random = randomOf(seed)

const faults: readonly (readonly string[])[] = (
  [
    ['kill', 'postgres2'],
    ['stop', 'etcd3'],
    ['pause', 'redis2'],
    ['crash', 'sentinel2'],
    ['crash-loop', 'redis2'],
    ['oom', 'sentinel1'],
    ['postgres-kill', 'postgres3'],
    ['disconnect', 'etcd2'],
    ['partition', 'postgres3'],
    ['loss', 'etcd1'],
    ['bandwidth', 'redis3'],
    ['read-only', 'redis1'],
  ] as const
).map(([kind, service]) => ['test-fault', '--fault', kind, '--service', service, '--for', '60'])

/** Commands that need no run, and runs that only look. */
const others: readonly (readonly string[])[] = [
  ['list'],
  ['list', '--json'],
  ['plan', 'health'],
  ['plan', 'up', '--json'],
  ['why', 'up'],
  ['graph', 'up'],
  ['runs', '--json'],
  ['show'],
  ['locks', '--json'],
  ['cache', 'stats', '--json'],
  ['help', 'up'],
  ['doctor', '--json'],
  ['run', 'status'],
  ['run', 'chaos', '--dry-run', '--seed', '1'],
]

/** Every experiment says what it injected with the moment at which it did. */
const injected = /\d\.\d s: \S/

if (engine.state === 'missing') {
  test.skip(`not run: ${engine.reason}`, () => {})
} else {
  const here = rehearsalPlace('killed')
  test.before(async () => void (await here.place.succeed(['run', 'up'], patience)))
  test.after(() => here.remove())
  const all = [...shipped, ...faults].map((words) => words.join(' '))
  for (const command of all.filter((one) => only.test(one))) {
    test(`TC-028: killed during ${command}, healed by whatever comes next`, async () => {
      await here.healthy()
      const running = here.place.start(['run', ...command.split(' ')], patience)
      await running.seen(injected)
      running.signal('SIGKILL')
      await running.ended
      const left = here.unhealed()
      const other = others[Math.floor(random() * others.length)]!
      const { stdout, stderr } = await here.place.run(other, patience)
      console.log(
        `${command}: left ${left.map(({ text }) => text).join(', ') || 'nothing'}; healed by ${other.join(' ')}`,
      )
      for (const { text, experiment } of left) {
        assert.ok(stderr.includes(`The experiment ${experiment} ended before it could heal: ${text}`), stderr)
        assert.ok(stderr.includes(`Healed: ${text}.`), stderr)
      }
      if (other.includes('--json')) JSON.parse(stdout)
      assert.not.match(stdout, /Healed|before it could heal/, 'what a command prints is not mixed with what it mends')
      assert.equal(here.unhealed(), [])
      assert.equal(await here.helpers(), [], 'no helper is left')
      await here.healthy()
    })
  }
}

test.run()
