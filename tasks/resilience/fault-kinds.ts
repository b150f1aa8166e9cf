/** What can be done to a container, and how each is undone from its record alone. */
import { z } from 'zod'
import { DevstackError } from '../../lib/index.ts'
import { diskKinds } from './disk-faults.ts'
import { type FaultKind, kind } from './fault-kind.ts'
import { networkKinds } from './network-faults.ts'
import { patroniKinds } from './patroni-faults.ts'
import { processKinds } from './process-faults.ts'

/** Every kind of fault, by name. */
export const faultKinds: Readonly<Record<string, FaultKind>> = {
  ...patroniKinds,
  ...processKinds,
  ...networkKinds,
  ...diskKinds,
  // no fault, but left behind like one by an experiment that is killed
  helper: kind({
    details: z.object({}),
    text: () => 'its helper container runs',
    inject: async (_details, { helper, signal }) => void (await helper.start(signal)),
    heal: (_details, { helper, signal }) => helper.remove(signal),
  }),
}

/** The kind of that name. Throws FAULT_UNKNOWN. */
export function faultKind(name: string): FaultKind {
  const found = faultKinds[name]
  if (found) return found
  throw new DevstackError({
    kind: 'usage',
    code: 'FAULT_UNKNOWN',
    message: `There is no fault "${name}".`,
    hint: `The faults are ${Object.keys(faultKinds).join(', ')}.`,
  })
}
