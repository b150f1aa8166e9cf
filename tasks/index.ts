/** The built-in packs. */
export type { DataPackOptions } from './data/options.ts'
export { dataPack } from './data/pack.ts'
export * from './resilience/index.ts'
export { type ComposeOptions, compose, type StackPack } from './stack/compose.ts'
export { type HaStackOptions, haStack } from './stack/pack.ts'
