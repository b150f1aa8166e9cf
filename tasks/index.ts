/** The built-in packs. */
export { type ComposeOptions, type ComposePack, compose } from './stack/compose.ts'
export { type HaStackOptions, haStack } from './stack/pack.ts'
