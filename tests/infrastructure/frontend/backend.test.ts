import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Backend } from '../../../infrastructure/frontend/lib/backend.ts'

const backends = suite('the frontend asks the backend')
const servers: Server[] = []

/** A backend that answers as told, and what it was asked. */
async function backend(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const asked: IncomingMessage[] = []
  const server = createServer((request, response) => {
    asked.push(request)
    request.resume().on('end', () => answer(request, response))
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, asked }
}

backends.after.each(() => {
  for (const server of servers.splice(0)) {
    server.close()
    server.closeAllConnections()
  }
})

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

backends('in one trace, the one that the browser began', async () => {
  const { url, asked } = await backend((_, response) => json(response, 200, { items: [{ id: 'c' }] }))
  const client = new Backend({ url, traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' })
  assert.equal(await client.courses(), [{ id: 'c' }])
  await client.students()
  for (const { headers } of asked) assert.match(String(headers['traceparent']), /^00-4bf92f3577b34da6a3ce929d0e0e4736-/)
  assert.is(asked[0]!.headers['traceparent'], asked[1]!.headers['traceparent'])
})

backends('names the change by a key, and hands on why it was refused', async () => {
  const { url, asked } = await backend((request, response) =>
    request.headers['idempotency-key'] === 'full'
      ? json(response, 409, { detail: 'the course is full: 1 places' })
      : json(response, 201, {}),
  )
  const client = new Backend({ url })
  assert.equal(await client.enroll({ courseId: 'c', studentId: 's' }, 'k'), { state: 'done' })
  assert.is(asked[0]!.headers['idempotency-key'], 'k')
  const refused = await client.enroll({ courseId: 'c', studentId: 's' }, 'full')
  assert.equal(refused, { state: 'refused', reason: 'the course is full: 1 places' })
})

backends('and says so when it is down, silent, or talks nonsense', async () => {
  const { url } = await backend((request, response) => {
    if (request.url?.startsWith('/api/courses')) json(response, 503, { detail: 'apply the migrations' })
    else if (request.url?.startsWith('/api/students')) response.end('<html>')
  })
  const client = new Backend({ url, timeoutMs: 2_000 })
  const reason = (running: Promise<unknown>) => running.then(String, (error: Error) => error.message)
  assert.is(await reason(client.courses()), 'apply the migrations')
  assert.is(await reason(client.students()), 'the backend answered 200 to students')
  const silent = new Backend({ url, timeoutMs: 50 })
  assert.equal(await silent.health(), { status: 'DOWN', reason: 'the backend can not be reached: no answer in time' })
  const nobody = new Backend({ url: 'http://127.0.0.1:1' })
  assert.match(await reason(nobody.enrollments()), /^the backend can not be reached: /)
})

backends.run()
