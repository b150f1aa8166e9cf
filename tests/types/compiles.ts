/** What must compile, with exactly these types. Checked by `tsc --noEmit`; nothing here runs. */
import {
  after,
  command,
  defineConfig,
  definePack,
  type Gate,
  group,
  matrix,
  named,
  type Task,
  task,
  type ValueOf,
  z,
} from 'devstack'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
function holds<_ extends true>(): void {}

const image = task({ description: 'Builds', run: () => ({ id: 'sha256:1', tag: 'api:1' }) })
holds<Equal<ValueOf<typeof image>, { id: string; tag: string }>>()

const later = task({ run: async () => 7 })
holds<Equal<ValueOf<typeof later>, number>>()

const nothing = task({ run: () => {} })
holds<Equal<ValueOf<typeof nothing>, undefined>>()

const finished = task({ run: ({ $ }) => $`true` })
holds<Equal<ValueOf<typeof finished>, undefined>>()

const line = task({ description: 'One command', ...command('npm run build') })
holds<Equal<ValueOf<typeof line>, undefined>>()

const schema = z.object({ url: z.string(), port: z.number() })
const declared = task({ returns: schema, run: () => ({ url: 'x', port: 1 }) })
holds<Equal<ValueOf<typeof declared>, { url: string; port: number }>>()

const elected: Gate<{ url: string }> = { description: 'leader elected', hold: async () => undefined }

export const migrate = task({
  params: z.object({ to: z.string().optional(), keep: z.number().default(5) }),
  needs: {
    image,
    count: later,
    db: after(declared, { until: elected, within: '60s', retry: { attempts: 3, delay: '1s' } }),
    other: named<{ host: string }>('other:task'),
  },
  locks: ['postgres', { name: 'pool', size: 2 }],
  timeout: '5m',
  run: ({ needs, params, $ }) => {
    holds<Equal<typeof needs.image, { id: string; tag: string }>>()
    holds<Equal<typeof needs.count, number>>()
    holds<Equal<typeof needs.db, { url: string; port: number }>>()
    holds<Equal<typeof needs.other, { host: string }>>()
    holds<Equal<typeof params, { to?: string | undefined; keep: number }>>()
    return $`migrate ${needs.db.url} ${params.to ?? ''}`
  },
})

export const undoable = task({
  run: () => ({ file: 'x' }),
  observe: () => ({ state: 'fresh', cause: 'is there', value: { file: 'x' } }),
  undo: ({ value }) => {
    holds<Equal<typeof value, { file: string }>>()
  },
})

export const chosen = task({
  params: z.object({ fast: z.boolean().default(false) }),
  needs: (params) => {
    holds<Equal<typeof params, { fast: boolean }>>()
    return { image }
  },
  run: ({ needs }) => needs.image.tag,
})

const onWindows = task({ platforms: ['win32'], run: () => 7 })
holds<Equal<ValueOf<typeof onWindows>, number | undefined>>()

export const withParams = task({
  env: { PORT: '8080' },
  needs: { migrated: after(migrate, { params: { to: '0007' } }), image: after(image, { optional: true }) },
  run: ({ needs, env }) => {
    holds<Equal<typeof needs.image, { id: string; tag: string } | undefined>>()
    holds<Equal<typeof env.PORT, string>>()
    holds<Equal<(typeof env)['HOME'], string | undefined>>()
  },
})

const pack = definePack({ name: 'ci', tasks: { lint: line, test: matrix({ node: ['22', '24'] }, () => line) } })
const all = group({ image, later })
const list: readonly Task[] = [image, later]

export default defineConfig({
  name: 'shop',
  use: [pack],
  tasks: { image, all, both: group(list), db: { migrate, declared } },
  include: { web: 'packages/web' },
  cancel: { interrupt: '2s' },
})
