/** `clean`: this checkout as if the stack had never been started in it. */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, type Task, task, z } from '../../lib/index.ts'
import { historyFile } from './history.ts'

const params = z.object({
  credentials: z.boolean().default(false).describe('.env.local, too'),
})

/** The task. Containers, networks and volumes go by `down`; backups, the cache and the journals of runs stay. */
export function cleanTask(down: Task<undefined>): Task<undefined> {
  return task({
    description: 'Remove the stack with its data and what was prepared for it; backups stay',
    effect: 'destroy',
    runLocks: ['stack'],
    params,
    needs: { down: after(down, { params: { volumes: true } }) },
    destroys: ({ params: { credentials }, project }) =>
      credentials && existsSync(join(project.directory, '.env.local'))
        ? ['.env.local with the credentials and ports of this checkout']
        : [],
    run: ({ params: { credentials }, project, log }) => {
      const paths = [join(project.stateDirectory, 'files'), historyFile(project)]
      if (credentials) paths.push(join(project.directory, '.env.local'))
      const there = paths.filter((path) => existsSync(path))
      for (const path of there) rmSync(path, { recursive: true, force: true })
      if (there.length > 0) log(`removed ${there.map((path) => path.slice(project.directory.length + 1)).join(', ')}`)
    },
  })
}
