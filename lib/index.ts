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
export type { Ambient, AttachedStreams, ExecCommandOptions, Project, Terminal } from './context.ts'
export type { Autopsy, RunEvent, Step } from './engine/events.ts'
export type { Json, Schema } from './engine/schema.ts'
export {
  type AfterOptions,
  after,
  type BaseContext,
  type Duration,
  type Edge,
  type Effect,
  type Gate,
  type Lock,
  milliseconds,
  type Need,
  type Needs,
  type NeedValues,
  named,
  type Observation,
  type Progress,
  type RetryPolicy,
  type Task,
  type TaskDefinition,
  type TaskReference,
  type ValueOf,
} from './engine/task.ts'
export { DevstackError, type ErrorKind, messageOf, nearest, type Place, suggest } from './errors.ts'
export { completedGate, healthyGate, runningGate, runningOrDoneGate } from './gate/container.ts'
export { type Endpoint, endpoint, formatEndpoint, type Reach, reachOf } from './gate/endpoint.ts'
export { exec } from './gate/exec.ts'
export type { Answer, ContainerGate, GateOptions, Probe, ProbeContext } from './gate/gate.ts'
export { http } from './gate/http.ts'
export { log } from './gate/log.ts'
export { gate } from './gate/poll.ts'
export { tcp } from './gate/tcp.ts'
export { formatBytes, formatDuration, formatRate, paint, table } from './report/format.ts'
export { describeHolder, holderOf, type PortHolder } from './runtime/ports.ts'
export {
  type ContainerDetails,
  type ContainerSpec,
  type ContainerState,
  type ContainerSummary,
  type EngineInfo,
  type ExecResult,
  type Image,
  type LogLine,
  labels,
  type PortBinding,
  type Runtime,
  type RuntimeReader,
  type ServiceHandle,
} from './runtime/runtime.ts'
export {
  composeDependenciesOf,
  type LoadedStack,
  loadStack,
  numberOf,
  type StackOptions,
  type StackPlace,
  stackName,
} from './stack/compose.ts'
export { handleOf } from './stack/container.ts'
export { type BuiltImage, imageTask } from './stack/image.ts'
export { claimProject } from './stack/owner.ts'
export { type ServiceTasks, serviceHandle } from './stack/service.ts'
export { type LockHolder, openLocks } from './state/locks.ts'
export { type ProcessIdentity, parseIdentity, stateOf, thisProcess } from './state/processes.ts'
