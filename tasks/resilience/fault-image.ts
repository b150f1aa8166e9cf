/** The image of the helper that injects faults. */
import { join } from 'node:path'
import { type BuiltImage, imageTask, type Task } from '../../lib/index.ts'
import { packageFolder } from '../stack/package.ts'
import { helperImage } from './helper.ts'

let made: Task<BuiltImage> | undefined

/** Builds it from the stack's own base image, which is there as long as the stack is. */
export function faultImage(): Task<BuiltImage> {
  made ??= imageTask({ context: join(packageFolder(), 'infrastructure', 'faults'), tags: [helperImage] })
  return made
}
