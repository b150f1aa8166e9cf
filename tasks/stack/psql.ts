/** `psql`: on the leader, whoever that is; or on a replica. */
import { type ServiceHandle, type Task, task, z } from '../../lib/index.ts'
import { attachTo } from './attach.ts'
import { runningHandles } from './handles.ts'
import { memberFor, type Product } from './leading.ts'
import { postgresLeader } from './patroni.ts'
import { type Around, isMember } from './starting.ts'

const postgresql: Product = {
  name: 'PostgreSQL',
  leader: { what: 'PostgreSQL leader', code: 'POSTGRES_NO_LEADER' },
  replica: { what: 'PostgreSQL replica', code: 'POSTGRES_NO_REPLICA' },
  find: postgresLeader,
}

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

/** The leader's container, or a replica's; the one there is, without a cluster. */
async function findPostgres(context: Around, replica: boolean): Promise<ServiceHandle> {
  const handles = await runningHandles(context)
  const single = handles.find(({ service }) => service === 'postgres')
  if (single) return single
  const members = handles.filter(({ service }) => isMember(service))
  return memberFor({ members, replica }, postgresql, context)
}
