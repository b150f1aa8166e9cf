// needs: stack
/** Experiments on a real stack: zero loss (TC-010, TC-013), always healed (TC-028), refusal, inspection (TC-027). */
import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { engineCall, scenarioEngine } from '../support/engine.ts'
import { patience, rehearsalPlace } from '../support/rehearsals.ts'

const test = suite('resilience')
const engine = await scenarioEngine()
const here = rehearsalPlace('resilience')
const { place, healthy, reports, unhealed } = here
test.after(() => here.remove())

const stateOf = async (container: string): Promise<string> => {
  const { text } = await engineCall(`/containers/${container}/json`)
  return (JSON.parse(text) as { State: { Status: string } }).State.Status
}

if (engine.state === 'missing') {
  test.skip(`not run: ${engine.reason}`, () => {})
} else {
  test('TC-010, TC-013: PostgreSQL is killed under load, and no acknowledged write is lost', async () => {
    await place.succeed(['run', 'up'], patience)
    const said = await place.succeed(['run', 'test-failover', '--fault', 'postgres-kill'], patience)
    assert.match(said, /0 lost/)
    const [report] = reports()
    assert.ok(report)
    assert.is(report.verdict, 'passed')
    assert.ok(report.healed)
    const [load] = report.loads
    assert.ok(load && load.ledger.acknowledged > 20)
    assert.is(load.ledger.lost, 0)
    assert.equal(
      load.ledger.members.map(({ member, missing, error }) => [member, missing, error]).sort(),
      ['postgres1', 'postgres2', 'postgres3'].map((member) => [member, 0, undefined]),
      'every member was compared',
    )
    assert.type(load.firstAfter, 'number', 'writes went on')
    assert.ok(load.writable.samples > 0 && load.writable.maximum <= 1)
    assert.ok(Object.keys(load.errors).length > 0, 'the clients noticed')
    assert.equal(unhealed(), [])
    const page = readFileSync(here.fileOf(report, 'report.html'), 'utf8')
    assert.match(page, /<svg/)
    assert.match(await place.succeed(['run', 'experiments']), /passed .*test-failover --fault postgres-kill/)
  })

  test('TC-027: inspect tells leaders, terms, timelines, offsets and views', async () => {
    await healthy()
    const seen = JSON.parse(await place.succeed(['run', 'inspect', '--json', '--patience', '20000'], patience))
    assert.is(seen.etcd.members.length, 3)
    assert.match(seen.etcd.leader, /^etcd[123]$/)
    assert.ok(seen.etcd.members.every((member: { term: number }) => member.term > 0))
    const roles = seen.postgresql.members.map((member: { role: string }) => member.role).sort()
    assert.equal(roles, ['primary', 'replica', 'synchronous standby'])
    assert.ok(seen.postgresql.slots.length >= 2)
    assert.match(seen.redis.master, /^redis[123]$/)
    assert.is(seen.sentinel.members.length, 3)
    assert.match(await place.succeed(['run', 'inspect', '--patience', '20000']), /etcd: etcd\d leads/)
  })

  test('an experiment refuses to start on an unhealthy stack, and injects nothing', async () => {
    await engineCall(`/containers/${place.project}-redis3-1/pause`, { method: 'POST' })
    try {
      const before = reports().length
      const ended = await place.run(['run', 'test-failover', '--fault', 'kill'], patience)
      assert.is(ended.exitCode, 1, ended.stderr)
      assert.match(ended.stdout + ended.stderr, /test-failover does not start: the stack is not in its steady state/)
      assert.is(reports().length, before)
      assert.equal(unhealed(), [])
    } finally {
      await engineCall(`/containers/${place.project}-redis3-1/unpause`, { method: 'POST' })
    }
    await healthy()
  })

  test('TC-028: devstack is killed in the middle, and the next command heals and says so', async () => {
    const running = place.start(['run', 'test-failover', '--fault', 'pause'], patience)
    await running.seen(/: postgres\d paused/)
    running.signal('SIGKILL')
    await running.ended
    const [record] = unhealed()
    assert.ok(record, 'the fault is on record')
    const id = String(record.details['id'])
    assert.is(await stateOf(id), 'paused')

    const { stdout, stderr, exitCode } = await place.run(['list', '--json'], patience)
    assert.is(exitCode, 0, stderr)
    assert.ok(JSON.parse(stdout).length > 0)
    assert.match(stderr, /test-failover --fault pause ended before it could heal: postgres\d paused/)
    assert.match(stderr, /Healed: postgres\d paused/)
    assert.is(await stateOf(id), 'running')
    assert.equal(unhealed(), [])
    await healthy()
  })

  test('an experiment that is interrupted heals before it ends', async () => {
    const running = place.start(['run', 'test-failover', '--fault', 'kill'], patience)
    await running.seen(/: postgres\d killed/)
    running.signal('SIGINT')
    const ended = await running.ended
    assert.is(ended.exitCode, 130, ended.stdout + ended.stderr)
    assert.match(ended.stdout + ended.stderr, /healed: postgres\d killed/)
    assert.equal(unhealed(), [])
    await healthy()
  })
}

test.run()
