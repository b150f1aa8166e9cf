/** What must not compile: each line below a `@ts-expect-error` is an error, or `tsc --noEmit` itself reports one. */
import { after, defineConfig, type Gate, group, milliseconds, task, z } from 'devstack'

const image = task({ run: () => ({ tag: 'api:1' }) })
const count = task({ run: () => 7 })
const text: Gate<string> = { description: 'of a text', hold: async () => undefined }

export const missing = task({
  needs: { image },
  // @ts-expect-error a need that was not declared
  run: ({ needs }) => needs.database,
})

export const misspelt = task({
  needs: { image },
  // @ts-expect-error a misspelt need
  run: ({ needs }) => needs.imgae.tag,
})

export const wrongMember = task({
  needs: { image },
  // @ts-expect-error the value has no such member
  run: ({ needs }) => needs.image.digest,
})

export const wrongType = task({
  needs: { count },
  // @ts-expect-error a number is no text
  run: ({ needs }) => needs.count.toUpperCase(),
})

export const throughAfter = task({
  needs: { image: after(image, {}) },
  // @ts-expect-error the type flows through after(), too
  run: ({ needs }) => needs.image.digest,
})

// @ts-expect-error a gate of another value
export const wrongGate = after(count, { until: text })

const inner = task({ params: z.object({ to: z.string().optional() }), run: () => 1 })
// @ts-expect-error a param that the needed task does not have
export const wrongEdgeParam = after(inner, { params: { too: '0007' } })

// @ts-expect-error a task without params takes none
export const noEdgeParams = after(image, { params: { to: '0007' } })

export const unreleased = task({
  needs: { count: after(count, { optional: true }) },
  // @ts-expect-error there is no value when the need has failed
  run: ({ needs }) => needs.count.toFixed(),
})

const onWindows = task({ platforms: ['win32'], run: () => 7 })
export const elsewhere = task({
  needs: { onWindows },
  // @ts-expect-error there is no value on another platform
  run: ({ needs }) => needs.onWindows.toFixed(),
})

export const undeclaredVariable = task({
  env: { PORT: '8080' },
  // @ts-expect-error it may not be set
  run: ({ env }) => env['NOPE'].length,
})

// @ts-expect-error a need that is no task
export const noTask = task({ needs: { image: 'image' }, run: () => 1 })

declare const maybe: typeof image | undefined
// @ts-expect-error a need that may be undefined
export const undefinedNeed = task({ needs: { maybe }, run: () => 1 })

export const wrongParam = task({
  params: z.object({ to: z.string() }),
  // @ts-expect-error a param that was not declared
  run: ({ params }) => params.from,
})

export const wrongParamType = task({
  params: z.object({ keep: z.number() }),
  // @ts-expect-error a number is no text
  run: ({ params }) => params.keep.trim(),
})

// @ts-expect-error a value that the schema does not describe
export const wrongValue = task({ returns: z.object({ url: z.string() }), run: () => ({ url: 7 }) })

export const wrongUndo = task({
  run: () => ({ file: 'x' }),
  // @ts-expect-error undo gets what run returned
  undo: ({ value }) => value.path,
})

// @ts-expect-error an observed value of another type
export const wrongObserved = task({ run: () => 7, observe: () => ({ state: 'fresh', cause: 'x', value: 'seven' }) })

// @ts-expect-error a misspelt field
export const misspeltField = task({ descripton: 'x', run: () => 1 })

// @ts-expect-error no such effect
export const wrongEffect = task({ effect: 'delete', run: () => 1 })

// @ts-expect-error a duration needs a unit
export const wrongDuration = task({ timeout: '5', run: () => 1 })

// @ts-expect-error not everything is a duration
milliseconds({})

// @ts-expect-error no such setting
defineConfig({ taks: { image } })

// @ts-expect-error a function is no task
defineConfig({ tasks: { image: () => 1 } })

// @ts-expect-error a group takes tasks
group({ image: 7 })

export const frozen = task({
  needs: { image },
  run: ({ needs }) => {
    // @ts-expect-error values are read only
    needs.image = { tag: 'x' }
  },
})
