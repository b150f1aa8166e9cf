import { table } from '../../report/format.ts'
import type { Invocation } from '../args.ts'
import type { Io } from '../io.ts'
import { openConfig } from '../open-config.ts'

/** `devstack list`: the tasks by namespace, one line each. */
export async function command({ options }: Invocation, io: Io): Promise<number> {
  const { registry } = await openConfig(options, io)
  const entries = registry
    .entries()
    .filter(({ task }) => options.all || !task.definition.private)
    .map((registered) => {
      const { name, task, origin } = registered
      return {
        name,
        description: task.definition.description ?? '',
        aliases: registry.aliasesOf(registered),
        effect: task.definition.effect ?? 'change',
        private: task.definition.private ?? false,
        origin,
      }
    })
    .sort((a, b) => order(namespaceOf(a.name), namespaceOf(b.name)) || order(a.name, b.name))
  if (options.json) {
    io.stdout.write(`${JSON.stringify(entries, null, 2)}\n`)
    return 0
  }
  if (entries.length === 0) {
    io.stdout.write('No tasks yet. Add some under `tasks` in the config.\n')
    return 0
  }
  const groups = Map.groupBy(entries, ({ name }) => namespaceOf(name))
  const width = io.stdout.columns || 100
  const blocks = [...groups].map(([namespace, tasks]) => {
    const rows = tasks.map(({ name, aliases, description }) => ({
      name: aliases.length > 0 ? `${name} (${aliases.join(', ')})` : name,
      description,
    }))
    const body = table(rows, {
      columns: [
        { title: '', value: ({ name }) => `  ${name}` },
        { title: '', value: ({ description }) => description },
      ],
      header: false,
      width,
    })
    return namespace === '' ? body : `${namespace}\n${body}`
  })
  io.stdout.write(`${blocks.map((block) => block.trimEnd()).join('\n\n')}\n`)
  return 0
}

function namespaceOf(name: string): string {
  return name.includes(':') ? name.slice(0, name.lastIndexOf(':')) : ''
}

/** By code units: comparing by language loads its data first. */
function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
