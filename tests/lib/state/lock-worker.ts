/**
 * Takes a lock again and again and looks whether it is alone: `lock-worker.ts <folder> <size> <rounds> <kill>`. With
 * `kill`, it kills itself while holding the lock in its last round. Prints one JSON line: how many others were seen at most.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openLocks } from '../../../lib/state/locks.ts'

const [folder = '', size = '1', rounds = '1', kill] = process.argv.slice(2)
const inside = join(folder, 'inside')
mkdirSync(inside, { recursive: true })
const locks = openLocks({ directory: folder })
let most = 0

for (let round = 0; round < Number(rounds); round += 1) {
  const release = await locks.acquire('shared', {
    size: Number(size),
    signal: new AbortController().signal,
    owner: { task: `worker-${process.pid}`, runId: 'test' },
  })
  // Whoever comes second sees the first: both write before they look.
  const mine = join(inside, String(process.pid))
  writeFileSync(mine, '')
  most = Math.max(most, readdirSync(inside).filter((pid) => lives(Number(pid))).length)
  for (let turn = Math.floor(Math.random() * 3); turn >= 0; turn -= 1) await new Promise((next) => setImmediate(next))
  most = Math.max(most, readdirSync(inside).filter((pid) => lives(Number(pid))).length)
  if (kill === 'kill' && round === Number(rounds) - 1) process.kill(process.pid, 'SIGKILL')
  rmSync(mine)
  release()
}
console.log(JSON.stringify({ most }))

/** Neither gone nor a zombie. */
function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    if (process.platform !== 'linux') return true
    return !/^\d+ \(.*\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
