/** Reports that are whole documents: JUnit, trace, graph, OpenTelemetry. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text as readText } from 'node:stream/consumers'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunEvent } from '../../../lib/engine/events.ts'
import { formatGraph } from '../../../lib/report/graph.ts'
import { createJunitReporter, formatJunit } from '../../../lib/report/junit.ts'
import {
  createOtelReporter,
  formatOtlp,
  otelTarget,
  parseTraceparent,
  spanIdOf,
  traceparent,
} from '../../../lib/report/otel.ts'
import { createTrace, createTraceReporter } from '../../../lib/report/trace.ts'
import { apply, createView, type RunView } from '../../../lib/report/view.ts'
import { escapeAttribute, escapeXml } from '../../../lib/report/xml.ts'
import { cancelledRun, epoch, failedRun, manyNodes, Script, step, successfulRun } from '../../support/events.ts'

const documents = suite('documents')

function viewOf(events: readonly RunEvent[]): RunView {
  const view = createView()
  for (const event of events) apply(view, event)
  return view
}

/** A strict reader of the XML that is written here: elements, attributes, text; throws where it is not well formed. */
function readXml(xml: string): { names: string[]; attributes: Record<string, string>[]; text: string } {
  const names: string[] = []
  const attributes: Record<string, string>[] = []
  const open: string[] = []
  let text = ''
  const decode = (value: string) => {
    assert.not.match(value, /[<]|&(?!(amp|lt|gt|quot|apos|#\d+);)/)
    return value.replace(/&(?:#(\d+)|(\w+));/g, (_, code: string | undefined, name: string) =>
      code ? String.fromCodePoint(Number(code)) : { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }[name]!,
    )
  }
  assert.not.match(xml, /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u)
  for (const [token] of xml.matchAll(/<\?[^>]*\?>|<\/?[^>]*>|[^<]+/g)) {
    if (token.startsWith('<?')) continue
    if (!token.startsWith('<')) text += decode(token)
    else if (token.startsWith('</')) assert.is(open.pop(), token.slice(2, -1))
    else {
      const match = /^<([A-Za-z-]+)((?: [A-Za-z:-]+="[^"]*")*)\s*(\/?)>$/.exec(token)
      assert.ok(match, token)
      names.push(match[1]!)
      attributes.push(
        Object.fromEntries(
          [...match[2]!.matchAll(/ ([A-Za-z:-]+)="([^"]*)"/g)].map(([, name, value]) => [name!, decode(value!)]),
        ),
      )
      if (!match[3]) open.push(match[1]!)
    }
  }
  assert.equal(open, [])
  return { names, attributes, text }
}

documents('any text survives the way through XML, but for what XML forbids', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const allowed = text.replace(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, '')
      const read = readXml(`<a b="${escapeAttribute(text)}">${escapeXml(text)}</a>`)
      assert.is(read.attributes[0]!['b'], allowed)
      assert.is(read.text, allowed)
    }),
  )
})

documents('JUnit: a suite a namespace, a case a task', () => {
  const script = new Script().start(
    ['ci'],
    ['db:migrate', 'db:seed', 'lint', 'a:b:c'].map((id) => step(id)),
  )
  script.node('db:migrate', { type: 'node-output', stream: 'stdout', text: 'a < b & "c" \u0007\u001b[31mred\u001b[0m' })
  script.wait(1500).node('db:migrate', { type: 'node-done', value: null, durationMs: 1500 })
  script.node('db:seed', { type: 'node-skipped', cause: 'platform is "linux"' })
  script.node('lint', {
    type: 'node-failed',
    durationMs: 20,
    error: { code: 'LINT', kind: 'task', message: 'x <y>\nz', exitCode: 1 },
  })
  script.finish('failed', { done: 1, skipped: 1, failed: 1 })
  assert.is(
    formatJunit(viewOf(script.events)),
    `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="ci" tests="4" failures="1" errors="1" skipped="1" time="1.500">
  <testsuite name="db" tests="2" failures="0" errors="0" skipped="1" time="1.500" timestamp="2026-01-02T03:04:05">
    <testcase name="db:migrate" classname="db" time="1.500">
      <system-out>a &lt; b &amp; &quot;c&quot; red</system-out>
    </testcase>
    <testcase name="db:seed" classname="db" time="0.000">
      <skipped message="platform is &quot;linux&quot;"/>
    </testcase>
  </testsuite>
  <testsuite name="devstack" tests="1" failures="1" errors="0" skipped="0" time="0.020" timestamp="2026-01-02T03:04:05">
    <testcase name="lint" classname="devstack" time="0.020">
      <failure message="x &lt;y&gt;&#10;z" type="LINT">x &lt;y&gt;
z</failure>
    </testcase>
  </testsuite>
  <testsuite name="a:b" tests="1" failures="0" errors="1" skipped="0" time="0.000" timestamp="2026-01-02T03:04:05">
    <testcase name="a:b:c" classname="a:b" time="0.000">
      <error message="The run ended before this task did." type="UNFINISHED"/>
    </testcase>
  </testsuite>
</testsuites>
`,
  )
  for (const events of [successfulRun(), failedRun(), cancelledRun(), manyNodes(50)])
    readXml(formatJunit(viewOf(events)))
})

documents('reports are written whole into folders that are made, or fail naming the file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'devstack-report-'))
  try {
    const junit = createJunitReporter({ file: join(folder, 'a/b/junit.xml') })
    const trace = createTraceReporter({ file: join(folder, 'trace.json') })
    for (const event of successfulRun()) {
      junit.report(event)
      trace.report(event)
    }
    await junit.close?.()
    await trace.close?.()
    assert.match(await readFile(join(folder, 'a/b/junit.xml'), 'utf8'), /^<\?xml/)
    JSON.parse(await readFile(join(folder, 'trace.json'), 'utf8'))
    assert.equal((await readdir(folder)).sort(), ['a', 'trace.json'])
    const broken = createJunitReporter({ file: join(folder, 'trace.json/junit.xml') })
    try {
      await broken.close?.()
      assert.unreachable()
    } catch (thrown) {
      assert.match((thrown as Error).message, /The JUnit report could not be written to .*trace\.json\/junit\.xml/)
    }
  } finally {
    await rm(folder, { recursive: true })
  }
})

