/** Says who holds a port that a container could not get. */
import { DevstackError } from '../../errors.ts'
import { describeHolder, holderOf, publishElsewhere } from '../ports.ts'
import type { ContainerSummary } from '../runtime.ts'
import { portOf, wordsOf } from './failures.ts'
import type { Session } from './session.ts'

interface Context {
  readonly idOrName: string
  readonly session: Session
  readonly containers: () => Promise<readonly ContainerSummary[]>
}

/** A RUNTIME_PORT_IN_USE with its holder named; any other error as it is. */
export async function portInUse(error: unknown, { idOrName, session, containers }: Context): Promise<unknown> {
  if (!(error instanceof DevstackError) || error.code !== 'RUNTIME_PORT_IN_USE') return error
  const said = wordsOf(error) ?? error.message
  const port = portOf(said)
  if (port === undefined) return error
  const hostIp = /(\d+\.\d+\.\d+\.\d+):\d+/.exec(said)?.[1] ?? '0.0.0.0'
  const running = await containers().catch(() => [])
  const name = running.find((one) => one.id === idOrName)?.name ?? idOrName
  const holder = await holderOf({ port, hostIp, containers: running, local: session.local })
  return new DevstackError({
    kind: 'runtime',
    code: 'RUNTIME_PORT_IN_USE',
    message: `Container "${name}" cannot publish ${hostIp}:${port}: ${describeHolder(holder)}.`,
    hint:
      holder.kind === 'container'
        ? `Stop it (\`docker stop ${holder.name}\`), ${publishElsewhere}.`
        : `End that process, ${publishElsewhere}.`,
    cause: error.cause,
  })
}
