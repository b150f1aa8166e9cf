/** The engine that `setup` starts on a machine without systemd: a real dockerd of its own, apart from the one that is there. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { engineAnswers, startEngine, stopEngine } from '../../tasks/stack/engine-install.ts'
import { readHost } from '../../tasks/stack/host.ts'
import { engineCall } from '../support/engine.ts'
import { refusal } from '../support/refusal.ts'

const host = readHost('/')
const program = host.programs['dockerd']
if (!host.root) console.log('not run: only root can start a container engine')
else if (program === undefined) console.log('not run: dockerd is missing')
else {
  const engine = suite<{ folder: string }>('engine of its own')
  engine.before.each((context) => {
    context.folder = mkdtempSync(join(tmpdir(), 'engine-'))
  })
  engine.after.each(({ folder }) => {
    // dockerd mounts its data folder onto itself, and one that was killed can not unmount it
    while (spawnSync('umount', [join(folder, 'data')], { stdio: 'ignore' }).status === 0);
    rmSync(folder, { recursive: true, force: true })
  })

  /**
   * In a network namespace of its own: a dockerd without a bridge removes docker0 where it finds one, and that is the
   * machine's own engine's.
   */
  const optionsFor = (folder: string) => {
    const socket = join(folder, 'engine.sock')
    const pidFiles = {
      dockerd: join(folder, 'docker.pid'),
      containerd: join(folder, 'exec', 'containerd', 'containerd.pid'),
    }
    const paths = [`--data-root=${folder}/data`, `--exec-root=${folder}/exec`, `--pidfile=${pidFiles.dockerd}`]
    const apart = ['--bridge=none', '--iptables=false', '--ip6tables=false', '--storage-driver=vfs']
    return {
      program: 'unshare',
      args: ['--net', program, `--host=unix://${socket}`, ...paths, ...apart],
      logFile: join(folder, 'dockerd.log'),
      signal: new AbortController().signal,
      socket,
      pidFiles,
    }
  }

  engine('answers, survives being killed hard, and ends when asked', async ({ folder }) => {
    const options = optionsFor(folder)
    const first = await startEngine(options)
    assert.type(first.pid, 'number')
    assert.is((await engineCall('/version', { socket: options.socket })).status, 200)

    process.kill(first.pid!, 'SIGKILL')
    while (existsSync(`/proc/${first.pid}/exe`)) await new Promise((resolve) => setImmediate(resolve))
    assert.not(await engineAnswers(options.socket))
    // what a killed engine leaves: its socket, and an id file whose number another process has by now
    assert.ok(existsSync(options.socket))
    writeFileSync(options.pidFiles.dockerd, String(process.pid))

    const second = await startEngine(options)
    assert.ok(await engineAnswers(options.socket))
    await stopEngine(second.pid!)
    assert.not(await engineAnswers(options.socket))
  })

  engine('tells what dockerd wrote when it can not start', async ({ folder }) => {
    const options = optionsFor(folder)
    const args = options.args.map((arg) => arg.replace('=vfs', '=no-such-driver'))
    const error = await refusal(() => startEngine({ ...options, args }))
    assert.is(error.code, 'ENGINE_START_FAILED')
    assert.match(error.details.join('\n'), 'no-such-driver')
  })

  engine.run()
}
