/** The page of services: what the compose files start, publish and keep, and the variables they read. */
import { parse } from 'yaml'
import { z } from 'zod'

const names = z.union([z.array(z.string()), z.record(z.string(), z.unknown()).transform(Object.keys)])
const service = z.object({
  image: z.string().optional(),
  build: z.unknown().optional(),
  ports: z.array(z.string()).default([]),
  volumes: z.array(z.unknown()).default([]),
  depends_on: names.default([]),
  profiles: z.array(z.string()).default([]),
})
const file = z.object({ services: z.record(z.string(), service).default({}) })

/** A port as published: `127.0.0.1:${ETCD1_PORT:-12379}:2379`; `127.0.0.1::8080` on one that the engine chooses. */
const published = /^(?:[\d.]+:)?(?:\$\{([A-Z0-9_]+):-(\d+)\})?:(\d+)$/

/** Markdown, from the texts of the compose files by name. */
export function servicesPage(files: Readonly<Record<string, string>>): string {
  const lines = ['# Services, ports and their variables', '']
  for (const [name, text] of Object.entries(files)) {
    const all = Object.entries(file.parse(parse(text, { merge: true, logLevel: 'error' }) ?? {}).services)
    // a file that is laid over another repeats names, only to change something
    const services = all.filter(([, entry]) => entry.ports.length > 0 || entry.image || entry.build)
    lines.push(`## ${name}`, '')
    if (services.length === 0) {
      lines.push('Laid over another file; publishes nothing of its own.', '')
      continue
    }
    lines.push('| service | port on 127.0.0.1 | variable | in the container | waits for |')
    lines.push('| --- | --- | --- | --- | --- |')
    for (const [service, { ports, depends_on }] of services) {
      const rows = ports.length > 0 ? ports : ['']
      for (const port of rows) {
        const [, variable = '', host = port === '' ? '' : 'any', container = ''] = published.exec(port) ?? []
        const shown = variable === '' ? '' : `\`${variable}\``
        lines.push(`| ${service} | ${host} | ${shown} | ${container} | ${depends_on.join(', ')} |`)
      }
    }
    lines.push('')
    const others = variablesOf(text).filter(([variable]) => !variable.endsWith('_PORT'))
    if (others.length === 0) continue
    lines.push('| variable | default |', '| --- | --- |')
    for (const [variable, value] of others) lines.push(`| \`${variable}\` | ${value} |`)
    lines.push('')
  }
  return lines.join('\n')
}

function variablesOf(text: string): readonly (readonly [string, string])[] {
  const found = new Map<string, string>()
  for (const [, name = '', operator, value = ''] of text.matchAll(/\$\{([A-Z][A-Z0-9_]*)(?:(:?[-?+])([^}]*))?\}/g)) {
    if (found.has(name)) continue
    const wanted = operator?.endsWith('?') ? 'none: must be set' : operator?.endsWith('-') ? value : 'empty'
    found.set(
      name,
      wanted === '' ? 'empty' : wanted.startsWith('none') || wanted === 'empty' ? wanted : `\`${wanted}\``,
    )
  }
  return [...found].sort(([one], [other]) => one.localeCompare(other, 'en'))
}
