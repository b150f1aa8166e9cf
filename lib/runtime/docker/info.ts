/** Who answers, and on what machine. */
import type { EngineInfo } from '../runtime.ts'
import { read, engineInfo as schema } from './answers.ts'
import type { Session } from './session.ts'

/** The engine behind a session. Memory in bytes. */
export async function engineInfo(session: Session, signal?: AbortSignal): Promise<EngineInfo> {
  const doing = { what: 'Asking the engine about itself' }
  const { text } = await session.transport.call({ method: 'GET', path: '/info', signal, doing })
  const found = read(schema, text, doing)
  return {
    kind: session.kind,
    version: session.version,
    apiVersion: `1.${session.api}`,
    source: session.source,
    address: session.address,
    rootless: found.SecurityOptions.some((option) => /rootless/i.test(option) && !/rootless=false/i.test(option)),
    cpus: found.NCPU,
    memoryBytes: found.MemTotal,
    operatingSystem: found.OperatingSystem,
    architecture: found.Architecture,
    rootDirectory: found.DockerRootDir,
    warnings: found.Warnings,
  }
}
