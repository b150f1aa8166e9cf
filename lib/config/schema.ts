/** The shape of a config as read from a file, checked with zod. */
import { z } from 'zod'
import { parseDuration } from '../engine/task.ts'
import { projectNamePattern } from './check.ts'

const duration = z
  .union([z.number().nonnegative(), z.string()], 'must be a duration such as 250ms, 30s, 5m or 1h')
  .refine((value) => parseDuration(value) !== undefined, 'must be a duration such as 250ms, 30s, 5m or 1h')
  .meta({ description: 'milliseconds, or a number with a unit: 250ms, 30s, 5m, 1h' })

const strings = z.array(z.string())
const lock = z.union(
  [z.string().min(1), z.strictObject({ name: z.string().min(1), size: z.int().positive() })],
  'must be a name, or { name, size } with a size from 1',
)
const retry = z.union(
  [
    z.int().nonnegative(),
    z.strictObject({
      attempts: z.int().nonnegative(),
      delay: duration.optional(),
      maxDelay: duration.optional(),
      factor: z.number().positive().optional(),
      jitter: z.boolean().optional(),
    }),
  ],
  'must be the number of further tries, or { attempts, delay, maxDelay, factor, jitter }',
)

/** A task of a YAML or JSON config: its command is text for `/bin/sh`, or a list of words that no shell touches. */
export const plainTaskSchema = z
  .strictObject({
    description: z.string().optional(),
    needs: z
      .union([strings, z.record(z.string(), z.string())], 'must be a list of names of tasks, or names by key')
      .optional(),
    run: z
      .union([z.string().min(1), z.array(z.string()).min(1)], 'must be a command as text or a list of words')
      .optional(),
    cwd: z.string().optional(),
    env: z
      .record(
        z.string(),
        z.union([z.string(), z.number(), z.boolean()], 'must be text, a number or a boolean').transform(String),
      )
      .optional(),
    envFiles: strings.optional(),
    passEnv: strings.optional(),
    inputs: strings.optional(),
    outputs: strings.optional(),
    cache: z.boolean().optional(),
    timeout: duration.optional(),
    retry: retry.optional(),
    locks: z.array(lock).optional(),
    weight: z.int().nonnegative().optional(),
    effect: z.enum(['read', 'create', 'change', 'destroy']).optional(),
    confirm: z.string().min(1).optional(),
    aliases: strings.optional(),
    private: z.boolean().optional(),
    platforms: strings.optional(),
    interactive: z.boolean().optional(),
  })
  .meta({ description: 'One task' })
export type PlainTask = z.infer<typeof plainTaskSchema>

const settings = {
  name: z.string().regex(projectNamePattern, 'must be lower-case letters, digits, "-" or "_"').optional(),
  include: z.record(z.string(), z.string()).optional(),
  envFiles: strings.optional(),
  secrets: strings.optional(),
  concurrency: z.int().positive().optional(),
  cancel: z
    .strictObject({ interrupt: duration.optional(), terminate: duration.optional(), abandon: duration.optional() })
    .optional(),
  cacheBytes: z.int().positive().optional(),
}

/** A YAML or JSON config. */
export const plainConfigSchema = z.strictObject({
  $schema: z.string().optional(),
  ...settings,
  tasks: z.record(z.string(), plainTaskSchema).optional(),
  /** Compose files whose services become tasks. */
  compose: z.union([z.string(), strings], 'must be a file or a list of files').optional(),
})
export type PlainConfig = z.infer<typeof plainConfigSchema>
