/** Images as nodes of the graph: built when their context changed, pulled when they are not there. */
import { z } from 'zod'
import { task } from '../config/define.ts'
import { lazySchema } from '../engine/schema.ts'
import type { Need, Needs, Task } from '../engine/task.ts'
import { contextFingerprint } from '../runtime/context.ts'
import type { BuildOptions, Image } from '../runtime/runtime.ts'
import { baseImages } from './dockerfile.ts'

/** Set on built images: fingerprint of the context together with the ids of the images it builds on. */
const sourcesLabel = 'devstack.sources'

/** The value of a task that provides an image. */
export interface BuiltImage {
  readonly id: string
  readonly tag: string
}
const builtImage = lazySchema(() => z.object({ id: z.string(), tag: z.string() }))

/** Gives the task that makes an image another one builds on; undefined when nobody here makes it. */
export type ImageMaker = (reference: string) => Need<BuiltImage> | undefined

export interface ImageTaskOptions {
  /** Who makes the images that this one builds on. */
  readonly maker?: ImageMaker
  /** What must be done first, for instance an engine be there. */
  readonly before?: Needs
  /** Built although nothing changed, none of its layers taken from an earlier build. */
  readonly afresh?: boolean
}

/** A task that builds an image, skipped while its context, arguments and base images are unchanged. */
export function imageTask(
  build: BuildOptions,
  { maker = () => undefined, before = {}, afresh = false }: ImageTaskOptions = {},
): Task<BuiltImage> {
  const tag = build.tags[0]!
  return task({
    description: `Build the image ${tag}`,
    label: `image ${tag}`,
    private: true,
    effect: 'create',
    returns: builtImage,
    needs: async () => {
      const bases = await baseImages(build)
      const makers = bases.flatMap((base) => {
        const need = maker(base)
        return need ? [[base, need] as const] : []
      })
      return { ...before, ...Object.fromEntries(makers) }
    },
    observe: async ({ runtime, needs, signal }) => {
      if (afresh) return { state: 'stale', cause: 'it is asked for afresh' }
      const image = await runtime.image(tag, { signal })
      if (!image) return { state: 'stale', cause: 'there is no such image' }
      if (image.labels[sourcesLabel] === (await fingerprintOf(build, needs))) {
        return { state: 'fresh', cause: 'its context is unchanged', value: { id: image.id, tag } }
      }
      return { state: 'stale', cause: 'its context, arguments or base image changed' }
    },
    run: async ({ runtime, needs, signal, log, progress }) => {
      const context = await fingerprintOf(build, needs)
      const image = await runtime.build({
        ...build,
        ...(afresh ? { noCache: true } : {}),
        labels: { ...build.labels, [sourcesLabel]: context },
        signal,
        onOutput: (line) => {
          const step = /^Step (\d+)\/(\d+)/.exec(line)
          if (step) progress({ done: Number(step[1]), total: Number(step[2]), unit: 'items', label: 'step' })
          log(line)
        },
      })
      return { id: image.id, tag }
    },
  })
}

function isBuilt(value: unknown): value is BuiltImage {
  return typeof value === 'object' && value !== null && 'tag' in value && 'id' in value
}

async function fingerprintOf(build: BuildOptions, bases: Readonly<Record<string, unknown>>): Promise<string> {
  const below = Object.values(bases).flatMap((base) => (isBuilt(base) ? [base.id] : []))
  return [await contextFingerprint(build), ...below].join(' ')
}

/** A task that pulls an image unless it is here. `policy`: as compose's `pull_policy`. */
export function pulledImage(
  reference: string,
  options: {
    readonly platform?: string
    readonly policy?: string
    readonly maker?: ImageMaker
    readonly before?: Needs
  } = {},
): Task<BuiltImage> {
  const made = options.maker?.(reference)
  const found = (image: Image): BuiltImage => ({ id: image.id, tag: reference })
  return task({
    description: `Get the image ${reference}`,
    label: `image ${reference}`,
    private: true,
    effect: 'create',
    returns: builtImage,
    needs: { ...options.before, ...(made ? { made } : {}) },
    observe: async ({ runtime, signal }) => {
      const image = await runtime.image(reference, { signal })
      if (!image) return { state: 'stale', cause: 'there is no such image' }
      if (options.policy === 'always') return { state: 'stale', cause: 'pull_policy is always' }
      return { state: 'fresh', cause: 'it is here', value: found(image) }
    },
    run: async ({ runtime, signal, progress }) => {
      const present = made ? await runtime.image(reference, { signal }) : undefined
      if (present) return found(present)
      const layers = new Map<string, { done: number; total: number }>()
      const image = await runtime.pull(reference, {
        ...(options.platform === undefined ? {} : { platform: options.platform }),
        signal,
        onProgress: ({ layer, done, total }) => {
          layers.set(layer, { done, total })
          const sums = [...layers.values()].reduce((sum, one) => ({
            done: sum.done + one.done,
            total: sum.total + one.total,
          }))
          progress({ ...sums, unit: 'bytes', label: 'pulled' })
        },
      })
      return found(image)
    },
  })
}
