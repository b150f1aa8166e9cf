/** What a project is called. */
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { DevstackError } from '../errors.ts'
import { projectNamePattern } from './check.ts'

/** COMPOSE_PROJECT_NAME, as docker compose takes it; empty is none. */
export function namedByEnvironment(environment: Readonly<Record<string, string>>): string | undefined {
  const name = environment['COMPOSE_PROJECT_NAME']
  if (!name) return undefined
  if (projectNamePattern.test(name)) return name
  throw new DevstackError({
    kind: 'config',
    code: 'PROJECT_NAME_INVALID',
    message: `COMPOSE_PROJECT_NAME is "${name}", which can not be a project's name.`,
    hint: 'It begins with a letter or digit and holds a-z, 0-9, _ and - only.',
  })
}

/** `<folder>-<4 hex of its path>`: two checkouts of one repository never share containers. */
export function projectName(directory: string): string {
  const folder =
    basename(directory)
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-+|-+$/g, '') || 'project'
  return `${folder.slice(0, 24)}-${createHash('sha256').update(directory).digest('hex').slice(0, 4)}`
}
