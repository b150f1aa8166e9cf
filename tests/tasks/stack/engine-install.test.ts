import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Shell } from 'zx'
import {
  dropStalePidFile,
  engineAnswers,
  installEngine,
  planEngine,
  startEngine,
  stopEngine,
} from '../../../tasks/stack/engine-install.ts'
import type { Host } from '../../../tasks/stack/host.ts'
import { refusal } from '../../support/refusal.ts'

const bare: Host = {
  platform: 'linux',
  architecture: 'x64',
  release: { ID: 'debian', PRETTY_NAME: 'Debian GNU/Linux 12' },
  nodeVersion: '24.0.0',
  root: true,
  systemd: false,
  cpus: 2,
  memoryBytes: 2 ** 33,
  diskFreeBytes: 2 ** 36,
  programs: { 'apt-get': '/usr/bin/apt-get' },
}
const signal = new AbortController().signal
const planning = suite('plan of an engine')

planning('installs the packages where no engine is, then starts it', () => {
  const { commands, service } = planEngine(bare)
  assert.is(service, 'detached')
  const lines = commands.map((command) => command.join(' '))
  assert.is(lines.length, 2)
  assert.match(lines[0]!, /apt-get .*update/)
  assert.match(lines[1]!, /apt-get .*install .*docker\.io iptables iproute2$/)
})

planning('leaves the service to systemd where that runs', () => {
  const { commands, service } = planEngine({ ...bare, systemd: true, programs: { dockerd: '/usr/sbin/dockerd' } })
  assert.is(service, 'systemd')
  assert.equal(commands, [['systemctl', 'enable', '--now', 'docker']])
})

planning('installs nothing that is there', () => {
  assert.equal(planEngine({ ...bare, programs: { dockerd: '/usr/sbin/dockerd' } }).commands, [])
})

planning('refuses other distributions by name', async () => {
  const error = await refusal(() => planEngine({ ...bare, release: { ID: 'fedora', PRETTY_NAME: 'Fedora 42' } }))
  assert.is(error.code, 'ENGINE_INSTALL_UNSUPPORTED')
  assert.match(error.message, 'Fedora 42')
})

planning('gives an ordinary user the commands to type', async () => {
  const error = await refusal(() => planEngine({ ...bare, root: false }))
  assert.is(error.code, 'ENGINE_NEEDS_ROOT')
  assert.ok(error.details.every((line) => line.startsWith('sudo ')))
  assert.match(error.details.join('\n'), 'usermod -aG docker')
})

planning.run()

const installing = suite<{ folder: string }>('installation of an engine')
installing.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'engine-'))
})
installing.after.each(({ folder }) => rmSync(folder, { recursive: true, force: true }))

/** A shell that answers as told and runs nothing. */
function pretend(exitCode: number, stderr: string): { readonly $: Shell; readonly ran: string[] } {
  const ran: string[] = []
  const run = (_: TemplateStringsArray, command: readonly string[]) => {
    ran.push(command.join(' '))
    return Promise.resolve({ exitCode, stdout: '', stderr })
  }
  return { $: (() => run) as unknown as Shell, ran }
}

installing('stops at the first command that fails, with its last words', async ({ folder }) => {
  const { $, ran } = pretend(100, 'E: Could not get lock\n')
  const error = await refusal(() =>
    installEngine({ $, host: bare, log: () => undefined, signal, logFile: join(folder, 'log') }),
  )
  assert.is(error.code, 'ENGINE_INSTALL_FAILED')
  assert.match(error.message, /update.* ended with exit code 100/)
  assert.equal(error.details, ['E: Could not get lock'])
  assert.is(ran.length, 1)
})

/** A program that listens on the socket as an engine does, until it is asked to end. */
function fakeEngine(folder: string, body: string): string {
  const program = join(folder, 'dockerd')
  writeFileSync(program, `#!${process.execPath}\n${body}\n`)
  chmodSync(program, 0o755)
  return program
}

installing('starts the engine apart from this process and ends it by id', async ({ folder }) => {
  const socket = join(folder, 'engine.sock')
  const program = fakeEngine(
    folder,
    `require('node:http').createServer((q, s) => s.end('OK')).listen(process.argv[2]); process.title = 'dockerd'`,
  )
  const started = await startEngine({
    program,
    args: [socket],
    logFile: join(folder, 'log'),
    signal,
    socket,
    pidFiles: { dockerd: join(folder, 'none.pid'), containerd: join(folder, 'none.pid') },
  })
  assert.is(started.socket, socket)
  assert.type(started.pid, 'number')
  assert.ok(await engineAnswers(socket))
  await stopEngine(started.pid!)
  assert.not(await engineAnswers(socket))
  await stopEngine(started.pid!)
})

installing('says what an engine wrote that ends at once', async ({ folder }) => {
  const program = fakeEngine(folder, `console.error('failed to start daemon: no cgroups'); process.exitCode = 1`)
  const error = await refusal(() =>
    startEngine({
      program,
      logFile: join(folder, 'log'),
      signal,
      socket: join(folder, 'engine.sock'),
      pidFiles: { dockerd: join(folder, 'none.pid'), containerd: join(folder, 'none.pid') },
    }),
  )
  assert.is(error.code, 'ENGINE_START_FAILED')
  assert.is(error.message, 'dockerd ended with exit code 1.')
  assert.equal(error.details, ['failed to start daemon: no cgroups'])
})

installing('says so when the program can not be started', async ({ folder }) => {
  const error = await refusal(() =>
    startEngine({
      program: join(folder, 'missing'),
      logFile: join(folder, 'log'),
      signal,
      socket: join(folder, 'engine.sock'),
      pidFiles: { dockerd: join(folder, 'none.pid'), containerd: join(folder, 'none.pid') },
    }),
  )
  assert.match(error.message, /could not be started: .*ENOENT/)
})

installing('takes only a 200 for an answer', async ({ folder }) => {
  const socket = join(folder, 'engine.sock')
  const server = createServer((_, response) => {
    response.statusCode = 500
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  try {
    assert.not(await engineAnswers(socket))
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
  assert.not(await engineAnswers(join(folder, 'none.sock')))
})

if (process.platform === 'linux') {
  installing('drops the id file of an engine that is gone, also when its number is in use again', ({ folder }) => {
    const path = join(folder, 'docker.pid')
    writeFileSync(path, String(process.pid))
    dropStalePidFile(path, 'dockerd')
    assert.not(existsSync(path))
    writeFileSync(path, '999999999')
    dropStalePidFile(path, 'dockerd')
    assert.not(existsSync(path))
    dropStalePidFile(path, 'dockerd')
  })
}

installing.run()
