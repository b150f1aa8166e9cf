/** Whom an interactive client talks to: the member that leads, or another one for what only reads. */
import { DevstackError, messageOf, type Reach, reachOf, type ServiceHandle } from '../../lib/index.ts'
import { notRunning } from './handles.ts'
import type { Around } from './starting.ts'

/** A member that is wanted, and the code of the error when there is none. */
interface Wanted {
  /** `PostgreSQL leader` */
  readonly what: string
  readonly code: string
}

export interface Product {
  /** `PostgreSQL` */
  readonly name: string
  readonly leader: Wanted
  readonly replica: Wanted
  /** The member that leads now; rejects when there is none. */
  readonly find: (
    members: readonly ServiceHandle[],
    options: { readonly signal: AbortSignal; readonly reach: Reach },
  ) => Promise<{ readonly handle: ServiceHandle }>
}

/** That member of these running ones. Throws STACK_NOT_UP, and the product's own code when nobody leads or follows. */
export async function memberFor(
  { members, replica }: { readonly members: readonly ServiceHandle[]; readonly replica: boolean },
  product: Product,
  context: Pick<Around, 'runtime' | 'project' | 'signal'>,
): Promise<ServiceHandle> {
  const { runtime, signal } = context
  if (members.length === 0) throw await notRunning(product.name, context)
  try {
    const { handle } = await product.find(members, { signal, reach: await reachOf(runtime, signal) })
    if (!replica) return handle
    const other = members.find(({ id }) => id !== handle.id)
    if (!other) throw new Error('no replica runs')
    return other
  } catch (cause) {
    signal.throwIfAborted()
    const { what, code } = replica ? product.replica : product.leader
    throw new DevstackError({
      kind: 'gate',
      code,
      message: `There is no ${what} to connect to: ${messageOf(cause)}.`,
      hint: 'See what is wrong with: devstack run health. Bring it back with: devstack run recover',
      cause,
    })
  }
}
