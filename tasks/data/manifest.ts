/** What a backup says of itself. Written last, read first. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DevstackError, messageOf, z } from '../../lib/index.ts'

/** A name in the backup's own folder: no slash, not hidden. */
const fileName = z.string().regex(/^[A-Za-z0-9_%~-][A-Za-z0-9_%.~-]*$/)

const tableSchema = z.object({
  /** `public.courses`, quoted where SQL needs it. */
  name: z.string(),
  rows: z.number().int().nonnegative(),
  /** Sum of the 64-bit hashes of all rows as text: independent of their order. */
  checksum: z.string(),
})
export type TableContents = z.infer<typeof tableSchema>

const databaseSchema = z.object({
  name: z.string(),
  owner: z.string(),
  encoding: z.string(),
  collate: z.string(),
  ctype: z.string(),
  /** `ALTER DATABASE ... SET`, as `name=value`. */
  settings: z.array(z.string()),
  /** Who may do what with it, beside its owner. */
  privileges: z.array(
    z.object({ grantee: z.string(), privilege: z.enum(['CREATE', 'CONNECT', 'TEMPORARY']), grantable: z.boolean() }),
  ),
  /** Name of the dump in the backup's folder. */
  file: fileName,
  /** Bytes that it took in the cluster. */
  size: z.number().int().nonnegative(),
  tables: z.array(tableSchema),
})
export type DatabaseManifest = z.infer<typeof databaseSchema>

const fileSchema = z.object({
  bytes: z.number().int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
})
export type FileManifest = z.infer<typeof fileSchema>

const manifestSchema = z.object({
  format: z.literal(1),
  id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/),
  project: z.string(),
  /** ISO 8601. */
  createdAt: z.string(),
  /** `asked for`, `before restore` ... */
  reason: z.string(),
  devstack: z.string(),
  postgres: z.object({
    version: z.string(),
    image: z.string(),
    leader: z.string(),
    systemIdentifier: z.string(),
    /** Write-ahead log position of the state that is in the backup. */
    lsn: z.string(),
    timeline: z.number().int(),
    databases: z.array(databaseSchema),
  }),
  /** Absent in sanitized backups. */
  redis: z
    .object({
      version: z.string(),
      master: z.string(),
      image: z.string(),
      file: fileName,
      keys: z.number().int().nonnegative(),
      expiring: z.number().int().nonnegative(),
    })
    .optional(),
  /** By name in the folder. */
  files: z.record(fileName, fileSchema),
  /** Of a sanitized backup: what it was made from and by which rules. */
  sanitized: z.object({ source: z.string(), rules: z.string() }).optional(),
})
export type Manifest = z.infer<typeof manifestSchema>

export const manifestFile = 'manifest.json'

/** Reads and checks the manifest of a backup's folder. Throws BACKUP_UNREADABLE. */
export function readManifest(folder: string): Manifest {
  const file = join(folder, manifestFile)
  const bad = (why: string): DevstackError =>
    new DevstackError({
      kind: 'state',
      code: 'BACKUP_UNREADABLE',
      message: `The backup in ${folder} has no usable manifest: ${why}.`,
      hint: 'Choose another one: devstack run backup:list',
      place: { file },
    })
  if (!existsSync(file)) throw bad(`${manifestFile} is missing`)
  let content: unknown
  try {
    content = JSON.parse(readFileSync(file, 'utf8'))
  } catch (thrown) {
    throw bad(messageOf(thrown))
  }
  const parsed = manifestSchema.safeParse(content)
  if (!parsed.success) throw bad(z.prettifyError(parsed.error).replaceAll('\n', ' '))
  const { files, postgres, redis } = parsed.data
  const named = [...postgres.databases.map((database) => database.file), ...(redis ? [redis.file] : [])]
  const unlisted = named.find((name) => !Object.hasOwn(files, name))
  if (unlisted !== undefined) throw bad(`it names ${unlisted} without its size and SHA-256`)
  return parsed.data
}
