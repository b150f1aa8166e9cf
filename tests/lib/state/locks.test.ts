import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { DevstackError } from '../../../lib/errors.ts'
import { formatHolder, type LockHolder, type Locks, openLocks } from '../../../lib/state/locks.ts'
import { parseIdentity, stateOf, thisProcess } from '../../../lib/state/processes.ts'
import { inFolder } from './folder.ts'

const never = new AbortController().signal
const owner = { task: 'migrate', runId: 'r1' }
const take = (locks: Locks, name = 'db', more: { size?: number; signal?: AbortSignal } = {}) =>
  locks.acquire(name, { signal: never, owner, ...more })

/** Puts the lock of somebody else in place. */
function plant(folder: string, identity: object, generation = 1): string {
  const directory = join(folder, 'locks', 'db')
  mkdirSync(directory, { recursive: true })
  const file = join(directory, `0.${generation}`)
  writeFileSync(file, JSON.stringify({ ...thisProcess(), task: 'seed', runId: 'r0', since: 1, ...identity }))
  return file
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'none',
    (error: DevstackError) => error.code,
  )
}

const one = suite('lock')

one('is free again after its release, which may be called twice', () =>
  inFolder(async (directory) => {
    const locks = openLocks({ directory })
    for (let round = 0; round < 30; round += 1) {
      const release = await take(locks)
      assert.is(locks.holders().length, 1)
      release()
      release()
      assert.equal(locks.holders(), [])
    }
    assert.is(readdirSync(join(directory, 'locks', 'db')).length, 1, 'one small file is left')
  }),
)

one('is free when what was to be done about its dead holder fails', () =>
  inFolder(async (directory) => {
    plant(directory, { started: 'long ago' })
    const locks = openLocks({ directory })
    const onTakeOver = async ({ runId }: LockHolder): Promise<void> => {
      throw new Error(`${runId} can not be ended`)
    }
    const taking = locks.acquire('db', { signal: never, owner, onTakeOver })
    const told = await taking.then(String, (thrown: Error) => thrown.message)
    assert.is(told, 'r0 can not be ended')
    assert.equal(locks.holders(), [])
  }),
)

one('tells who holds it and waits', () =>
  inFolder(async (directory) => {
    const locks = openLocks({ directory })
    const first = await take(locks)
    const seen: LockHolder[] = []
    let taken = false
    const second = locks
      .acquire('db', { signal: never, owner: { task: 'backup', runId: 'r2' }, onWait: (holder) => seen.push(holder) })
      .then((release) => {
        taken = true
        return release
      })
    assert.is(seen.length, 1)
    assert.match(
      formatHolder(seen[0]!),
      /^"db" is held by task migrate of run r1 \(process \d+\) since \d\d:\d\d:\d\d$/,
    )
    await new Promise((resolve) => setTimeout(resolve, 60))
    assert.not(taken)
    assert.is(seen.length, 1, 'told once')
    first()
    const release = await second
    assert.is(locks.holders()[0]?.task, 'backup')
    release()
  }),
)

one('lets as many in as its size', () =>
  inFolder(async (directory) => {
    const locks = openLocks({ directory })
    const releases = [await take(locks, 'cpu', { size: 2 }), await take(locks, 'cpu', { size: 2 })]
    assert.is(await codeOf(take(locks, 'cpu', { size: 2, signal: AbortSignal.timeout(30) })), 'CANCELLED')
    releases[0]!()
    const third = await take(locks, 'cpu', { size: 2 })
    third()
    releases[1]!()
  }),
)

one('stops waiting on abort, with the reason when it is ours', () =>
  inFolder(async (directory) => {
    const locks = openLocks({ directory })
    assert.is(await codeOf(take(locks, 'db', { signal: AbortSignal.abort() })), 'CANCELLED')
    const release = await take(locks)
    const controller = new AbortController()
    const wait = codeOf(take(locks, 'db', { signal: controller.signal }))
    controller.abort()
    assert.is(await wait, 'CANCELLED')
    release()
    assert.equal(locks.holders(), [])
  }),
)

