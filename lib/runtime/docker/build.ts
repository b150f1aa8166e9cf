/** Building images with the engine's own (classic) builder, which every engine here has. */
import type { Readable } from 'node:stream'
import { DevstackError } from '../../errors.ts'
import { fingerprintOf, packContext, readContext } from '../context.ts'
import { type BuildOptions, type Image, labels, type Runtime } from '../runtime.ts'
import { failure, wordsOf } from './failures.ts'
import type { Session } from './session.ts'
import { jsonMessages } from './streams.ts'

/** `build` on an engine. `image` looks up what was built. */
export function buildCalls(session: Session, image: Runtime['image']): Pick<Runtime, 'build'> {
  return { build: (options) => build(session, options, image) }
}

/** A step of a build as the engine announced it, and what it printed. */
export interface BuildStep {
  readonly title: string
  readonly output: readonly string[]
}

async function build(session: Session, options: BuildOptions, image: Runtime['image']): Promise<Image> {
  const { signal, onOutput } = options
  const [tag] = options.tags
  const doing = {
    what: `Building image "${tag ?? options.context}"`,
    thing: 'image',
    ...(tag && { name: tag }),
  } as const
  signal?.throwIfAborted()
  const context = await readContext(options)
  const fingerprint = await fingerprintOf(context, options)
  const docker = await session.transport.docker()
  const tar = await packContext(context)
  const steps = stepCollector()
  let id: string | undefined
  try {
    const stream = (await docker.buildImage(tar, {
      ...query(options),
      dockerfile: context.dockerfile,
      labels: JSON.stringify({ ...options.labels, [labels.context]: fingerprint }),
      ...(signal && { abortSignal: signal }),
    } as object as Parameters<typeof docker.buildImage>[1])) as Readable
    const lines = lineBuffer((line) => {
      steps.line(line)
      onOutput?.(line)
    })
    for await (const message of jsonMessages(stream)) {
      if (typeof message['stream'] === 'string') lines.push(message['stream'])
      else if (typeof message['status'] === 'string')
        lines.push(`${[message['id'], message['status']].filter(Boolean).join(': ')}\n`)
      const aux = message['aux'] as { ID?: unknown } | undefined
      if (typeof aux?.ID === 'string') id = aux.ID
      if (typeof message['error'] === 'string') {
        lines.end()
        throw buildFailure(tag ?? options.context, message['error'], steps.last())
      }
    }
    lines.end()
  } catch (error) {
    const told = failure(error, doing, signal)
    throw told instanceof DevstackError && told.code === 'RUNTIME_REFUSED'
      ? refusedBuild(tag ?? options.context, told)
      : told
  } finally {
    tar.destroy()
  }
  const built = await image(id ?? tag ?? '', signal && { signal })
  if (built) return built
  throw buildFailure(tag ?? options.context, 'the engine ended without an image', steps.last())
}

function query(options: BuildOptions): Readonly<Record<string, unknown>> {
  const { args, tags, target, platform, network, noCache, pull, extraHosts } = options
  return {
    // An array becomes one `t` each.
    ...(tags.length > 0 && { t: tags }),
    ...(args && { buildargs: JSON.stringify(args) }),
    ...(target !== undefined && { target }),
    ...(platform !== undefined && { platform }),
    ...(network !== undefined && { networkmode: network }),
    ...(noCache && { nocache: true }),
    ...(pull && { pull: 'true' }),
    ...(extraHosts && extraHosts.length > 0 && { extrahosts: extraHosts.join(',') }),
    rm: true,
    forcerm: true,
  }
}

/** Cuts text that comes in pieces into lines. */
function lineBuffer(line: (text: string) => void): { push(text: string): void; end(): void } {
  let open = ''
  return {
    push(text) {
      open += text
      const parts = open.split('\n')
      open = parts.pop() ?? ''
      for (const part of parts) line(part.replace(/\r$/, ''))
    },
    end() {
      if (open !== '') line(open)
      open = ''
    },
  }
}

/** How much of a failing step's output is kept. */
const keptLines = 60

/** Remembers the step that is under way. Titles: `Step 3/9 : RUN make` (Docker), `STEP 3/9: RUN make` (Podman). */
export function stepCollector(): { line(text: string): void; last(): BuildStep | undefined } {
  let title: string | undefined
  let output: string[] = []
  return {
    line(text) {
      const step = /^step (\d+(?:\/\d+)?) ?: (.*)$/i.exec(plain(text))
      if (step) {
        title = `step ${step[1]}: ${step[2]}`
        output = []
      } else if (title !== undefined && text.trim() !== '' && !/^ ---> |^Removing intermediate container /.test(text)) {
        output.push(plain(text))
        if (output.length > keptLines) output.shift()
      }
    },
    last: () => (title === undefined ? undefined : { title, output }),
  }
}

const plain = (text: string): string => text.replace(/\u001b\[[0-9;]*[A-Za-z]/g, '')

function buildFailure(name: string, said: string, step: BuildStep | undefined): DevstackError {
  const full =
    /no space left on device/i.test(said) ||
    (step?.output.some((line) => /no space left on device/i.test(line)) ?? false)
  if (full)
    return new DevstackError({
      kind: 'runtime',
      code: 'RUNTIME_DISK_FULL',
      message: `Building image "${name}": the engine's disk is full${step ? ` at ${step.title}` : ''}.`,
      hint: 'See what uses it with `docker system df`, free some with `docker system prune`, then run again.',
      details: step?.output ?? [],
    })
  return new DevstackError({
    kind: 'runtime',
    code: 'RUNTIME_BUILD_FAILED',
    message: step
      ? `Image "${name}" does not build: it fails at ${step.title}.`
      : `Image "${name}" does not build: ${said.trim()}.`,
    hint: 'Mend that step of the Dockerfile, then run again; the steps before it are cached.',
    details: step ? [...step.output, said.trim()] : [said.trim()],
  })
}

/** A Dockerfile that cannot be read is refused before the first step. */
function refusedBuild(name: string, told: DevstackError): DevstackError {
  const said = wordsOf(told) ?? told.message
  return buildFailure(name, said.replace(/^\(HTTP code \d+\) .*? - /s, ''), undefined)
}
