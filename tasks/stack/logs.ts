/** `logs`: several services interleaved by time, followed, filtered. */
import {
  type ContainerSummary,
  DevstackError,
  type LogLine,
  messageOf,
  paint,
  type Task,
  task,
  z,
} from '../../lib/index.ts'
import { chosen, projectContainers, serviceOf } from './handles.ts'

const colours = [paint.cyan, paint.yellow, paint.green, paint.magenta, paint.blue]

/** The task. */
export function logsTask(): Task<undefined> {
  return task({
    description: 'Show the logs of the services, interleaved',
    effect: 'read',
    interactive: true,
    params: z.object({
      services: z.array(z.string()).optional().meta({ positional: true }).describe('only these'),
      follow: z.boolean().default(false).meta({ short: 'f' }).describe('go on as lines come'),
      since: z.string().optional().describe('only newer ones: 10m, 2h, or a time like 2026-01-31T12:00:00Z'),
      tail: z.coerce
        .number()
        .int()
        .nonnegative()
        .optional()
        .describe('only the last lines of each service; default 100 unless --since'),
      grep: z.string().optional().describe('only lines that match this regular expression'),
    }),
    run: async (context) => {
      const { params, runtime, terminal, signal } = context
      const containers = chosen(await projectContainers(context), params.services)
      const matcher = params.grep === undefined ? undefined : pattern(params.grep)
      const since = params.since === undefined ? undefined : sinceOf(params.since)
      const tail = params.tail ?? (since === undefined ? 100 : undefined)
      const width = Math.max(...containers.map((container) => serviceOf(container).length))
      const write = (container: ContainerSummary, line: LogLine): void => {
        if (matcher && !matcher.test(line.text)) return
        const index = containers.indexOf(container)
        const name = serviceOf(container).padEnd(width)
        terminal.write(`${terminal.colors ? colours[index % colours.length]!(name) : name} | ${line.text}\n`)
      }
      const read = (container: ContainerSummary, follow: boolean, from = since): AsyncIterable<LogLine> =>
        runtime.logs(container.id, {
          follow,
          signal,
          ...(from === undefined ? {} : { since: from }),
          ...(tail === undefined ? {} : { tail }),
        })
      if (params.follow) {
        await Promise.all(
          containers.map(async (container) => {
            for await (const line of read(container, true)) write(container, line)
          }),
        )
        return
      }
      const all = await Promise.all(
        containers.map(async (container) => {
          const lines: { container: ContainerSummary; line: LogLine }[] = []
          for await (const line of read(container, false)) lines.push({ container, line })
          return lines
        }),
      )
      const sorted = all.flat().sort((a, b) => (a.line.at < b.line.at ? -1 : a.line.at > b.line.at ? 1 : 0))
      for (const { container, line } of sorted) write(container, line)
    },
  })
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text)
  } catch (thrown) {
    throw new DevstackError({
      kind: 'usage',
      code: 'LOGS_BAD_PATTERN',
      message: `--grep: ${messageOf(thrown)}.`,
      hint: 'Write a regular expression, for instance "error|fatal".',
    })
  }
}

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

function sinceOf(text: string): string | number {
  const match = /^(\d+)([smhd])$/.exec(text)
  if (match) return Math.floor(Date.now() / 1000) - Number(match[1]) * units[match[2]!]!
  if (!Number.isNaN(Date.parse(text))) return new Date(text).toISOString()
  throw new DevstackError({
    kind: 'usage',
    code: 'LOGS_BAD_SINCE',
    message: `--since: "${text}" is no time.`,
    hint: 'Write how long ago (30s, 10m, 2h, 1d) or a time such as 2026-01-31T12:00:00Z.',
  })
}
