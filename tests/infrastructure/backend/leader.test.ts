import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Host } from '../../../infrastructure/backend/src/hosts.ts'
import { findLeader, type Leader, NoLeader, type Standing } from '../../../infrastructure/backend/src/leader.ts'

const leaders = suite('finding the leader')
const hosts = ['one', 'two', 'three'].map((name) => ({ name, port: 5432 }))

type Answer = Standing | Error | 'frozen'

function leading(timeline: number, system = 'system'): Standing {
  return { role: 'leader', system, timeline }
}

/** One round in which each member answers as told; a frozen one only when the round ends. */
async function search(answers: readonly Answer[], known?: Leader) {
  const cut: string[] = []
  const probe = async (host: Host, signal: AbortSignal): Promise<Standing> => {
    const answer = answers[hosts.findIndex(({ name }) => name === host.name)]!
    if (answer instanceof Error) throw answer
    if (answer !== 'frozen') return answer
    return new Promise((_, reject) => {
      signal.addEventListener(
        'abort',
        () => {
          cut.push(host.name)
          reject(signal.reason)
        },
        { once: true },
      )
    })
  }
  const found = await findLeader({ hosts, probe, signal: new AbortController().signal, known, graceMs: 20 }).catch(
    (error) => error,
  )
  return { found, cut }
}

const replica: Standing = { role: 'replica' }

leaders('one that is frozen does not hold the answer up, and its probe is ended', async () => {
  const { found, cut } = await search(['frozen', leading(3), new Error('refused')])
  assert.equal(found, { host: hosts[1], system: 'system', timeline: 3 })
  assert.equal(cut, ['one'])
})

leaders('of two that claim to lead the one on the newer timeline does', async () => {
  const { found } = await search([leading(4), leading(5), replica])
  assert.is(found.host.name, 'two')
})

leaders('one on an older timeline than a leader seen before is refused, of another cluster not', async () => {
  const known = { host: hosts[0]!, system: 'system', timeline: 5 }
  const { found: stale } = await search([leading(4), replica, replica], known)
  assert.instance(stale, NoLeader)
  assert.match(stale.message, /one:5432 leads an old timeline, 4 after 5/)
  const { found: anew } = await search([leading(1, 'another'), replica, replica], known)
  assert.is(anew.timeline, 1)
})

leaders('without any it says what each member said', async () => {
  const { found } = await search([replica, new Error('connection refused'), replica])
  assert.instance(found, NoLeader)
  assert.match(found.message, /one:5432 is a replica; two:5432 connection refused; three:5432 is a replica/)
})

leaders.run()
