/** A layered drawing of a graph: what needs nothing at the left, everything right of what it needs. */
import type { Step } from '../engine/events.ts'
import { textWidth, truncate } from './width.ts'
import { escapeXml } from './xml.ts'

const rowHeight = 40
const boxHeight = 28
const gap = 70
const margin = 16
const cell = 7.3

interface Box {
  readonly step: Step
  readonly layer: number
  x: number
  y: number
  width: number
}

/** A whole SVG document: no scripts, no fonts, nothing loaded, every text escaped; follows a dark colour scheme. */
export function formatSvg(steps: readonly Step[], edges: readonly (readonly [string, string])[]): string {
  const boxes = place(steps, edges)
  const width = Math.ceil(Math.max(0, ...[...boxes.values()].map((box) => box.x + box.width)) + margin)
  const height = Math.ceil(Math.max(0, ...[...boxes.values()].map((box) => box.y + boxHeight)) + margin)
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    '<title>Task graph</title>',
    '<style>text{font:12px ui-monospace,monospace;fill:#1f2328}rect{fill:#f6f8fa;stroke:#8c959f}path{fill:none;stroke:#8c959f}' +
      '@media(prefers-color-scheme:dark){text{fill:#e6edf3}rect{fill:#161b22;stroke:#6e7681}path{stroke:#6e7681}}</style>',
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M1 1 7 4 1 7"/></marker></defs>',
  ]
  for (const [from, to] of edges) {
    const a = boxes.get(from)
    const b = boxes.get(to)
    if (!a || !b) continue
    const [x1, y1] = [round(a.x + a.width), a.y + boxHeight / 2]
    const [x2, y2] = [round(b.x), b.y + boxHeight / 2]
    const bend = round(Math.max(20, (x2 - x1) / 2))
    lines.push(
      `<path d="M${x1} ${y1}C${round(x1 + bend)} ${y1} ${round(x2 - bend)} ${y2} ${x2} ${y2}" marker-end="url(#tip)"/>`,
    )
  }
  for (const { step, x, y, width } of boxes.values()) {
    const title = step.description ? `<title>${escapeXml(step.description)}</title>` : ''
    const radius = step.service ? boxHeight / 2 : 4
    lines.push(
      `<g>${title}<rect x="${round(x)}" y="${y}" width="${round(width)}" height="${boxHeight}" rx="${radius}"/>` +
        `<text x="${round(x + width / 2)}" y="${y + 18}" text-anchor="middle">${escapeXml(label(step))}</text></g>`,
    )
  }
  lines.push('</svg>')
  return lines.join('\n')
}

function label(step: Step): string {
  return truncate(step.node, 40)
}

/** Layers by longest path, then each layer sorted by the middle of what its nodes need, to cross few edges. */
function place(steps: readonly Step[], edges: readonly (readonly [string, string])[]): Map<string, Box> {
  const needs = new Map<string, string[]>(steps.map((step) => [step.node, []]))
  for (const [from, to] of edges) needs.get(to)?.push(from)
  const depth = depths(needs)
  const layers: Box[][] = []
  for (const step of steps) {
    const layer = depth.get(step.node) ?? 0
    const width = Math.max(40, textWidth(label(step)) * cell + 20)
    const box: Box = { step, layer, x: 0, y: 0, width }
    const boxes = layers[layer] ?? []
    layers[layer] = boxes
    boxes.push(box)
  }
  const boxes = new Map<string, Box>()
  let x = margin
  for (const layer of layers.filter(Boolean)) {
    const middle = (box: Box) => {
      const sources = (needs.get(box.step.node) ?? []).map((need) => boxes.get(need)?.y ?? 0)
      return sources.length === 0 ? 0 : sources.reduce((sum, y) => sum + y, 0) / sources.length
    }
    const sorted = layer.map((box) => ({ box, key: middle(box) })).sort((a, b) => a.key - b.key)
    sorted.forEach(({ box }, index) => {
      box.x = x
      box.y = margin + index * rowHeight
      boxes.set(box.step.node, box)
    })
    x += Math.max(...layer.map((box) => box.width)) + gap
  }
  return boxes
}

/** The longest way to each node, without recursion; a cycle (which a plan never has) ends where it closes. */
function depths(needs: ReadonlyMap<string, readonly string[]>): Map<string, number> {
  const depth = new Map<string, number>()
  const entered = new Set<string>()
  for (const start of needs.keys()) {
    const stack = [start]
    while (stack.length > 0) {
      const node = stack.at(-1)!
      if (depth.has(node)) {
        stack.pop()
        continue
      }
      const missing = (needs.get(node) ?? []).filter((need) => !depth.has(need) && !entered.has(need))
      if (entered.has(node) || missing.length === 0) {
        stack.pop()
        depth.set(node, Math.max(-1, ...(needs.get(node) ?? []).map((need) => depth.get(need) ?? -1)) + 1)
      } else {
        entered.add(node)
        stack.push(...missing)
      }
    }
  }
  return depth
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
