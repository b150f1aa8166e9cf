/** `.env.local`: credentials, ports and the subnet of this checkout. Made once, mode 0600, never a shared default. */
import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import {
  type Ambient,
  DevstackError,
  messageOf,
  type Needs,
  numberOf,
  type Project,
  type Task,
  task,
} from '../../lib/index.ts'
import { historyFile } from './history.ts'

/** What the stack needs to know about a checkout. */
export const secretNames = [
  'POSTGRES_PASSWORD',
  'REPLICATION_PASSWORD',
  'PATRONI_PASSWORD',
  'APP_PASSWORD',
  'REDIS_PASSWORD',
] as const

/** Published ports with the numbers they get unless somebody listens there. */
export const portNames: Readonly<Record<string, number>> = {
  ETCD1_PORT: 12379,
  ETCD2_PORT: 12380,
  ETCD3_PORT: 12381,
  POSTGRES1_PORT: 15432,
  POSTGRES2_PORT: 15433,
  POSTGRES3_PORT: 15434,
  PATRONI1_PORT: 18008,
  PATRONI2_PORT: 18009,
  PATRONI3_PORT: 18010,
  REDIS1_PORT: 16379,
  REDIS2_PORT: 16380,
  REDIS3_PORT: 16381,
  SENTINEL1_PORT: 26379,
  SENTINEL2_PORT: 26380,
  SENTINEL3_PORT: 26381,
  BACKEND_PORT: 8080,
  FRONTEND_PORT: 3000,
  BACKEND_DEBUG_PORT: 9229,
  FRONTEND_DEBUG_PORT: 9230,
}

/** Blocks of ports are this far apart. */
const blockStep = 50
const blocks = 60
const fileName = '.env.local'

export interface CheckoutEnvironment {
  /** Every variable the stack needs, written already or not. */
  readonly variables: Readonly<Record<string, string>>
  /** Those that are not written yet. */
  readonly pending: Readonly<Record<string, string>>
  readonly file: string
}

const made = new Map<string, Promise<CheckoutEnvironment>>()

/**
 * The variables of a checkout. What is in neither the environment nor `.env.local` is made up here, in memory: planning
 * writes nothing. One answer a process, so that what is written later is what was planned with.
 */
export function checkoutEnvironment(
  directory: string,
  environment: Readonly<Record<string, string>>,
  project: string,
): Promise<CheckoutEnvironment> {
  const file = join(directory, fileName)
  let found = made.get(file)
  if (!found) {
    found = makeEnvironment(file, environment, project)
    made.set(file, found)
  }
  return found
}

async function makeEnvironment(
  file: string,
  environment: Readonly<Record<string, string>>,
  project: string,
): Promise<CheckoutEnvironment> {
  const known = { ...readFile(file), ...environment }
  const pending: Record<string, string> = {}
  for (const name of secretNames) if (!known[name]) pending[name] = randomBytes(18).toString('base64url')
  if (!known['DEVSTACK_SUBNET_PREFIX']) {
    // 10.64.0 to 10.127.255: rarely used by companies' own networks, and outside Docker's default pools
    const number = numberOf(project, 64 * 256)
    pending['DEVSTACK_SUBNET_PREFIX'] = `10.${64 + (number >> 8)}.${number & 255}`
  }
  const missing = Object.keys(portNames).filter((name) => !known[name])
  if (missing.length > 0) {
    const first = Object.keys(portNames).find((name) => known[name])
    // ports that a newer version names join the block of the others
    const offset =
      first === undefined ? await freeOffset(project) : Math.max(0, Number(known[first]) - portNames[first]!) || 0
    for (const name of missing) pending[name] = String(portNames[name]! + offset)
  }
  return { variables: { ...pending, ...known }, pending, file }
}

/**
 * A block in which nobody listens: the documented numbers when they are free, else the next free one from where the
 * project's name points, since checkouts that look at the same time must not find the same.
 */
async function freeOffset(project: string): Promise<number> {
  const begin = numberOf(project, blocks)
  for (let tried = 0; tried <= blocks; tried += 1) {
    const offset = tried === 0 ? 0 : blockStep * ((begin + tried) % blocks)
    const free = await Promise.all(Object.values(portNames).map((port) => isFree(port + offset)))
    if (free.every(Boolean)) return offset
  }
  return 0
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)))
  })
}

function readFile(file: string): Record<string, string> {
  if (!existsSync(file)) return {}
  try {
    return parseEnv(readFileSync(file, 'utf8')) as Record<string, string>
  } catch (thrown) {
    throw new DevstackError({
      kind: 'config',
      code: 'ENV_FILE_UNREADABLE',
      message: `${file} can not be read: ${messageOf(thrown)}`,
      hint: `Check who owns it and its mode: ls -l ${file}`,
      cause: thrown,
    })
  }
}

const takenBack = 'was gone; its passwords and ports are taken back from the running containers.'

