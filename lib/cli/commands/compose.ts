import { dirname, resolve } from 'node:path'
import type { ComposeModel } from '../../compose/index.ts'
import { readProjectEnvironment } from '../../config/environment.ts'
import type { LoadedConfig } from '../../config/load.ts'
import { projectName } from '../../config/project-name.ts'
import { DevstackError } from '../../errors.ts'
import { stackName } from '../../stack/compose.ts'
import type { Invocation } from '../args.ts'
import type { Io } from '../io.ts'
import { directoryOf, readConfig, readVariables } from '../open.ts'
import type { Options } from '../options.ts'

/** `devstack compose config`: the resolved model of the files named, of the config's stack, or of the folder's files. */
export async function command({ options }: Invocation, io: Io): Promise<number> {
  const environment = {
    ...(await readEnvFiles(options, io)),
    ...(options.profile ? { COMPOSE_PROFILES: options.profile.join(',') } : {}),
  }
  const loaded = await configIfAny(options, { ...io, environment })
  const model = await (stackOf(loaded, options) ?? modelOfFiles({ options, io, environment, loaded }))
  const { formatConfig, formatWarnings } = await import('../../compose/index.ts')
  for (const line of formatWarnings(model)) io.stderr.write(`${line}\n`)
  io.stdout.write(await formatConfig(model, options.format === 'json' ? 'json' : 'yaml'))
  return 0
}

/** The environment with the files of `--env-file` below it, which the user named: a missing one is an error. */
async function readEnvFiles(options: Options, io: Io): Promise<Io['environment']> {
  const directory = directoryOf(options, io)
  const { existsSync } = await import('node:fs')
  const missing = options.envFile?.find((file) => !existsSync(resolve(directory, file)))
  if (missing !== undefined) {
    throw new DevstackError({
      kind: 'usage',
      code: 'ENV_FILE_MISSING',
      message: `There is no file ${resolve(directory, missing)}, which --env-file names.`,
      hint: 'Check the path: it counts from the folder of --cwd.',
    })
  }
  return readProjectEnvironment(directory, options.envFile ?? [], { environment: io.environment, readVariables })
}

async function configIfAny(options: Options, io: Io): Promise<LoadedConfig | undefined> {
  try {
    return await readConfig(options, io)
  } catch (thrown) {
    const none = thrown instanceof DevstackError && thrown.code === 'CONFIG_NOT_FOUND' && options.config === undefined
    if (none) return undefined
    throw thrown
  }
}

/** The model that `up` of the config would use; undefined when files are named, or the config has no stack. */
function stackOf(loaded: LoadedConfig | undefined, options: Options): Promise<ComposeModel> | undefined {
  if (options.file) return undefined
  const stacks = loaded?.packs.filter(({ model }) => model !== undefined) ?? []
  if (stacks.length < 2) return stacks[0]?.model?.()
  throw new DevstackError({
    kind: 'usage',
    code: 'COMPOSE_STACKS',
    message: `The config uses ${stacks.length} stacks: ${stacks.map(({ name }) => `"${name}"`).join(', ')}.`,
    hint: 'Name the files of one: devstack compose config --file compose.yaml',
  })
}

async function modelOfFiles(given: {
  readonly options: Options
  readonly io: Io
  readonly environment: Io['environment']
  readonly loaded: LoadedConfig | undefined
}): Promise<ComposeModel> {
  const { options, io, environment, loaded } = given
  const directory = directoryOf(options, io)
  const { findComposeFiles, loadCompose } = await import('../../compose/index.ts')
  const files = options.file?.map((file) => resolve(directory, file)) ?? (await findComposeFiles(directory))
  if (files.length === 0) {
    throw new DevstackError({
      kind: 'usage',
      code: 'COMPOSE_FILE_MISSING',
      message: `There is no compose file in ${directory}${loaded ? `, and ${loaded.file} uses no stack` : ''}.`,
      hint: 'Name one: devstack compose config --file compose/stack.yml',
    })
  }
  const variables =
    loaded?.environment ??
    (await readProjectEnvironment(directory, ['.env', '.env.local'], { environment, readVariables }))
  const project =
    loaded?.project ??
    (variables['COMPOSE_PROJECT_NAME'] ||
      ((await stackName(files, { directory, environment: variables })) ?? projectName(directory)))
  return loadCompose({
    files,
    directory: dirname(files[0]!),
    environment: { DEVSTACK_PROJECT: project, ...variables },
    projectName: project,
  })
}
