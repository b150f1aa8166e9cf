/** Who a service talks to inside the stack. */
import type { ServiceHandle } from '../../lib/index.ts'

/** Addresses of all other services. Clients outside the stack come from the network's gateway and still get through. */
export function peersOf(
  service: string,
  services: readonly ServiceHandle[],
  which: (name: string) => boolean = () => true,
): readonly string[] {
  return services
    .filter((other) => other.service !== service && which(other.service))
    .flatMap(({ addresses }) => Object.values(addresses))
    .filter((address) => address !== '')
}
