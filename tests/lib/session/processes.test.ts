import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { endStrays, marked, markVariable, ProcessSet, type Urgency } from '../../../lib/session/processes.ts'

const processes = suite('processes')
const linux = process.platform === 'linux'
const quick = { interruptMs: 300, terminateMs: 300 }
const calm = (): Urgency => ({ level: 0 })

/** Prints a line when it is ready; `code` decides what it does about signals. */
async function child(mark: string, code: string) {
  const started = spawn(process.execPath, ['-e', `${code}; setInterval(() => {}, 1000); console.log('up')`], {
    detached: true,
    env: { ...process.env, [markVariable]: mark },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  await once(started.stdout, 'data')
  return started
}
const deaf = "for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => {})"

processes('who listens gets SIGINT, who does not is killed', async () => {
  for (const [code, signal] of [
    ['', 'SIGINT'],
    ["process.on('SIGINT', () => {})", 'SIGTERM'],
    [deaf, 'SIGKILL'],
  ] as const) {
    const set = new ProcessSet(`test:${process.pid}:${signal}`)
    const started = await child(set.mark, code)
    const ended = once(started, 'exit')
    set.add(started)
    await Promise.all([set.stop(quick, calm()), set.stop(quick, calm())])
    assert.equal(await ended, [null, signal])
  }
})

processes('a hurry leaves out steps, also one that comes later', async () => {
  const slow = { interruptMs: 600_000, terminateMs: 600_000 }
  for (const level of [1, 2] as const) {
    const set = new ProcessSet(`test:${process.pid}:hurry${level}`)
    const started = await child(set.mark, level === 1 ? "process.on('SIGINT', () => {})" : deaf)
    const ended = once(started, 'exit')
    set.add(started)
    const urgency = calm()
    const stopping = set.stop(slow, urgency)
    urgency.level = level
    await stopping
    assert.equal(await ended, [null, level === 1 ? 'SIGTERM' : 'SIGKILL'])
  }
})

processes('a group ends whole after its leader, also what no environment marks', async () => {
  if (!linux) return void console.log('not run: env -i leaves nothing to find elsewhere')
  const script = `env -i sleep 300 > /dev/null 2>&1 & env -i sh -c 'trap "" INT TERM; sleep 300' > /dev/null 2>&1 & echo $!; exec sleep 300`
  for (const leader of ['alive', 'gone'] as const) {
    const set = new ProcessSet(`test:${process.pid}:group`)
    const started = spawn('/bin/sh', ['-c', script], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] })
    set.add(started)
    await once(started.stdout, 'data')
    const ended = once(started, 'exit')
    if (leader === 'gone') {
      started.kill('SIGKILL')
      await ended
    }
    await set.stop(quick, calm())
    assert.equal(membersOf(started.pid!), [])
  }
})

processes('a group of the same number that somebody else has made is left alone', async () => {
  if (!linux) return void console.log('not run: there is no /proc')
  const set = new ProcessSet(`test:${process.pid}:reused`)
  const other = await child(`other:${process.pid}`, '')
  const ended = Object.assign(new EventEmitter(), { pid: other.pid })
  set.add(ended as ChildProcess)
  // its number was given away since
  ended.emit('exit')
  await set.stop(quick, calm())
  assert.equal(membersOf(other.pid!).length, 1)
  other.kill('SIGKILL')
})

/** Living processes of a group. */
function membersOf(group: number): readonly string[] {
  return readdirSync('/proc').filter((entry) => {
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'latin1')
      const [state, , of] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return Number(of) === group && state !== 'Z' && state !== 'X'
    } catch {
      return false
    }
  })
}

processes('nothing started, nothing to look for', async () => {
  const set = new ProcessSet('test:none')
  assert.not(set.started)
  await set.stop(quick, calm())
})

processes('strays of a run end, those of spared nodes and other runs do not', async () => {
  if (!linux) return void console.log('not run: there is no /proc')
  const run = `run${process.pid}`
  const marks = [`${run}:task:1`, `${run}:service:1`, `${run}2:task:1`]
  const started = await Promise.all(marks.map((mark) => child(mark, '')))
  try {
    const found = () =>
      marked((mark) => marks.includes(mark))
        .map(({ mark }) => mark)
        .sort()
    assert.equal(found(), [...marks].sort())
    await endStrays({ runId: run, spared: new Set(['service']), delays: quick, urgency: calm() })
    assert.equal(found(), [`${run}2:task:1`, `${run}:service:1`].sort())
  } finally {
    for (const each of started) each.kill('SIGKILL')
  }
})

processes.run()
