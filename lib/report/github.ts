/** GitHub Actions: the plain lines, an annotation for each failure, and a step summary. */
import { appendFile } from 'node:fs/promises'
import type { ErrorFact } from '../engine/events.ts'
import { messageOf } from '../errors.ts'
import { createPaint, type Environment } from './format.ts'
import { createLinesReporter } from './lines.ts'
import { formatMarkdown } from './markdown.ts'
import type { Sink } from './reporter.ts'
import { apply, createView, type NodeView } from './view.ts'
import { visibleText } from './width.ts'

export interface GithubOptions {
  readonly write: (text: string) => void
  readonly environment: Environment
  readonly verbose?: boolean
  readonly quiet?: boolean
}

/**
 * Groups can not nest or interleave (docs.github.com, workflow commands), so while tasks run concurrently their output
 * is kept and printed as one group when the task is over; what a group may hold is bounded.
 */
const keptLines = 2000

export function createGithubReporter(options: GithubOptions): Sink {
  const { write, environment, quiet = false } = options
  const view = createView()
  const lines = createLinesReporter({ write, paint: createPaint(false), verbose: options.verbose, quiet })
  const output = new Map<string, { lines: string[]; left: number }>()

  const keep = (node: NodeView) => {
    if (node.printed.length === 0) return
    const kept = output.get(node.id) ?? { lines: [], left: 0 }
    output.set(node.id, kept)
    for (const line of node.printed) {
      if (kept.lines.length >= keptLines) {
        kept.lines.shift()
        kept.left += 1
      }
      kept.lines.push(line)
    }
  }

  const flush = (node: NodeView) => {
    const kept = output.get(node.id)
    output.delete(node.id)
    if (!kept || quiet) return
    write(`::group::${escapeData(node.id)}\n`)
    if (kept.left > 0) write(`(${kept.left} lines before these are not shown)\n`)
    for (const line of kept.lines) write(`${guard(line)}\n`)
    write('::endgroup::\n')
  }

  return {
    report(event) {
      const node = apply(view, event)
      if (node) keep(node)
      if (event.type === 'node-output') return
      if (node && node.endedAt !== undefined) flush(node)
      lines.report(event)
      if (event.type === 'note' && event.level === 'warning') write(command('warning', {}, event.text))
      if (event.type === 'node-failed' || event.type === 'cleanup-failed' || event.type === 'undo-failed')
        write(annotation(`${event.node}: ${failures[event.type]}`, event.error))
    },
    async close() {
      for (const node of view.nodes.values()) flush(node)
      const file = environment['GITHUB_STEP_SUMMARY']
      if (!file) return
      try {
        await appendFile(file, `${formatMarkdown(view)}\n`)
      } catch (thrown) {
        write(command('warning', {}, `The step summary could not be written: ${messageOf(thrown)}`))
      }
    },
  }
}

const failures = {
  'node-failed': 'failed',
  'cleanup-failed': 'cleanup failed',
  'undo-failed': 'undo failed',
} as const

function annotation(title: string, error: ErrorFact): string {
  const { place } = error
  const text = [visibleText(error.message), ...(error.hint ? [visibleText(error.hint)] : [])].join('\n')
  return command(
    'error',
    { file: place?.file, line: place?.line, col: place?.column, title: `${title} (${error.code})` },
    text,
  )
}

type Properties = Readonly<Record<string, string | number | undefined>>

/** A workflow command as one line: `::error file=a.ts,line=3::message`. */
export function command(name: string, properties: Properties, data: string): string {
  const list = Object.entries(properties)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${escapeProperty(String(value))}`)
    .join(',')
  return `::${name}${list ? ` ${list}` : ''}::${escapeData(data)}\n`
}

/** Escapes as the runner undoes it: percent, carriage return and line feed. */
export function escapeData(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

/** A property value also ends at a colon or a comma. */
export function escapeProperty(text: string): string {
  return escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C')
}

/** Output of a task never becomes a workflow command: the runner takes `::name` and `##[name]` only at a line's start. */
function guard(line: string): string {
  return /^\s*(::|##\[)/.test(line) ? `| ${line}` : line
}
