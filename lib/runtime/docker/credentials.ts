/** Logins to registries as the docker client keeps them: `auths`, `credHelpers` and `credsStore` of config.json. */
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import type { ConnectOptions } from './discover.ts'

export interface Login {
  readonly username?: string
  readonly password?: string
  readonly identitytoken?: string
  readonly serveraddress: string
}

const configSchema = z.looseObject({
  auths: z
    .record(z.string(), z.looseObject({ auth: z.string().optional(), identitytoken: z.string().optional() }))
    .optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
})

const dockerHub = 'https://index.docker.io/v1/'

/** The registry of a reference, as config.json names it. Source: the reference grammar of github.com/distribution/reference. */
export function registryOf(reference: string): string {
  const [first = '', ...rest] = reference.split('/')
  const isHost = rest.length > 0 && (first.includes('.') || first.includes(':') || first === 'localhost')
  return !isHost || first === 'docker.io' || first === 'index.docker.io' ? dockerHub : first
}

/** The login for an image's registry; an empty object when there is none. A broken config or helper counts as none. */
export async function registryLogin(
  reference: string,
  options: ConnectOptions & { readonly signal?: AbortSignal | undefined },
): Promise<Partial<Login>> {
  const registry = registryOf(reference)
  const { environment } = options
  const home = options.home ?? environment['HOME'] ?? homedir()
  const file = join(environment['DOCKER_CONFIG'] || join(home, '.docker'), 'config.json')
  const config = await readFile(file, 'utf8')
    .then((text) => configSchema.parse(JSON.parse(text)))
    .catch(() => undefined)
  if (!config) return {}
  const helper = config.credHelpers?.[registry] ?? config.credsStore
  if (helper !== undefined && /^[\w.-]+$/.test(helper)) {
    const kept = await askHelper(helper, registry, options).catch(() => undefined)
    if (kept) return kept
  }
  const entry = config.auths?.[registry] ?? config.auths?.[`https://${registry}`]
  if (!entry) return {}
  if (entry.identitytoken) return { identitytoken: entry.identitytoken, serveraddress: registry }
  const [username, ...password] = Buffer.from(entry.auth ?? '', 'base64')
    .toString('utf8')
    .split(':')
  return username ? { username, password: password.join(':'), serveraddress: registry } : {}
}

const helperAnswer = z.object({ Username: z.string(), Secret: z.string() })

/** Protocol: github.com/docker/docker-credential-helpers: the registry on stdin, JSON on stdout. */
async function askHelper(
  helper: string,
  registry: string,
  options: ConnectOptions & { readonly signal?: AbortSignal | undefined },
): Promise<Login> {
  const { environment, signal } = options
  const child = spawn(`docker-credential-${helper}`, ['get'], {
    env: environment as NodeJS.ProcessEnv,
    stdio: ['pipe', 'pipe', 'ignore'],
    timeout: 10_000,
    ...(signal && { signal }),
  })
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`exit code ${code}`))))
  })
  child.stdin.on('error', () => undefined)
  child.stdin.end(registry)
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8')
  })
  await ended
  const { Username, Secret } = helperAnswer.parse(JSON.parse(text))
  return Username === '<token>'
    ? { identitytoken: Secret, serveraddress: registry }
    : { username: Username, password: Secret, serveraddress: registry }
}