one('takes any name, and keeps names apart', () =>
  inFolder(async (directory) => {
    const locks = openLocks({ directory })
    const names = ['..', '.', 'a/b', 'a b', '__proto__', 'db:1', 'DB', 'ä'.repeat(20), '*']
    const releases = await Promise.all(names.map((name) => take(locks, name)))
    assert.equal(
      locks
        .holders()
        .map(({ lock }) => lock)
        .sort(),
      [...names].sort(),
    )
    assert.equal(readdirSync(directory), ['locks'])
    for (const release of releases) release()
    assert.is(await codeOf(take(locks, '')), 'BAD_LOCK_NAME')
    assert.is(await codeOf(take(locks, 'x'.repeat(300))), 'BAD_LOCK_NAME')
  }),
)

one('says what to do when the folder can not be used', () =>
  inFolder(async (directory) => {
    writeFileSync(join(directory, 'locks'), '')
    assert.is(await codeOf(take(openLocks({ directory }))), 'LOCK_UNUSABLE')
  }),
)

one('survives the removal of its folder while it is held', () =>
  inFolder(async (directory) => {
    const locks = openLocks({ directory })
    const release = await take(locks)
    rmSync(join(directory, 'locks'), { recursive: true })
    release()
    ;(await take(locks))()
  }),
)

const takeover = suite('takeover')

takeover('from an ended process, of this boot or an earlier one', async () => {
  const ended = spawn(process.execPath, ['-e', '0'])
  await once(ended, 'exit')
  const dead = [
    { pid: ended.pid, started: '1' },
    { pid: ended.pid, started: undefined },
    { pid: process.pid, started: '12345' },
    ...(thisProcess().boot === undefined ? [] : [{ pid: process.pid, boot: 'an earlier one' }]),
  ]
  for (const identity of dead) {
    await inFolder(async (directory) => {
      plant(directory, identity, 7)
      const locks = openLocks({ directory })
      assert.is(locks.holders()[0]?.state, 'dead', JSON.stringify(identity))
      const release = await take(locks)
      assert.is(locks.holders()[0]?.task, 'migrate')
      release()
    })
  }
})

takeover('of what a power cut left half-written', () =>
  inFolder(async (directory) => {
    writeFileSync(plant(directory, {}), '{"pid":')
    ;(await take(openLocks({ directory })))()
  }),
)

takeover('never from a living process, nor one that can not be seen from here', () =>
  inFolder(async (directory) => {
    const locks = openLocks({ directory })
    for (const [identity, state] of [
      [{}, 'alive'],
      [{ host: 'elsewhere', boot: 'another' }, 'unknown'],
      [{ namespace: 'pid:[1]' }, 'unknown'],
    ] as const) {
      const file = plant(directory, identity)
      assert.is(locks.holders()[0]?.state, state)
      assert.is(await codeOf(take(locks, 'db', { signal: AbortSignal.timeout(40) })), 'CANCELLED')
      if (state === 'unknown') assert.match(formatHolder(locks.holders()[0]!), `remove ${file}`)
    }
  }),
)

takeover('by a claimant that was overtaken steps back', () =>
  inFolder(async (directory) => {
    // Generation 5 is held; an old, dead generation 2 must not matter to anybody.
    plant(directory, { pid: 2 ** 22 + 1, started: '1' }, 2)
    plant(directory, {}, 5)
    assert.is(await codeOf(take(openLocks({ directory }), 'db', { signal: AbortSignal.timeout(40) })), 'CANCELLED')
  }),
)

takeover('tidies up tickets of killed claimants', () =>
  inFolder(async (directory) => {
    const locks = openLocks({ directory })
    ;(await take(locks))()
    const lost = join(directory, 'locks', 'db', 'ticket.1.x.1')
    writeFileSync(lost, '')
    utimesSync(lost, 1, 1)
    ;(await take(locks))()
    assert.equal(readdirSync(join(directory, 'locks', 'db')), ['0.2'])
  }),
)

