import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { projectName, readEnvironment } from '../../config/load.ts'
import { DevstackError } from '../../errors.ts'
import type { Invocation } from '../args.ts'
import type { Io } from '../io.ts'
import { directoryOf } from '../open.ts'

const usual = ['compose.yaml', 'compose.yml', 'docker-compose.yaml', 'docker-compose.yml']

/** `devstack compose config`: the resolved model of compose files. */
export async function command({ options }: Invocation, io: Io): Promise<number> {
  const directory = directoryOf(options, io)
  const files = options.file ?? usual.filter((file) => existsSync(resolve(directory, file))).slice(0, 1)
  if (files.length === 0) {
    throw new DevstackError({
      kind: 'usage',
      code: 'COMPOSE_FILE_MISSING',
      message: `There is no compose file in ${directory}.`,
      hint: 'Name one: devstack compose config --file compose/stack.yml',
    })
  }
  const { formatConfig, loadCompose } = await import('../../compose/index.ts')
  const environment =
    options.envFile === undefined
      ? io.environment
      : { ...readEnvironment(directory, options.envFile, {}), ...io.environment }
  const model = await loadCompose({
    files: files.map((file) => resolve(directory, file)),
    directory,
    environment: { ...readEnvironment(directory, ['.env', '.env.local'], {}), ...environment },
    profiles: options.profile ?? [],
    projectName: projectName(directory),
  })
  const text = await formatConfig(model, options.format === 'json' ? 'json' : 'yaml')
  io.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
  return 0
}
