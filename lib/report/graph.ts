/** A graph of steps as text: Mermaid, Graphviz DOT, JSON, or a self-contained SVG picture. */
import type { Step } from '../engine/events.ts'
import { formatSvg } from './svg.ts'

export type GraphFormat = 'mermaid' | 'dot' | 'json' | 'svg'

export interface GraphOptions {
  /** Node id to the state it is coloured by (`failed`, `done`, ...). */
  readonly states?: ReadonlyMap<string, string>
}

/** The graph in this format, without a final newline. An edge runs from what is needed to what needs it. */
export function formatGraph(steps: readonly Step[], format: GraphFormat, options: GraphOptions = {}): string {
  switch (format) {
    case 'mermaid':
      return mermaid(steps, options)
    case 'dot':
      return dot(steps)
    case 'json':
      return JSON.stringify(
        {
          nodes: steps.map(({ node, description, effect, service, partOf }) => ({
            id: node,
            ...(description === undefined ? {} : { description }),
            effect,
            ...(service ? { service } : {}),
            ...(partOf === undefined ? {} : { partOf }),
          })),
          edges: edgesOf(steps).map(([from, to]) => ({ from, to })),
        },
        undefined,
        2,
      )
    case 'svg':
      return formatSvg(steps, edgesOf(steps))
  }
}

/** Pairs of needed and needing node; needs outside of the given steps are left out. */
function edgesOf(steps: readonly Step[]): [string, string][] {
  const known = new Set(steps.map((step) => step.node))
  return steps.flatMap((step) =>
    step.needs.filter((need) => known.has(need)).map((need): [string, string] => [need, step.node]),
  )
}

function mermaid(steps: readonly Step[], options: GraphOptions): string {
  // ids of our own, since a name may be a word of Mermaid's (`end`) or hold any character
  const ids = new Map(steps.map((step, index) => [step.node, `n${index}`]))
  const lines = ['flowchart LR']
  for (const step of steps) {
    const [open, close] = step.service ? ['([', '])'] : ['[', ']']
    lines.push(`  ${ids.get(step.node)}${open}"${escapeMermaid(step.node)}"${close}`)
  }
  for (const [from, to] of edgesOf(steps)) lines.push(`  ${ids.get(from)} --> ${ids.get(to)}`)
  const { states } = options
  if (states) {
    const styles = {
      failed: 'fill:#ffd7d5,stroke:#cf222e',
      cancelled: 'fill:#fff8c5,stroke:#9a6700',
      reused: 'fill:#f6f8fa,stroke:#8c959f',
    }
    for (const [state, style] of Object.entries(styles)) {
      const members = steps.filter((step) => states.get(step.node) === state).map((step) => ids.get(step.node))
      if (members.length > 0) lines.push(`  classDef ${state} ${style}`, `  class ${members.join(',')} ${state}`)
    }
  }
  return lines.join('\n')
}

/** Mermaid reads `#name;` as a character reference inside a quoted label. */
function escapeMermaid(text: string): string {
  return text.replace(/[^\p{L}\p{N} :/._-]/gu, (character) => `#${character.codePointAt(0)};`)
}

function dot(steps: readonly Step[]): string {
  const quote = (text: string) => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`
  const lines = ['digraph devstack {', '  rankdir=LR;', '  node [shape=box, fontname="sans-serif"];']
  for (const step of steps) {
    const style = step.service ? ' [style=rounded]' : ''
    lines.push(`  ${quote(step.node)}${style};`)
  }
  for (const [from, to] of edgesOf(steps)) lines.push(`  ${quote(from)} -> ${quote(to)};`)
  lines.push('}')
  return lines.join('\n')
}