/** Those of `pending` that running containers know. Throws ENV_FILE_LOST when new ones would not open what is there. */
async function recoverPending(
  { file, pending }: CheckoutEnvironment,
  context: Pick<Ambient, 'runtime' | 'project'> & { readonly signal: AbortSignal },
): Promise<Readonly<Record<string, string>> | undefined> {
  const missing = secretNames.filter((name) => pending[name] !== undefined)
  if (missing.length === 0) return undefined
  const { recoverVariables } = await import('./lost-environment.ts')
  const found = await recoverVariables(file, missing, context)
  return found && Object.fromEntries(Object.entries(found).filter(([name]) => pending[name] !== undefined))
}

/** Whether the stack was seen from this checkout before, and its file is gone now. Every command asks. */
export function isEnvironmentLost({ directory, stateDirectory }: Project): boolean {
  return !existsSync(join(directory, fileName)) && existsSync(historyFile({ stateDirectory }))
}

/**
 * Writes a lost file again from what the running containers know, and says so. Nothing where they do not tell, or no
 * engine answers: whoever needs new passwords looks again, and refuses.
 */
export async function takeBackEnvironment(
  context: Pick<Ambient, 'runtime' | 'project'> & { note(text: string): void; readonly signal: AbortSignal },
): Promise<void> {
  const { project, note } = context
  // a run that is planned goes on with what it was planned with: its own first step looks
  if (made.has(join(project.directory, fileName))) return
  const found = await checkoutEnvironment(project.directory, project.environment, project.name)
  const recovered = await recoverPending(found, context).catch(() => undefined)
  // another look may find the containers running
  made.clear()
  if (!recovered) return
  writeVariables(found.file, recovered)
  note(`${fileName} ${takenBack}`)
}

/**
 * The task that writes `.env.local`, for whoever needs the stack's variables. It asks the engine before it makes new passwords,
 * so `needs` has what brings one along.
 */
export function environmentTask(
  place: {
    directory: string
    environment: Readonly<Record<string, string>>
    project: string
  },
  needs: Needs = {},
): Task<undefined> {
  const read = (): Promise<CheckoutEnvironment> =>
    checkoutEnvironment(place.directory, place.environment, place.project)
  return task({
    description: `Create ${fileName} with credentials of this checkout`,
    label: 'environment',
    private: true,
    needs,
    effect: 'create',
    observe: async (context) => {
      const { secret } = context
      const { pending, variables, file } = await read()
      for (const name of secretNames) secret(variables[name]!)
      const names = Object.keys(pending)
      if (names.length === 0) return { state: 'fresh', cause: `${fileName} has everything`, value: undefined }
      const cause = existsSync(file) ? `${fileName} has no ${names[0]}` : `there is no ${fileName}`
      const missing = secretNames.filter((name) => pending[name] !== undefined)
      const { mayRecover } = await import('./lost-environment.ts')
      const told = missing.length > 0 && (await mayRecover(file, missing, context))
      return { state: 'stale', cause: told ? `${cause}: the running containers tell what was in it` : cause }
    },
    run: async (context) => {
      const found = await read()
      const { pending, file } = found
      const recovered = await recoverPending(found, context)
      writeVariables(file, recovered ?? pending)
      if (recovered) {
        // this run was planned with others
        throw new DevstackError({
          kind: 'state',
          code: 'ENV_FILE_TAKEN_BACK',
          message: `${file} ${takenBack}`,
          hint: 'Nothing else was changed. Run the command again.',
        })
      }
      const { log } = context
      log(`wrote ${Object.keys(pending).length} variables to ${fileName}`)
    },
  })
}

/** Adds the variables to the file, whole or not at all. Throws ENV_FILE_CHANGED, ENV_FILE_UNWRITABLE. */
function writeVariables(file: string, pending: Readonly<Record<string, string>>): void {
  const before = existsSync(file)
    ? readFileSync(file, 'utf8')
    : '# Made by devstack for this checkout alone. Keep it out of version control.\n'
  const clash = Object.keys(pending).find((name) => parseEnv(before)[name] !== undefined)
  if (clash !== undefined) {
    throw new DevstackError({
      kind: 'state',
      code: 'ENV_FILE_CHANGED',
      message: `${file} got ${clash} from somebody else meanwhile.`,
      hint: 'Run the command again: it takes what is there now.',
    })
  }
  const lines = Object.entries(pending).map(([name, value]) => `${name}=${value}\n`)
  const draft = `${file}.${process.pid}.tmp`
  try {
    writeFileSync(draft, `${before}${before.endsWith('\n') ? '' : '\n'}${lines.join('')}`, { mode: 0o600 })
    chmodSync(draft, 0o600)
    renameSync(draft, file)
  } catch (thrown) {
    throw new DevstackError({
      kind: 'state',
      code: 'ENV_FILE_UNWRITABLE',
      message: `${file} can not be written: ${messageOf(thrown)}`,
      hint: 'Make the folder writable, or make room on the disk.',
      cause: thrown,
    })
  }
  // the next look is at what is written now
  made.clear()
}
