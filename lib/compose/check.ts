import { suggest } from '../errors.ts'
import type { ComposeModel, ComposeService } from './schema.ts'
import { composeError, type Spot } from './tree.ts'

type Spots = ReadonlyMap<string, Spot>

/** What only shows in the whole: references to nothing, circles of dependencies, names and ports given twice. */
export function checkModel(model: ComposeModel, spots: Spots): void {
  for (const service of Object.values(model.services)) {
    checkReferences(model, service, spots)
    checkDependencies(model, service, spots)
    checkStartFirst(service, spots)
  }
  checkCycle(model, spots)
  checkClashes(model, spots)
}

function at(spots: Spots, ...paths: readonly string[]): { readonly at?: Spot } {
  for (const path of paths) {
    const spot = spots.get(path)
    if (spot) return { at: spot }
  }
  return {}
}

function checkReferences(model: ComposeModel, service: ComposeService, spots: Spots): void {
  const path = `services.${service.name}`
  const check = (kind: 'network' | 'volume' | 'config' | 'secret', key: string, names: Iterable<string>) => {
    const known = model[`${kind}s`]
    for (const name of names) {
      if (Object.hasOwn(known, name)) continue
      throw composeError(
        `UNDEFINED_${kind.toUpperCase()}`,
        `${path} uses the ${kind} "${name}", which is not defined.${suggest(name, Object.keys(known))}`,
        { ...at(spots, `${path}.${key}`, path), hint: `Add it to the top-level ${kind}s: map` },
      )
    }
  }
  check('network', 'networks', Object.keys(service.networks))
  const volumes = service.volumes.flatMap((mount) => (mount.type === 'volume' && mount.source ? [mount.source] : []))
  check('volume', 'volumes', volumes)
  check(
    'config',
    'configs',
    service.configs.map((one) => one.source),
  )
  check(
    'secret',
    'secrets',
    service.secrets.map((one) => one.source),
  )
}

function checkDependencies(model: ComposeModel, service: ComposeService, spots: Spots): void {
  const path = `services.${service.name}`
  for (const name of Object.keys(service.depends_on)) {
    if (Object.hasOwn(model.services, name)) continue
    const disabled = Object.hasOwn(model.disabled, name) ? model.disabled[name] : undefined
    if (disabled) {
      throw composeError('DISABLED_DEPENDENCY', `${path} depends on "${name}", which no active profile switches on`, {
        ...at(spots, `${path}.depends_on`, path),
        hint: `Activate the profile ${disabled.join(' or ')}, or say required: false`,
      })
    }
    throw composeError(
      'UNKNOWN_DEPENDENCY',
      `${path} depends on "${name}", which is no service.${suggest(name, Object.keys(model.services))}`,
      at(spots, `${path}.depends_on`, path),
    )
  }
}

/** Two containers of a service at a time can not share what there is once. */
function checkStartFirst(service: ComposeService, spots: Spots): void {
  if (service.deploy?.update_config?.order !== 'start-first') return
  const path = `services.${service.name}`
  const once = [
    ...service.ports.flatMap(({ published }) => (published ? [`the port ${published}`] : [])),
    ...Object.values(service.networks).flatMap(({ ipv4_address }) =>
      ipv4_address ? [`the address ${ipv4_address}`] : [],
    ),
  ]
  if (once.length === 0) return
  throw composeError('START_FIRST', `${path} is to start before its old container stops, and both want ${once[0]}`, {
    ...at(spots, `${path}.deploy`, path),
    hint: 'Publish it through a service that stays, such as a proxy, or say order: stop-first',
  })
}

/** The first circle of `depends_on`, in the order of the files, with its whole path. */
function checkCycle(model: ComposeModel, spots: Spots): void {
  const done = new Set<string>()
  for (const first of Object.keys(model.services)) {
    // A stack of its own: a chain of services may be longer than the call stack.
    const path: { readonly name: string; readonly next: Iterator<string> }[] = []
    const onPath = new Set<string>()
    const enter = (name: string) => {
      path.push({ name, next: Object.keys(model.services[name]!.depends_on).values() })
      onPath.add(name)
    }
    if (!done.has(first)) enter(first)
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const { value: name, done: last } = top.next.next()
      if (last) {
        done.add(top.name)
        onPath.delete(top.name)
        path.pop()
      } else if (onPath.has(name)) {
        const names = path.map((one) => one.name)
        const circle = [...names.slice(names.indexOf(name)), name]
        throw composeError('CYCLE', `These services wait for each other: ${circle.join(' -> ')}`, {
          ...at(spots, `services.${name}.depends_on`, `services.${name}`),
          hint: 'Remove one of these depends_on entries',
        })
      } else if (!done.has(name) && Object.hasOwn(model.services, name)) {
        enter(name)
      }
    }
  }
}

function checkClashes(model: ComposeModel, spots: Spots): void {
  const taken = new Map<string, string>()
  const claim = (what: string, thing: string, path: string, spot: string) => {
    const other = taken.get(what)
    if (other === undefined) {
      taken.set(what, path)
      return
    }
    throw composeError('CLASH', `${other} and ${path} both want ${thing}`, at(spots, spot, path))
  }
  for (const service of Object.values(model.services)) {
    const path = `services.${service.name}`
    if (service.container_name !== undefined)
      claim(
        `name ${service.container_name}`,
        `the container name ${service.container_name}`,
        path,
        `${path}.container_name`,
      )
    for (const { published, host_ip: host = '127.0.0.1', protocol } of service.ports) {
      if (published)
        claim(
          `port ${host} ${published} ${protocol}`,
          `port ${published}/${protocol} on ${host}`,
          path,
          `${path}.ports`,
        )
    }
    for (const [network, { ipv4_address: address }] of Object.entries(service.networks)) {
      if (address)
        claim(`address ${network} ${address}`, `the address ${address} on ${network}`, path, `${path}.networks`)
    }
  }
}
