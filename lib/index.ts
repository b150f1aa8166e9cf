/** The public API: what a `devstack.config.ts` and the packs under tasks/ may use. */
export { z } from 'zod'
export {
  type Config,
  command,
  defineConfig,
  definePack,
  group,
  matrix,
  type Pack,
  type PackContext,
  type Returned,
  type TaskTree,
  task,
} from './config/define.ts'
export type { Ambient, ExecCommandOptions, Project, Terminal } from './context.ts'
export type { Autopsy, RunEvent, Step } from './engine/events.ts'
export {
  type AfterOptions,
  after,
  type BaseContext,
  type Duration,
  type Edge,
  type Effect,
  type Gate,
  type Json,
  type Lock,
  milliseconds,
  type Need,
  type Needs,
  type NeedValues,
  named,
  type Observation,
  type RetryPolicy,
  type Schema,
  type Task,
  type TaskDefinition,
  type TaskReference,
  type ValueOf,
} from './engine/task.ts'
export { DevstackError, type ErrorKind, messageOf, nearest, type Place, suggest } from './errors.ts'
export { describeHolder, holderOf, type PortHolder } from './runtime/ports.ts'
export type * from './runtime/runtime.ts'
export { labels } from './runtime/runtime.ts'
