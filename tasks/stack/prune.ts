/** `prune`: images that rebuilding left behind. */
import { type Ambient, formatBytes, type Image, labels, type Task, task } from '../../lib/index.ts'

type Around = Ambient & { readonly signal: AbortSignal }

/** The task: images that devstack built, that have lost their name to a newer one, and that no container is made from. */
export function pruneTask(): Task<undefined> {
  const find = async ({ runtime, signal }: Around): Promise<readonly Image[]> => {
    const [images, containers] = await Promise.all([
      runtime.images({ [labels.context]: undefined }, { signal }),
      runtime.containers({}, { signal }),
    ])
    return findReplaced(images, new Set(containers.map(({ imageId }) => imageId)))
  }
  return task({
    description: 'Remove images that newer builds replaced',
    effect: 'destroy',
    destroys: async (context) =>
      (await find(context)).map(
        ({ id, sizeBytes }) => `image ${id.replace(/^sha256:/, '').slice(0, 12)}, ${formatBytes(sizeBytes)}`,
      ),
    run: async (context) => {
      const { runtime, signal, log } = context
      const images = await find(context)
      let bytes = 0
      for (const { id, sizeBytes } of images) {
        await runtime.removeImage(id, { signal })
        bytes += sizeBytes
      }
      log(
        images.length === 0
          ? 'nothing to remove'
          : `removed ${images.length} images of ${formatBytes(bytes)}, less what others share with them`,
      )
    },
  })
}

/**
 * The images that certainly were replaced, of those that devstack built. A stage of a build has no name either; it carries
 * the label of the image that it builds on, and is younger than that one.
 */
export function findReplaced(images: readonly Image[], used: ReadonlySet<string>): readonly Image[] {
  const current = images.filter(({ tags }) => !nameless(tags))
  const isStage = (image: Image): boolean =>
    current.some(
      (base) => base.labels[labels.context] === image.labels[labels.context] && base.createdAt <= image.createdAt,
    )
  return images.filter((image) => nameless(image.tags) && !used.has(image.id) && !isStage(image))
}

/** Engines list a lost name as none, or as `<none>:<none>`. */
function nameless(tags: readonly string[]): boolean {
  return tags.every((tag) => tag.startsWith('<none>'))
}
