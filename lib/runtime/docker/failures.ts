/** What engines say when they refuse, as errors with stable codes. The texts are those of moby 20.10-28 and Podman 4-5. */
import { DevstackError, messageOf } from '../../errors.ts'

/** What was being done, and to what. */
export interface Doing {
  /** As a clause: `Starting container "web"`. */
  readonly what: string
  readonly thing?: 'container' | 'image' | 'network' | 'volume' | 'exec'
  /** Its name or id. */
  readonly name?: string
}

/** An engine's refusal: HTTP status and its message. */
export interface Refusal {
  readonly status: number
  readonly message: string
}

interface Rule {
  readonly code: string
  readonly when: RegExp
  readonly status?: number
  readonly thing?: Doing['thing']
  readonly message: (doing: Doing, said: string) => string
  readonly hint: string | ((doing: Doing) => string)
}

const named = (doing: Doing): string => (doing.name === undefined ? '' : ` "${doing.name}"`)

const rules: readonly Rule[] = [
  {
    code: 'RUNTIME_DISK_FULL',
    when: /no space left on device|disk quota exceeded/i,
    message: (doing) => `${doing.what}: the engine's disk is full.`,
    hint: 'See what uses it with `docker system df`, free some with `docker system prune`, then run again.',
  },
  {
    code: 'RUNTIME_PORT_IN_USE',
    when: /port is already allocated|bind: address already in use|listen \w+ .*address already in use|ports are not available/i,
    message: (doing, said) => {
      const port = portOf(said)
      return `${doing.what}: port ${port ?? '(unnamed)'} is already in use.`
    },
    hint: 'Free the port, or publish another port.',
  },
  {
    code: 'RUNTIME_IMAGE_MISSING',
    when: /no such image|image not known|unable to find .*image|not found: does not exist or no pull access/i,
    message: (doing, said) => `${doing.what}: there is no image ${quoted(said) ?? named(doing).trim()} here.`,
    hint: 'Build or pull it first.',
  },
  {
    code: 'RUNTIME_NAME_TAKEN',
    when: /is already in use by container|name .* is already in use|that name is already in use/i,
    message: (doing) => `${doing.what}: the name${named(doing)} is taken by another container.`,
    hint: (doing) =>
      `Look at it with \`docker inspect ${doing.name ?? 'NAME'}\`; remove it, or choose another project name.`,
  },
  {
    code: 'RUNTIME_SUBNET_TAKEN',
    when: /pool overlaps|subnet .* (overlaps|is already used|already being used)|invalid pool request/i,
    message: (doing) => `${doing.what}: its subnet overlaps one that is in use.`,
    hint: 'Remove the other network, or choose another subnet.',
  },
  {
    code: 'RUNTIME_NETWORK_IN_USE',
    when: /has active endpoints|network is being used|has associated containers/i,
    message: (doing, said) => `${doing.what}: containers are still connected to it (${said}).`,
    hint: 'Remove those containers first.',
  },
  {
    code: 'RUNTIME_VOLUME_IN_USE',
    when: /volume is (in use|being used)/i,
    message: (doing, said) => `${doing.what}: a container still uses it (${said}).`,
    hint: 'Remove that container first.',
  },
  {
    code: 'RUNTIME_MOUNT_MISSING',
    when: /bind source path does not exist|statfs .*no such file or directory|error mounting|lstat .*no such file/i,
    message: (doing, said) => `${doing.what}: a mount is impossible: ${said}.`,
    hint: 'Create the folder or file on the host, or mend the path in the compose file.',
  },
  {
    code: 'RUNTIME_COMMAND_MISSING',
    when: /executable file (`.*` )?not found|exec: ".*": (stat|permission denied|no such)|no such file or directory: unknown|exec format error/i,
    message: (doing, said) => `${doing.what}: its command cannot be run: ${lastClause(said)}.`,
    hint: 'Is the command in the image, executable, and made for this architecture?',
  },
  {
    code: 'RUNTIME_INIT_MISSING',
    when: /container-init binary not found/i,
    message: (doing) => `${doing.what}: it asks for an init process (\`init: true\`), and Podman has none to give.`,
    hint: 'Install it (on Debian and Ubuntu: apt-get install catatonit), or leave `init` out.',
  },
  {
    code: 'RUNTIME_PAUSED',
    when: /is paused|cannot exec in a paused|container state improper.*paused/i,
    message: (doing) => `${doing.what}: the container is paused.`,
    hint: 'Resume it first.',
  },
  {
    code: 'RUNTIME_NOT_RUNNING',
    when: /is not running|can only (create exec sessions|kill|pause) running|container state improper|is restarting, wait/i,
    message: (doing) => `${doing.what}: the container is not running.`,
    hint: (doing) => `See why with \`docker logs ${doing.name ?? 'NAME'}\`.`,
  },
  {
    code: 'RUNTIME_ADDRESS_TAKEN',
    when: /address already in use|requested ip address .* (already|in use)|ipam error: requested ip/i,
    message: (doing, said) => `${doing.what}: ${said}.`,
    hint: 'Another container holds that address; choose another, or remove it.',
  },
  {
    code: 'RUNTIME_NO_SUCH_NETWORK',
    when: /network .*not found|unable to find network|no such network/i,
    message: (doing, said) => `${doing.what}: there is no network ${quoted(said) ?? ''} (${said}).`,
    hint: 'Create the network first.',
  },
]

