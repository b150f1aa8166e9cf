/** The picture of an experiment as SVG: throughput and latency over time, who led, the fault, and the moments. */
import type { ExperimentReport, LoadReport } from './report.ts'

const width = 1000
const left = 110
const right = 20
const plotWidth = width - left - right
const chartHeight = 90
const laneHeight = 18
const gap = 14
/** Numbers of moments stand in so many rows above the picture. */
const momentRows = 4

/** Text as it may stand in HTML and SVG. */
export function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

/** The whole picture; `width` 1000, as high as its loads and members need. */
export function pictureOf(report: ExperimentReport): string {
  const scale = (at: number): number =>
    left + (Math.max(0, Math.min(at, report.durationMs)) / report.durationMs) * plotWidth
  const parts: string[] = []
  let y = 18 + momentRows * 12
  const top = y
  for (const load of report.loads) {
    parts.push(throughput(load, y, scale))
    y += chartHeight + gap
    parts.push(latency(load, y, scale))
    y += chartHeight + gap
    for (const { member, spans } of load.lanes) {
      parts.push(label(member, y + laneHeight / 2 + 4))
      for (const { from, to, state } of spans) {
        const x = scale(from)
        const words = `${member} ${state} from ${seconds(from)} to ${seconds(to)}`
        parts.push(
          `<rect class="lane ${state}" x="${n(x)}" y="${y}" width="${n(Math.max(1, scale(to) - x))}" height="${laneHeight - 4}"><title>${escapeText(words)}</title></rect>`,
        )
      }
      y += laneHeight
    }
    y += gap
  }
  const bottom = y
  const window = report.fault
    ? `<rect class="fault" x="${n(scale(report.fault.from))}" y="${top}" width="${n(Math.max(1, scale(report.fault.to) - scale(report.fault.from)))}" height="${bottom - top}"><title>fault, from ${seconds(report.fault.from)} to ${seconds(report.fault.to)}</title></rect>`
    : ''
  // neighbours would cover each other's numbers, so each takes the first row with room
  const rows: number[] = []
  const moments = report.moments.map(({ at, text }, index) => {
    const x = scale(at)
    let row = rows.findIndex((taken) => x - taken >= 16)
    if (row < 0) row = rows.length < momentRows ? rows.length : index % momentRows
    rows[row] = x
    const up = 12 + row * 12
    return `<g class="moment"><line x1="${n(x)}" x2="${n(x)}" y1="${up + 2}" y2="${bottom}"/><text x="${n(x)}" y="${up}" text-anchor="middle">${index + 1}</text><title>${escapeText(`${seconds(at)} ${text}`)}</title></g>`
  })
  const height = bottom + 24
  return [
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeText(`${report.title}: throughput, latency and leadership over time`)}" xmlns="http://www.w3.org/2000/svg">`,
    window,
    ...parts,
    ...moments,
    axis(report.durationMs, bottom, scale),
    '</svg>',
  ].join('\n')
}

function throughput(load: LoadReport, y: number, scale: (at: number) => number): string {
  const perSecond = load.series.map(({ count }) => (count * 1000) / load.bucketMs)
  const most = Math.max(1, ...perSecond)
  const bar = Math.max(0.5, scale(load.bucketMs) - scale(0) - 0.5)
  const bars = load.series.map(({ at, count, errors }, index) => {
    const height = (perSecond[index]! / most) * (chartHeight - 16)
    const errorMark =
      errors > 0
        ? `<rect class="errors" x="${n(scale(at))}" y="${y + chartHeight - 4}" width="${n(bar)}" height="4"><title>${errors} errors</title></rect>`
        : ''
    if (count === 0) return errorMark
    return `<rect class="writes" x="${n(scale(at))}" y="${n(y + chartHeight - 5 - height)}" width="${n(bar)}" height="${n(height)}"/>${errorMark}`
  })
  return `<g><text class="title" x="${left}" y="${y + 8}">${escapeText(load.name)}: acknowledged writes a second, at most ${Math.round(most)}; errors below in red</text>${label('writes/s', y + chartHeight / 2)}${bars.join('')}</g>`
}

function latency(load: LoadReport, y: number, scale: (at: number) => number): string {
  const known = load.series.filter(({ count }) => count > 0)
  const most = Math.max(10, ...known.map(({ max }) => max))
  // a stall is thousands of times as long as a write
  const height = (ms: number): number => (Math.log10(1 + ms) / Math.log10(1 + most)) * (chartHeight - 16)
  const line = (value: 'p50' | 'max'): string => {
    const points: string[] = []
    let pen = 'M'
    for (const bucket of load.series) {
      if (bucket.count === 0) {
        pen = 'M'
        continue
      }
      points.push(`${pen}${n(scale(bucket.at + load.bucketMs / 2))} ${n(y + chartHeight - height(bucket[value]))}`)
      pen = 'L'
    }
    return `<path class="${value}" d="${points.join('') || 'M0 0'}"/>`
  }
  return `<g><text class="title" x="${left}" y="${y + 8}">${escapeText(load.name)}: latency, median and longest, logarithmic up to ${Math.round(most)} ms</text>${label('latency', y + chartHeight / 2)}${line('max')}${line('p50')}</g>`
}

function label(text: string, y: number): string {
  return `<text class="label" x="${left - 10}" y="${n(y)}" text-anchor="end">${escapeText(text)}</text>`
}

function axis(durationMs: number, y: number, scale: (at: number) => number): string {
  const step = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600].find((one) => durationMs / 1000 / one <= 14) ?? 1200
  const ticks: string[] = []
  for (let second = 0; second * 1000 <= durationMs; second += step) {
    const x = n(scale(second * 1000))
    ticks.push(
      `<line x1="${x}" x2="${x}" y1="${y}" y2="${y + 4}"/><text x="${x}" y="${y + 17}" text-anchor="middle">${second} s</text>`,
    )
  }
  return `<g class="axis"><line x1="${left}" x2="${width - right}" y1="${y}" y2="${y}"/>${ticks.join('')}</g>`
}

/** Gaps of the same experiment over time, as a small chart; the newest is the last. */
export function trendOf(gaps: readonly number[], limitMs: number | undefined): string {
  const most = Math.max(1, limitMs ?? 0, ...gaps)
  const wide = 300
  const high = 60
  const x = (index: number): number => (gaps.length === 1 ? wide / 2 : 6 + (index / (gaps.length - 1)) * (wide - 12))
  const y = (ms: number): number => 6 + (1 - ms / most) * (high - 12)
  const limit =
    limitMs === undefined
      ? ''
      : `<line class="limit" x1="0" x2="${wide}" y1="${n(y(limitMs))}" y2="${n(y(limitMs))}"><title>limit ${seconds(limitMs)}</title></line>`
  const dots = gaps.map(
    (ms, index) => `<circle cx="${n(x(index))}" cy="${n(y(ms))}" r="3"><title>${seconds(ms)}</title></circle>`,
  )
  const path = gaps.map((ms, index) => `${index === 0 ? 'M' : 'L'}${n(x(index))} ${n(y(ms))}`).join('')
  return `<svg class="trend" viewBox="0 0 ${wide} ${high}" width="${wide}" height="${high}" role="img" aria-label="gap over ${gaps.length} runs" xmlns="http://www.w3.org/2000/svg">${limit}<path d="${path}"/>${dots.join('')}</svg>`
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}

function n(value: number): string {
  return String(Math.round(value * 10) / 10)
}
