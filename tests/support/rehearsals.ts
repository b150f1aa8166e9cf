/** A checkout with a stack of its own for experiments, and what they leave behind. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FaultRecord } from '../../tasks/resilience/fault-record.ts'
import type { ExperimentReport } from '../../tasks/resilience/report.ts'
import { type Checkout, checkout } from './checkout.ts'
import { cleanUp, engineCall } from './engine.ts'

/** A cold start on a machine that does other things, too. */
export const patience = { timeout: 600_000 }

export interface RehearsalPlace {
  readonly place: Checkout
  /** Resolves once every service is well. */
  healthy(): Promise<string>
  /** All reports, oldest first. */
  reports(): readonly ExperimentReport[]
  /** Faults on record. */
  unhealed(): readonly FaultRecord[]
  /** Names of helper containers of this project, running or not. */
  helpers(): Promise<readonly string[]>
  /** Path of a file of a report: `report.html`. */
  fileOf(report: ExperimentReport, name: string): string
  remove(): Promise<void>
}

/** Makes the checkout; the stack is started by whoever needs it. Call `remove` afterwards. */
export function rehearsalPlace(name: string): RehearsalPlace {
  const place = checkout({
    name,
    files: (project) => ({
      'devstack.config.ts': `import { defineConfig } from 'devstack'
import { dataPack, haStack, resiliencePack } from 'devstack/packs'
export default defineConfig({ name: '${project}', use: [haStack({ applications: false }), dataPack(), resiliencePack()] })
`,
    }),
  })
  const read = <T>(folder: string, file: (name: string) => string): readonly T[] => {
    const path = join(place.directory, '.devstack', folder)
    if (!existsSync(path)) return []
    const files = readdirSync(path)
      .sort()
      .map((entry) => join(path, file(entry)))
    return files.filter(existsSync).map((one) => JSON.parse(readFileSync(one, 'utf8')) as T)
  }
  return {
    place,
    healthy: () => place.succeed(['run', 'health', '--wait', '--timeout', '300'], patience),
    reports: () => read<ExperimentReport>('experiments', (id) => join(id, 'report.json')),
    unhealed: () => read<FaultRecord>('faults', (id) => id),
    helpers: async () => {
      const { text } = await engineCall('/containers/json?all=1')
      const names = (JSON.parse(text) as { Names: string[] }[]).flatMap(({ Names }) => Names)
      return names.filter((one) => one.includes(`${place.project}-faults`))
    },
    fileOf: ({ id }, file) => join(place.directory, '.devstack', 'experiments', id, file),
    remove: async () => {
      await cleanUp(`${place.project}-faults`).catch(() => undefined)
      await place.remove({ engine: true })
    },
  }
}

/** Every shipped experiment with every one of its faults. */
export const shipped: readonly (readonly string[])[] = [
  ...['switchover', 'postgres-kill', 'crash', 'kill', 'pause', 'partition'].map((f) => ['test-failover', '--fault', f]),
  ...['kill', 'crash', 'pause', 'partition'].map((f) => ['test-failover:redis', '--fault', f]),
  ['test-etcd-loss', '--members', '1'],
  ['test-etcd-loss', '--members', '2'],
  ['test-etcd-loss', '--members', '2', '--no-failsafe'],
  ['test-split-brain'],
  ['test-split-brain', '--direction', 'in'],
  ['test-split-brain', '--direction', 'out'],
  ['test-cascade'],
  ['test-rolling-restart'],
  ['test-pause-resume'],
  ['test-backup-under-load'],
  ['validate-zero-loss', 'restart', '--services', 'postgres2'],
  ['chaos', '--seed', '7', '--duration', '30', '--shrink', '0'],
]