const many = suite('many processes')

async function outcome(child: ChildProcess): Promise<{ most: number } | 'killed'> {
  let said = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  if (signal === 'SIGKILL') return 'killed'
  assert.is(code, 0)
  return JSON.parse(said) as { most: number }
}

function workers(
  folder: string,
  count: number,
  options: { size: number; rounds: number; kill: (index: number) => boolean },
) {
  const file = new URL('./lock-worker.ts', import.meta.url).pathname
  return Promise.all(
    Array.from({ length: count }, (_, index) => {
      const args = [file, folder, String(options.size), String(options.rounds), options.kill(index) ? 'kill' : '']
      return outcome(spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] }))
    }),
  )
}

many('never hold a mutex together, though half of them are killed while they hold it', () =>
  inFolder(async (folder) => {
    const results = await workers(folder, 12, { size: 1, rounds: 25, kill: (index) => index % 2 === 0 })
    assert.is(results.filter((result) => result === 'killed').length, 6)
    for (const result of results) if (result !== 'killed') assert.is(result.most, 1)
    const { holders } = openLocks({ directory: folder })
    assert.ok(holders().every(({ state }) => state === 'dead'))
  }),
)

many('never exceed the size of a semaphore', () =>
  inFolder(async (folder) => {
    const results = await workers(folder, 8, { size: 3, rounds: 20, kill: (index) => index === 0 })
    for (const result of results) if (result !== 'killed') assert.ok(result.most >= 1 && result.most <= 3)
  }),
)

many('take over one dead lock only once, all at the same time', () =>
  inFolder(async (folder) => {
    mkdirSync(join(folder, 'locks', 'shared'), { recursive: true })
    const dead = { ...thisProcess(), started: '1', task: 'dead', runId: 'r0', since: 1 }
    writeFileSync(join(folder, 'locks', 'shared', '0.1'), JSON.stringify(dead))
    const results = await workers(folder, 8, { size: 1, rounds: 1, kill: () => false })
    assert.equal(results, Array(8).fill({ most: 1 }))
  }),
)

const identities = suite('process identity')

identities('knows itself and refuses what is none', () => {
  assert.is(stateOf(thisProcess()), 'alive')
  assert.equal(parseIdentity(JSON.parse(JSON.stringify(thisProcess()))), JSON.parse(JSON.stringify(thisProcess())))
  for (const bad of [
    null,
    1,
    'x',
    {},
    { pid: 0, host: 'h' },
    { pid: 1.5, host: 'h' },
    { pid: 1 },
    { pid: 1, host: 'h', boot: 2 },
  ]) {
    assert.is(parseIdentity(bad), undefined)
  }
})

if (process.platform === 'linux') {
  identities('takes a zombie for dead', async () => {
    // The shell's child ends only once `sleep`, which never waits for it, has taken the shell's place. It reads from a
    // descriptor of its own: the standard input of what runs in the background is empty.
    const parent = spawn('/bin/sh', ['-c', 'exec 3<&0; (read line <&3) & echo $!; exec sleep 60'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    const until = async (holds: () => boolean) => {
      while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    try {
      const [chunk] = (await once(parent.stdout, 'data')) as [Buffer]
      const pid = Number(chunk.toString())
      const stat = () => readFileSync(`/proc/${pid}/stat`, 'utf8')
      await until(() => readFileSync(`/proc/${parent.pid}/comm`, 'utf8').trim() === 'sleep')
      parent.stdin.end('go\n')
      await until(() => stat().includes(') Z '))
      const started = stat()
        .slice(stat().lastIndexOf(')') + 2)
        .split(' ')[19]!
      assert.is(stateOf({ ...thisProcess(), pid, started }), 'dead')
    } finally {
      parent.kill('SIGKILL')
      await once(parent, 'exit')
    }
  })
}

for (const tests of [one, takeover, many, identities]) tests.run()
