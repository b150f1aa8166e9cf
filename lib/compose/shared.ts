import type { NetworkSpec, VolumeSpec } from '../runtime/runtime.ts'
import type { ComposeModel } from './schema.ts'

/** Engine-wide name of a network of the model: its `name`, the key of an external one, else `<project>_<key>`. */
export function networkName(model: ComposeModel, project: string, key: string): string {
  const network = model.networks[key]
  return network?.name ?? (network?.external ? key : `${project}_${key}`)
}

/** Engine-wide name of a volume of the model: its `name`, the key of an external one, else `<project>_<key>`. */
export function volumeName(model: ComposeModel, project: string, key: string): string {
  const volume = model.volumes[key]
  return volume?.name ?? (volume?.external ? key : `${project}_${key}`)
}

/** The networks that services use, by the names that `containerSpec` uses; external ones exist already and are never made or removed. */
export function networkSpecs(
  model: ComposeModel,
  project: string,
): readonly (NetworkSpec & { readonly key: string; readonly external: boolean })[] {
  const used = new Set(Object.values(model.services).flatMap((service) => Object.keys(service.networks)))
  return [...used].map((key) => {
    const network = model.networks[key]!
    const pool = network.ipam?.config?.[0]
    return defined({
      key,
      external: network.external,
      name: networkName(model, project, key),
      driver: network.driver,
      driverOptions: network.driver_opts,
      subnet: pool?.subnet,
      gateway: pool?.gateway,
      ipRange: pool?.ip_range,
      internal: network.internal,
      attachable: network.attachable,
      ipv6: network.enable_ipv6,
      labels: network.labels,
    })
  })
}

/** The volumes that services use, by the names that `containerSpec` uses; external ones exist already and are never made or removed. */
export function volumeSpecs(
  model: ComposeModel,
  project: string,
): readonly (VolumeSpec & { readonly key: string; readonly external: boolean })[] {
  const mounts = Object.values(model.services).flatMap((service) => service.volumes)
  const used = new Set(mounts.flatMap((mount) => (mount.type === 'volume' && mount.source ? [mount.source] : [])))
  return [...used].map((key) => {
    const volume = model.volumes[key]!
    return defined({
      key,
      external: volume.external,
      name: volumeName(model, project, key),
      driver: volume.driver,
      driverOptions: volume.driver_opts,
      labels: volume.labels,
    })
  })
}

/** Without the keys that have no value, so that equal specs are equal as JSON too. */
export function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as T
}
