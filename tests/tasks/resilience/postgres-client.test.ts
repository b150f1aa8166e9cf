import { createServer } from 'node:net'
import 'pg'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DevstackError } from '../../../lib/index.ts'
import { connectForSetUp } from '../../../tasks/resilience/postgres-client.ts'

const clients = suite('PostgreSQL clients of an experiment')

clients('what prepares a load tries again until its time is over, and says what it met', async () => {
  // accepts and hangs up, as a server does that is starting
  let calls = 0
  const server = createServer((socket) => {
    calls += 1
    socket.destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { readonly port: number }
  const credentials = { user: 'app', password: 'secret-word', database: 'app' }
  try {
    const member = { member: 'postgres1', address: { host: '127.0.0.1', port } }
    const thrown = await connectForSetUp([member], credentials, 3000).catch((error) => error)
    if (!(thrown instanceof DevstackError)) throw new Error('it connected')
    assert.is(thrown.code, 'LEDGER_NO_LEADER')
    assert.match(thrown.message, /within 3 s: .*terminated/i)
    assert.not.match(thrown.message, 'secret-word')
    assert.ok(calls > 1, `${calls} calls`)
  } finally {
    server.close()
  }
})

clients.run()