/**
 * Whatever a call threw, as an error of ours. An aborted signal's reason is thrown on as it is; a broken connection is
 * RUNTIME_GONE; a refusal gets its code from what the engine said.
 */
export function failure(thrown: unknown, doing: Doing, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason
  if (thrown instanceof DevstackError) return thrown
  const refusal = asRefusal(thrown)
  if (refusal) return refused(refusal, doing)
  if (isConnectionLoss(thrown))
    return new DevstackError({
      kind: 'runtime',
      code: 'RUNTIME_GONE',
      message: `${doing.what}: the container engine went away (${messageOf(thrown)}).`,
      hint: 'Start it again (`systemctl start docker`, or `devstack run setup`), then run the same command: it goes on from there.',
      cause: thrown,
    })
  return new DevstackError({
    kind: 'runtime',
    code: 'RUNTIME_FAILED',
    message: `${doing.what}: ${messageOf(thrown)}.`,
    cause: thrown,
  })
}

/** An engine's refusal as an error of ours. */
export function refused(refusal: Refusal, doing: Doing): DevstackError {
  const said = refusal.message.trim().replace(/\.$/, '')
  const rule = rules.find(({ when }) => when.test(said))
  if (rule)
    return new DevstackError({
      kind: 'runtime',
      code: rule.code,
      message: rule.message(doing, said),
      hint: typeof rule.hint === 'string' ? rule.hint : rule.hint(doing),
      cause: refusal,
    })
  if (refusal.status === 404)
    return new DevstackError({
      kind: 'runtime',
      code: 'RUNTIME_NOT_FOUND',
      message: `${doing.what}: there is no ${doing.thing ?? 'such thing'}${named(doing)}${said ? ` (${said})` : ''}.`,
      hint: 'It may have been removed meanwhile; run again.',
      cause: refusal,
    })
  return new DevstackError({
    kind: 'runtime',
    code: 'RUNTIME_REFUSED',
    message: `${doing.what}: the engine refused (${refusal.status}): ${said || 'it gave no reason'}.`,
    cause: refusal,
  })
}

/** What the engine itself said of a call that failed; undefined when it said nothing. */
export function wordsOf(error: unknown): string | undefined {
  const { cause } = error as { readonly cause?: unknown }
  return typeof cause === 'object' && cause !== null && 'message' in cause ? String(cause.message) : undefined
}

/**
 * The host port that a "port in use" text names: `Bind for 127.0.0.1:80 failed: port is already allocated`,
 * `listen tcp4 127.0.0.1:80: bind: address already in use`.
 */
export function portOf(said: string): number | undefined {
  const match = /:(\d{1,5}): bind/.exec(said) ?? /:(\d{1,5}) failed/.exec(said) ?? /\bport (\d{1,5})\b/.exec(said)
  return match ? Number(match[1]) : undefined
}

function asRefusal(thrown: unknown): Refusal | undefined {
  if (typeof thrown !== 'object' || thrown === null) return undefined
  if ('status' in thrown && 'message' in thrown && typeof thrown.status === 'number')
    return { status: thrown.status, message: String(thrown.message) }
  // dockerode's own errors: `(HTTP code 404) no such image - the text `.
  if ('statusCode' in thrown && typeof thrown.statusCode === 'number')
    return {
      status: thrown.statusCode,
      message: messageOf(thrown)
        .replace(/^\(HTTP code \d+\) .*? - /s, '')
        .trim(),
    }
  return undefined
}

const lossCodes = new Set(['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ENOENT', 'ENOTFOUND', 'EHOSTUNREACH', 'ETIMEDOUT'])

/** The connection broke or could not be made. */
function isConnectionLoss(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false
  const { code } = thrown as NodeJS.ErrnoException
  if (code !== undefined && lossCodes.has(code)) return true
  return /socket hang up|premature close|aborted|other side closed/i.test(thrown.message)
}

const quoted = (said: string): string | undefined => {
  const name = /(?:no such image|unable to find (?:a matching )?image|network)[: ]+"?([^\s"]+)"?/i.exec(said)?.[1]
  return name === undefined ? undefined : `"${name.replace(/:$/, '')}"`
}

const lastClause = (said: string): string =>
  /exec: .*$/m.exec(said)?.[0].replace(/: (unknown|OCI runtime .*)$/, '') ?? said