interface TraceEntry {
  readonly name: string
  readonly ph: string
  readonly ts: number
  readonly dur?: number
  readonly tid: number
}

function traceOf(events: readonly RunEvent[]): TraceEntry[] {
  const trace = createTrace()
  for (const event of events) trace.add(event)
  return JSON.parse(trace.format()).traceEvents
}

documents('trace: as many lanes as slots were in use, and nothing overlaps in a lane', () => {
  const entries = traceOf(manyNodes(40, 4))
  const tasks = entries.filter((entry) => entry.ph === 'X')
  assert.is(tasks.length, 40)
  assert.equal([...new Set(tasks.map((entry) => entry.tid))].sort(), [1, 2, 3, 4])
  for (const lane of [1, 2, 3, 4]) {
    const spans = tasks.filter((entry) => entry.tid === lane).sort((a, b) => a.ts - b.ts)
    for (let at = 1; at < spans.length; at += 1) assert.ok(spans[at - 1]!.ts + spans[at - 1]!.dur! <= spans[at]!.ts)
  }
})

documents('trace: gates, arrows and unfinished tasks are in it', () => {
  const entries = traceOf(successfulRun())
  const gate = entries.find((entry) => entry.name === 'etcd quorum')!
  const task = entries.find((entry) => entry.name === 'etcd1:start')!
  assert.is(gate.tid, task.tid)
  assert.ok(gate.ts >= task.ts && gate.ts + gate.dur! <= task.ts + task.dur!)
  assert.is(entries.filter((entry) => entry.ph === 's').length, entries.filter((entry) => entry.ph === 'f').length)
  assert.ok(entries.some((entry) => entry.ph === 's'))
  const script = new Script().start(['x'], [step('x')]).node('x', { type: 'node-started', attempt: 1 })
  const [open] = traceOf(script.wait(100).finish('cancelled', {}).events).filter((entry) => entry.ph === 'X')
  assert.is(open!.dur, 100_000)
})

