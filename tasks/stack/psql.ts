/** `psql`: on the leader, whoever that is; or on a replica. */
import { DevstackError, messageOf, reachOf, type ServiceHandle, type Task, task, z } from '../../lib/index.ts'
import { attachTo } from './attach.ts'
import { notUp, runningHandles } from './handles.ts'
import { postgresLeader } from './patroni.ts'
import { type Around, isMember } from './starting.ts'

/** The task. Its exit code is that of psql; standard input may be a pipe. */
export function psqlTask(variables: () => Promise<Readonly<Record<string, string>>>): Task<undefined> {
  return task({
    description: 'Open psql on the PostgreSQL leader',
    effect: 'change',
    interactive: true,
    params: z.object({
      database: z.string().default('app').meta({ short: 'd' }).describe('this database'),
      user: z.string().default('postgres').meta({ short: 'U' }).describe('as this role'),
      command: z.string().optional().meta({ short: 'c' }).describe('run this and end'),
      replica: z.boolean().default(false).describe('on a replica, which only reads'),
      words: z
        .array(z.string())
        .optional()
        .meta({ positional: 'rest' })
        .describe('a database and further words for psql, such as: app -tA'),
    }),
    run: async (context) => {
      const { params } = context
      const handle = await findPostgres(context, params.replica)
      const words = params.words ?? []
      const command = ['psql', `--username=${params.user}`]
      // the first word is psql's own for the database
      if (words.length === 0) command.push(`--dbname=${params.database}`)
      // the socket is the superuser's; everybody else logs in with a password, which no process list shows
      const own = (await variables())[`${params.user.toUpperCase()}_PASSWORD`]
      const login = params.user === 'postgres' ? {} : { PGHOST: '127.0.0.1', ...(own ? { PGPASSWORD: own } : {}) }
      if (params.command !== undefined) command.push('--set=ON_ERROR_STOP=1', '--command', params.command)
      await attachTo(handle, { command: [...command, ...words], environment: login }, context)
    },
  })
}

/** The leader's container, or a replica's. Throws STACK_NOT_UP and POSTGRES_NO_LEADER. */
export async function findPostgres(context: Around, replica = false): Promise<ServiceHandle> {
  const { runtime, signal } = context
  const handles = await runningHandles(context)
  const single = handles.find(({ service }) => service === 'postgres')
  if (single) return single
  const members = handles.filter(({ service }) => isMember(service))
  if (members.length === 0) throw notUp()
  try {
    const { handle } = await postgresLeader(members, { signal, reach: await reachOf(runtime, signal) })
    const other = members.find(({ id }) => id !== handle.id)
    if (!replica) return handle
    if (!other) throw new Error('no replica runs')
    return other
  } catch (cause) {
    signal.throwIfAborted()
    throw new DevstackError({
      kind: 'gate',
      code: replica ? 'POSTGRES_NO_REPLICA' : 'POSTGRES_NO_LEADER',
      message: `There is no PostgreSQL ${replica ? 'replica' : 'leader'} to connect to: ${messageOf(cause)}.`,
      hint: 'See how the cluster is with: devstack run health. Bring it back with: devstack run recover',
      cause,
    })
  }
}
