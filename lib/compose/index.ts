export { defaultProjectName, findComposeFiles, readEnvironmentFile } from './files.ts'
export { formatConfig, formatWarnings } from './format.ts'
export { type LoadOptions, loadCompose } from './load.ts'
export type {
  ComposeFileResource,
  ComposeModel,
  ComposeMount,
  ComposeNetwork,
  ComposePort,
  ComposeService,
  ComposeVolume,
} from './schema.ts'
export { networkName, networkSpecs, volumeName, volumeSpecs } from './shared.ts'
export {
  buildOptions,
  type ComposeDependency,
  composeDependencies,
  containerName,
  containerSpec,
  type InlineFile,
  imageOf,
  inlineFiles,
  type SpecOptions,
} from './spec.ts'
