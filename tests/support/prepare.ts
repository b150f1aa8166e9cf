/** The engine stage of the test run: an engine that answers and the base image, whatever the machine lacked before. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { $ } from 'zx'
import { messageOf } from '../../lib/errors.ts'
import { ensureBaseImage, type ImageStore } from '../../tasks/stack/base-image.ts'
import { installEngine, stopEngine } from '../../tasks/stack/engine-install.ts'
import { readHost } from '../../tasks/stack/host.ts'
import { cleanUp, type EngineState, engineCall, projectPrefix, projects, scenarioEngine } from './engine.ts'

export interface PrepareOptions {
  readonly log: (text: string) => void
  readonly signal: AbortSignal
}

export interface PreparedEngine {
  readonly state: EngineState
  /** What to show when it is missing. */
  readonly details: string
  /** Ends the engine if this stage started it. */
  stop(): Promise<void>
}

/**
 * Finds an engine, or as root on Debian and Ubuntu installs and starts one that `stop` ends again; then the base image.
 * Never rejects: what is missing is the state's reason.
 */
export async function prepareEngine(options: PrepareOptions): Promise<PreparedEngine> {
  const { log, signal } = options
  const folder = mkdtempSync(join(tmpdir(), 'devstack-engine-'))
  const logFile = join(folder, 'dockerd.log')
  let pid: number | undefined
  const stop = async () => {
    if (pid !== undefined) await stopEngine(pid)
    rmSync(folder, { recursive: true, force: true })
  }
  const shell = $({ quiet: true, signal, stdio: ['ignore', 'pipe', 'pipe'] })
  try {
    const host = readHost('/')
    let found = await scenarioEngine()
    if (found.state === 'missing' && !(await answers())) {
      log(found.reason)
      if (!host.root) return { state: found, details: '', stop }
      pid = (await installEngine({ $: shell, host, log, signal, logFile })).pid
      if (pid !== undefined) await removeLeftOvers(log)
      found = await scenarioEngine()
    }
    if (found.state === 'missing') {
      await ensureBaseImage({ $: shell, images: imageStore, host: readHost('/'), log, signal })
      found = await scenarioEngine()
    }
    return { state: found, details: '', stop }
  } catch (thrown) {
    const details = thrown instanceof Error && 'details' in thrown ? (thrown.details as readonly string[]) : []
    return { state: { state: 'missing', reason: messageOf(thrown) }, details: details.join('\n'), stop }
  }
}

async function answers(): Promise<boolean> {
  return engineCall('/_ping', { timeoutMs: 5000 }).then(
    (answer) => answer.status === 200,
    () => false,
  )
}

/**
 * An engine that was killed hard starts again what restart policies name. In CI nothing of that is anybody's; elsewhere
 * only what tests made goes.
 */
async function removeLeftOvers(log: (text: string) => void): Promise<void> {
  const all = await projects()
  const ours = process.env['CI'] ? all : all.filter((name) => name.startsWith(projectPrefix))
  for (const project of ours) {
    log(`removing what an earlier session left of project ${project}`)
    await cleanUp(project)
  }
}

/** The base image's needs in plain calls of the Engine API. */
const imageStore: ImageStore = {
  async image(reference) {
    const answer = await engineCall(`/images/${reference}/json`)
    return answer.status === 200 ? { id: String(JSON.parse(answer.text).Id) } : undefined
  },
  async pull(reference) {
    const [image, tag] = reference.split(':')
    const answer = await engineCall(`/images/create?fromImage=${image}&tag=${tag}`, { method: 'POST' })
    const pulled = await this.image(reference)
    if (pulled) return pulled
    throw new Error(lastMessage(answer.text))
  },
  async importImage(tar, reference) {
    const [repository, tag] = reference.split(':')
    const answer = await engineCall(`/images/create?fromSrc=-&repo=${repository}&tag=${tag}`, {
      method: 'POST',
      body: tar as Readable,
      headers: { 'content-type': 'application/x-tar' },
      timeoutMs: 300_000,
    })
    const imported = await this.image(reference)
    if (imported) return imported
    throw new Error(lastMessage(answer.text))
  },
}

/** The engine's streams of JSON lines end with the error, if any; a refusal is one object with `message`. */
function lastMessage(text: string): string {
  const last = JSON.parse(text.trim().split('\n').at(-1) || '{}') as { error?: string; message?: string }
  return last.error ?? last.message ?? text
}
