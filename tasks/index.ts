/** The built-in packs. */
export { type HaStackOptions, haStack } from './stack/pack.ts'
