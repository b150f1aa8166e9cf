/** What configs may use of the resilience pack beside its tasks: experiments and loads of their own. */
export type { ExperimentContext, Limits } from './context.ts'
export { type ExperimentOptions, type ExperimentOutcome, experiment } from './experiment.ts'
export type { Load, LoadContext, RunningLoad } from './load.ts'
export { resiliencePack } from './pack.ts'
export { type PostgresLoadOptions, postgresLoad } from './postgres-load.ts'
export { type RedisLoadOptions, redisLoad } from './redis-load.ts'
export type { ExperimentReport } from './report.ts'
export { type SteadyState, stackSteadyState } from './steady-state.ts'
