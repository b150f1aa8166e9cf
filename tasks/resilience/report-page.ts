/** A report as one HTML page that needs nothing else: no script, no font, no network. */
import { formatDuration } from '../../lib/index.ts'
import { escapeText, pictureOf, trendOf } from './picture.ts'
import type { ExperimentReport, LoadReport } from './report.ts'
import { lostIds } from './report-text.ts'

/** The most runs that the trend shows. */
const trendLength = 50

const style = `
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #5c6570; --paper: #fff; --line: #d5dae0; --good: #1a7f4b; --bad: #c5283d; --warn: #9a6700; --writes: #3b76c4; --leads: #1a7f4b; --follows: #a9c4e4; --alone: #e2a33b; --silent: #c9ced6; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --dim: #9aa4af; --paper: #14171b; --line: #333a42; --good: #4cc38a; --bad: #ff6b7d; --warn: #e2b340; --writes: #6ea8f0; --leads: #4cc38a; --follows: #3c5878; --alone: #c98a2b; --silent: #3f4650; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto; max-width: 1040px; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p { margin: .3rem 0; } .dim { color: var(--dim); }
.verdict { font-weight: 600; } .passed { color: var(--good); } .failed { color: var(--bad); } .not-run { color: var(--warn); }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; } th { font-weight: 600; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg { width: 100%; height: auto; } svg.trend { width: 300px; }
svg text { font: 11px system-ui, sans-serif; fill: var(--dim); } svg .title { fill: var(--ink); }
.writes { fill: var(--writes); } .errors { fill: var(--bad); } .fault { fill: var(--bad); opacity: .1; }
.p50, .max { fill: none; stroke: var(--writes); stroke-width: 1.5; } .max { stroke: var(--alone); }
.lane.leads { fill: var(--leads); } .lane.follows { fill: var(--follows); } .lane.alone { fill: var(--alone); } .lane.silent { fill: var(--silent); }
.moment line { stroke: var(--ink); stroke-dasharray: 2 3; opacity: .5; } .moment text { fill: var(--ink); font-weight: 600; }
.axis line { stroke: var(--dim); } .trend path { fill: none; stroke: var(--writes); stroke-width: 1.5; } .trend circle { fill: var(--writes); } .trend .limit { stroke: var(--bad); stroke-dasharray: 4 3; }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; vertical-align: -.05em; }`

/** The page. `before`: reports of the same experiment, oldest first, for the trend. */
export function formatPage(report: ExperimentReport, before: readonly ExperimentReport[]): string {
  const verdict = { passed: 'passed', failed: 'failed', 'not-run': 'not run' }[report.verdict]
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(report.title)}: ${verdict}</title>
<style>${style}</style>
</head>
<body>
<h1>${escapeText(report.title)} <span class="verdict ${report.verdict}">${verdict}</span></h1>
<p class="dim">${escapeText(report.at)}, ${formatDuration(report.durationMs)} under load</p>
${list(report.reasons, 'failed')}${list(report.notes, 'dim')}
<h2>What happened</h2>
${pictureOf(report)}
<p class="dim"><span class="key writes" style="background:var(--leads)"></span>leads: acknowledged a write<span class="key" style="background:var(--alone)"></span>alone: no replica, acknowledged nothing<span class="key" style="background:var(--follows)"></span>follows<span class="key" style="background:var(--silent)"></span>silent</p>
${moments(report)}
<h2>What a client saw</h2>
${clients(report)}
${report.loads.map(ledger).join('\n')}
${limits(report)}
${trend(report, before)}
</body>
</html>
`
}

function list(lines: readonly string[], kind: string): string {
  return lines.map((line) => `<p class="${kind}">${escapeText(line)}</p>\n`).join('')
}

function moments({ moments: all }: ExperimentReport): string {
  const rows = all.map(
    ({ at, text }, index) =>
      `<tr><td class="number">${index + 1}</td><td class="number">${(at / 1000).toFixed(2)} s</td><td>${escapeText(text)}</td></tr>`,
  )
  return `<table><tr><th></th><th class="number">when</th><th>what</th></tr>${rows.join('')}</table>`
}

function clients({ loads, redundancyMs }: ExperimentReport): string {
  const rows = loads.map((load) => {
    const errors = Object.entries(load.errors).map(([kind, count]) => `${count} × ${kind}`)
    const window = load.errorWindow ? formatDuration(load.errorWindow.to - load.errorWindow.from) : 'none'
    return `<tr><td>${escapeText(load.name)}</td><td class="number">${load.bound ? 'bound to one member' : formatDuration(load.gapMs)}</td><td class="number">${formatDuration(load.longestStallMs)}</td><td class="number">${window}</td><td>${escapeText(errors.join(', ') || 'none')}</td><td class="number">${load.writable.maximum}</td></tr>`
  })
  const redundancy =
    redundancyMs === undefined ? '' : `<p>Fully redundant ${formatDuration(redundancyMs)} after the heal.</p>`
  return `<table><tr><th>load</th><th class="number">gap after the fault</th><th class="number">longest stall</th><th class="number">error window</th><th>errors</th><th class="number">writable at once</th></tr>${rows.join('')}</table>${redundancy}`
}

function ledger({ name, ledger: found, durable }: LoadReport): string {
  const rows = found.members.map(
    ({ member, held, missing, error }) =>
      `<tr><td>${escapeText(member)}</td><td class="number">${held}</td><td class="number ${missing > 0 ? 'failed' : ''}">${missing}</td><td>${escapeText(error ?? '')}</td></tr>`,
  )
  const lost =
    found.lost > 0 ? `<p class="${durable ? 'failed' : 'not-run'}">Lost: ${escapeText(lostIds(found))}</p>` : ''
  return `<h2>Ledger of ${escapeText(name)}</h2>
<p>${found.acknowledged} writes acknowledged, ${found.lost} lost, ${found.unacknowledged} kept without an acknowledgement.</p>${lost}
<table><tr><th>member</th><th class="number">holds</th><th class="number">lacks</th><th></th></tr>${rows.join('')}</table>`
}

function limits({ limits: all }: ExperimentReport): string {
  if (all.length === 0) return ''
  const rows = all.map(
    ({ name, limitMs, actualMs, held, strength }) =>
      `<tr><td>${escapeText(name)}</td><td class="number">${formatDuration(limitMs)}</td><td class="number ${held ? 'passed' : 'failed'}">${actualMs === undefined ? 'never' : formatDuration(actualMs)}</td><td class="dim">${strength === 'promise' ? 'each time' : 'in the median of five runs or more'}</td></tr>`,
  )
  return `<h2>Limits</h2><table><tr><th>what</th><th class="number">limit</th><th class="number">reached</th><th>must hold</th></tr>${rows.join('')}</table>`
}

function trend(report: ExperimentReport, before: readonly ExperimentReport[]): string {
  const name = report.loads[0]?.name
  if (name === undefined) return ''
  const gaps = [...before, report]
    // of what was not run there is no gap to tell
    .filter(({ verdict }) => verdict !== 'not-run')
    .slice(-trendLength)
    .flatMap(({ loads }) => loads.filter((load) => load.name === name).map(({ gapMs }) => gapMs))
  if (gaps.length < 2) return ''
  const limit = report.limits.find((one) => one.name === `gap of ${name}`)?.limitMs
  return `<h2>Gap of ${escapeText(name)} over the last ${gaps.length} runs</h2>${trendOf(gaps, limit)}`
}
