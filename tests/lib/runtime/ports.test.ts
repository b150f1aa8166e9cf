import { createServer } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { portOf } from '../../../lib/runtime/docker/failures.ts'
import { exitText } from '../../../lib/runtime/exit-code.ts'
import { addressOf, describeHolder, holderOf, portHolder, sameAddress } from '../../../lib/runtime/ports.ts'
import { readOnlyRuntime } from '../../../lib/runtime/read-only.ts'
import type { ContainerSummary, Runtime } from '../../../lib/runtime/runtime.ts'
import { overlaps } from '../../../lib/runtime/subnet.ts'
import { refusal } from '../../support/refusal.ts'

const test = suite('ports, ranges, ends')

test('finds the process that listens', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  try {
    const holder = await portHolder(port, '127.0.0.1')
    if (process.platform === 'linux') {
      assert.is(holder.kind, 'process')
      assert.is(holder.kind === 'process' && holder.pid, process.pid)
      assert.match(describeHolder(holder), /node/)
      assert.is((await portHolder(port)).kind, 'process')
      assert.is((await portHolder(port, '127.0.0.9')).kind, 'nobody')
    }
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
  assert.is((await portHolder(port, '127.0.0.1')).kind, 'nobody')
})

test('reads the addresses of /proc/net/tcp', () => {
  assert.is(addressOf('0100007F'), '127.0.0.1')
  assert.is(addressOf('00000000'), '0.0.0.0')
  assert.is(addressOf('00000000000000000000000000000000'), '::')
  assert.is(addressOf('00000000000000000000000001000000'), '::1')
  assert.is(addressOf('0000000000000000FFFF00000100007F'), '127.0.0.1')
  assert.is(addressOf('B80D01200000000000000000010000FF'), '2001:db8:0:0:0:0:ff00:1')
  assert.is(addressOf('xyz'), '')
  assert.ok(sameAddress('0.0.0.0', '10.0.0.1'))
  assert.not.ok(sameAddress('127.0.0.1', '10.0.0.1'))
})

test('the port in what engines say', () => {
  assert.is(portOf('Bind for 127.0.0.1:8080 failed: port is already allocated'), 8080)
  assert.is(portOf('listen tcp4 127.0.0.1:80: bind: address already in use'), 80)
  assert.is(portOf('listen tcp [::]:443: bind: address already in use'), 443)
  assert.is(portOf('something else'), undefined)
})

test('a container that publishes a port is named before a process', async () => {
  const container = {
    name: 'shop-web-1',
    state: 'running',
    labels: { 'devstack.project': 'shop' },
    ports: [{ hostIp: '0.0.0.0', hostPort: 1, containerPort: 80, protocol: 'tcp' }],
  } as unknown as ContainerSummary
  const of = async (containers: readonly ContainerSummary[], hostIp = '127.0.0.1') =>
    describeHolder(await holderOf({ port: 1, hostIp, containers, local: false }))
  assert.is(await of([container]), 'container "shop-web-1" of project "shop" publishes it')
  assert.match(await of([{ ...container, state: 'exited' }]), /cannot see/)
  assert.match(describeHolder({ kind: 'nobody' }), /nobody/)
})

test('ranges that share an address', () => {
  assert.ok(overlaps('10.1.0.0/16', '10.1.7.0/24'))
  assert.ok(overlaps('10.1.7.0/24', '10.1.0.0/16'))
  assert.not.ok(overlaps('10.1.0.0/24', '10.1.1.0/24'))
  assert.ok(overlaps('fd00::/8', 'fd12::/64'))
  assert.not.ok(overlaps('10.0.0.0/8', 'fd00::/8'))
  for (const text of ['', 'x', '10.0.0.0', '10.0.0.0/99', '10.0.0.0/x']) assert.not.ok(overlaps(text, '10.0.0.0/8'))
})

test('what an exit code means', () => {
  assert.is(exitText(null), 'no exit code')
  assert.is(exitText(143), 'exit code 143 (SIGTERM)')
})

test('a read-only runtime lets looks through and bars everything else, also what is unknown', async () => {
  const calls: string[] = []
  const all = new Proxy({} as Runtime, {
    get: (_target, name) => async () => {
      calls.push(String(name))
      return []
    },
  })
  const reader = readOnlyRuntime(all)
  const writers = [
    'create',
    'start',
    'stop',
    'kill',
    'pause',
    'unpause',
    'restart',
    'wait',
    'remove',
    'exec',
    'execInteractive',
    'copyIn',
    'copyOut',
    'connect',
    'disconnect',
    'ensureNetwork',
    'removeNetwork',
    'ensureVolume',
    'removeVolume',
    'build',
    'pull',
    'tag',
    'removeImage',
    'importImage',
    'somethingNew',
  ] as const
  for (const name of writers) {
    const call = (reader as unknown as Record<string, () => Promise<unknown>>)[name]!
    const error = await refusal(() => call())
    assert.is(error.code, 'RUNTIME_READ_ONLY')
    assert.ok(error.message.includes(name))
  }
  assert.equal(calls, [])
  await reader.containers({})
  await reader.image('x')
  reader.close()
  assert.equal(calls, ['containers', 'image', 'close'])
  assert.throws(() => Object.assign(reader, { create: () => undefined }))
})

test.run()