const graphSteps = [
  step('image'),
  step('end', { needs: ['image'], service: true, description: 'a "quoted" <b>' }),
  step('we"ird\\name\n<x>', { needs: ['end', 'outside'] }),
]

documents('graph: Mermaid, DOT and JSON as text', () => {
  assert.is(
    formatGraph(graphSteps, 'mermaid'),
    `flowchart LR
  n0["image"]
  n1(["end"])
  n2["we#34;ird#92;name#10;#60;x#62;"]
  n0 --> n1
  n1 --> n2`,
  )
  assert.is(
    formatGraph(graphSteps, 'dot'),
    `digraph devstack {
  rankdir=LR;
  node [shape=box, fontname="sans-serif"];
  "image";
  "end" [style=rounded];
  "we\\"ird\\\\name\\n<x>";
  "image" -> "end";
  "end" -> "we\\"ird\\\\name\\n<x>";
}`,
  )
  const parsed = JSON.parse(formatGraph(graphSteps, 'json'))
  assert.equal(parsed.edges, [
    { from: 'image', to: 'end' },
    { from: 'end', to: 'we"ird\\name\n<x>' },
  ])
})

documents('graph: the SVG is well formed, self-contained, and no two boxes overlap', () => {
  const svg = formatGraph(graphSteps, 'svg')
  const { names, text } = readXml(svg.replace(/<style>.*<\/style>/, ''))
  assert.is(names.filter((name) => name === 'rect').length, 3)
  assert.ok(text.includes('we"ird\\name\n<x>'))
  assert.not.match(svg, /href|<script|@import|url\(h/)
  readXml(formatGraph([], 'svg').replace(/<style>.*<\/style>/, ''))
  fc.assert(
    fc.property(fc.array(fc.array(fc.nat(20), { maxLength: 4 }), { minLength: 1, maxLength: 20 }), (needs) => {
      // each node needs only earlier ones
      const steps = needs.map((list, at) =>
        step(`n${at}`, { needs: [...new Set(list.filter((need) => need < at))].map((need) => `n${need}`) }),
      )
      const boxes = [
        ...formatGraph(steps, 'svg').matchAll(/<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/g),
      ].map((match) => match.slice(1).map(Number))
      assert.is(boxes.length, steps.length)
      boxes.forEach(([x, y, width, height], index) => {
        for (const [otherX, otherY] of boxes.slice(index + 1))
          assert.ok(otherX! >= x! + width! || otherX! + 40 <= x! || otherY! >= y! + height! || otherY! + height! <= y!)
      })
    }),
    { numRuns: 50 },
  )
})

documents('graph: the picture does not depend on the order of the steps, and a cycle does not hang it', () => {
  const columnsOf = (svg: string) =>
    new Map([...svg.matchAll(/<rect x="([\d.]+)".*?<text[^>]*>([^<]*)</g)].map(([, x, name]) => [name, x]))
  const chain = ['a', 'b', 'c', 'd'].map((id, at, all) => step(id, { needs: all.slice(0, at) }))
  const forward = columnsOf(formatGraph(chain, 'svg'))
  assert.equal([...columnsOf(formatGraph(chain.toReversed(), 'svg'))].sort(), [...forward].sort())
  assert.is(new Set(forward.values()).size, 4)
  const cycle = [step('a', { needs: ['b'] }), step('b', { needs: ['a'] })]
  assert.is(columnsOf(formatGraph(cycle, 'svg')).size, 2)
})

documents('traceparent is the W3C form and reads back', () => {
  const trace = '0af7651916cd43dd8448eb211c80319c'
  const span = spanIdOf(trace, 'migrate')
  assert.match(span, /^[0-9a-f]{16}$/)
  assert.is(spanIdOf(trace, 'migrate'), span)
  assert.is.not(spanIdOf(trace, 'run'), spanIdOf(trace))
  assert.is(traceparent(trace, span), `00-${trace}-${span}-01`)
  assert.equal(parseTraceparent(traceparent(trace, span)), { traceId: trace, spanId: span })
  for (const wrong of [
    undefined,
    '',
    'x',
    `ff-${trace}-${span}-01`,
    `00-${'0'.repeat(32)}-${span}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
  ])
    assert.is(parseTraceparent(wrong), undefined)
})

documents('OpenTelemetry settings are the specified variables', () => {
  assert.is(otelTarget({}), undefined)
  assert.is(otelTarget({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318', OTEL_SDK_DISABLED: 'true' }), undefined)
  assert.is(otelTarget({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318', OTEL_TRACES_EXPORTER: 'none' }), undefined)
  assert.equal(
    otelTarget({
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318/',
      OTEL_EXPORTER_OTLP_HEADERS: 'Api-Key=a%3Db, x = y',
      OTEL_EXPORTER_OTLP_TIMEOUT: '250',
    }),
    { url: 'http://c:4318/v1/traces', headers: { 'api-key': 'a=b', x: 'y' }, timeoutMs: 250 },
  )
  assert.is(
    otelTarget({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://c/own', OTEL_EXPORTER_OTLP_ENDPOINT: 'http://d' })?.url,
    'http://c/own',
  )
  const told: string[] = []
  assert.is(
    otelTarget({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, (text) =>
      told.push(text),
    ),
    undefined,
  )
  assert.is(
    otelTarget({ OTEL_EXPORTER_OTLP_ENDPOINT: 'c:4317' }, (text) => told.push(text)),
    undefined,
  )
  assert.is(told.length, 2)
})

documents('OpenTelemetry: one span a task below the run, errors and links in it', () => {
  const view = viewOf(failedRun())
  const { traceId } = view.started!
  const parent = { TRACEPARENT: traceparent(traceId, '00f067aa0ba902b7') }
  const [body] = formatOtlp(view, { ...parent, OTEL_SERVICE_NAME: 'shop', OTEL_RESOURCE_ATTRIBUTES: 'team=a%20b' })
  const [resource] = JSON.parse(body!).resourceSpans
  assert.equal(resource.resource.attributes[0], { key: 'service.name', value: { stringValue: 'shop' } })
  assert.ok(JSON.stringify(resource.resource).includes('a b'))
  const spans = resource.scopeSpans[0].spans
  assert.equal(
    spans.map((span: { name: string }) => span.name),
    ['devstack run up', 'patroni2', 'migrate'],
  )
  assert.is(spans[0].parentSpanId, '00f067aa0ba902b7')
  assert.is(spans[1].parentSpanId, spans[0].spanId)
  assert.is(spans[1].startTimeUnixNano, `${epoch}000000`)
  assert.equal(spans[1].status, { code: 2, message: 'PostgreSQL leader elected did not hold within 60 s.' })
  assert.is(formatOtlp(viewOf(manyNodes(2500))).length, 3)
})

documents('OpenTelemetry: sent once the run is over; a receiver that is away or refuses is one warning', async () => {
  const requests: { url: string | undefined; key: unknown; type: unknown; body: string }[] = []
  let status = 200
  const server = createServer(async (request, response) => {
    const { url, headers } = request
    requests.push({ url, key: headers['api-key'], type: headers['content-type'], body: await readText(request) })
    response.writeHead(status).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const told: string[] = []
  const send = async (environment: Record<string, string>) => {
    const reporter = createOtelReporter({ environment, warn: (text) => told.push(text) })
    for (const event of successfulRun()) reporter?.report(event)
    await reporter?.close?.()
    return reporter
  }
  try {
    assert.is(await send({}), undefined)
    await send({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_HEADERS: 'api-key=k' })
    assert.is(requests.length, 1)
    const { body, ...head } = requests[0]!
    assert.equal(head, { url: '/v1/traces', key: 'k', type: 'application/json' })
    assert.is(JSON.parse(body).resourceSpans[0].scopeSpans[0].spans.length, 6)
    assert.equal(told, [])
    status = 403
    await send({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })
    assert.match(told[0]!, /could not be sent to http.*HTTP status 403/)
  } finally {
    await new Promise((resolve) => {
      server.close(resolve)
      server.closeAllConnections()
    })
  }
  await send({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })
  assert.is(told.length, 2)
  // refused, or closed where a connection was still kept
  assert.match(told[1]!, /could not be sent to http.*: fetch failed: ./)
})

documents.run()
