import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { projectName, readProjectEnvironment } from '../../config/load.ts'
import { DevstackError, formatPlace } from '../../errors.ts'
import type { Invocation } from '../args.ts'
import type { Io } from '../io.ts'
import { directoryOf, readVariables } from '../open.ts'

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
  const read = (names: readonly string[], environment: Io['environment']) =>
    readProjectEnvironment(directory, names, { environment, readVariables })
  const environment = await read(options.envFile ?? [], io.environment)
  const model = await loadCompose({
    files: files.map((file) => resolve(directory, file)),
    directory,
    environment: await read(['.env', '.env.local'], environment),
    profiles: options.profile ?? [],
    projectName: projectName(directory),
  })
  for (const { message, place } of model.warnings)
    io.stderr.write(`Warning: ${message}${place ? ` (${formatPlace(place)})` : ''}.\n`)
  const text = await formatConfig(model, options.format === 'json' ? 'json' : 'yaml')
  io.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
  return 0
}
