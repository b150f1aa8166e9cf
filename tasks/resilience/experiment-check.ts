/** An experiment of a config, checked before anything is broken: types alone are not looked at when a config is loaded. */
import { DevstackError, milliseconds } from '../../lib/index.ts'
import type { Limits } from './context.ts'
import type { Load } from './load.ts'

type Check = readonly [expected: string, holds: (value: unknown) => boolean]

const isFunction = (value: unknown): boolean => typeof value === 'function'
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const aFunction: Check = ['a function', isFunction]

const isLoads = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.every((one) => isRecord(one) && typeof one['name'] === 'string' && isFunction(one['start']))
const isSteadyState = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.every(
    (one) =>
      isRecord(one) &&
      (Array.isArray(one['services']) || one['services'] instanceof RegExp) &&
      isRecord(one['gate']) &&
      isFunction(one['gate']['hold']),
  )

const loads = 'a list of loads, as postgresLoad() gives them'
const checks: Readonly<Record<string, Check>> = {
  description: ['a text', (value) => typeof value === 'string'],
  params: ['a record of zod schemas', isRecord],
  steadyState: ['a list of { services, gate }', isSteadyState],
  load: [`${loads}, or a function that gives one`, (value) => isFunction(value) || isLoads(value)],
  inject: aFunction,
  observe: aFunction,
  heal: aFunction,
  assert: aFunction,
  limits: ['a record of durations, or a function that gives one', (value) => isFunction(value) || isRecord(value)],
  helper: ['true, false or a function', (value) => typeof value === 'boolean' || isFunction(value)],
  exclusive: ['true or false', (value) => typeof value === 'boolean'],
}
const required = new Set(['description', 'load', 'inject'])

/** Throws CONFIG_INVALID, which names the key, for what is no experiment. `own`: names of params that every experiment has. */
export function checkExperiment(options: object, own: readonly string[]): void {
  const given = options as Readonly<Record<string, unknown>>
  const name = typeof given['description'] === 'string' ? `the experiment "${given['description']}"` : 'an experiment'
  for (const [key, [expected, holds]] of Object.entries(checks)) {
    const value = given[key]
    if (value === undefined ? required.has(key) : !holds(value)) throw invalid(`${key} of ${name} must be ${expected}.`)
  }
  const taken = Object.keys(given['params'] ?? {}).find((param) => own.includes(param))
  if (taken !== undefined)
    throw invalid(`${capital(name)} can not have a param "${taken}": every experiment has one already.`)
  if (Array.isArray(given['load'])) checkLoads(name, given['load'])
  if (isRecord(given['limits'])) checkLimits(name, given['limits'])
}

/** The same for what functions of an experiment gave. */
export function checkParts(experiment: string, load: readonly Load[], limits: Limits): void {
  if (!isLoads(load)) throw invalid(`load of ${experiment} must give ${loads}.`)
  checkLoads(experiment, load)
  checkLimits(experiment, limits)
}

function checkLoads(experiment: string, load: readonly Load[]): void {
  const names = load.map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice === undefined) return
  throw invalid(
    `${capital(experiment)} has two loads "${twice}", and each needs a name of its own: postgresLoad({ name: ... }).`,
  )
}

function checkLimits(experiment: string, limits: object): void {
  for (const [key, limit] of Object.entries(limits)) {
    if (limit === undefined) continue
    try {
      milliseconds(limit)
    } catch {
      throw invalid(`limits.${key} of ${experiment} must be a duration such as "2s", got ${JSON.stringify(limit)}.`)
    }
  }
}

function capital(text: string): string {
  return text.startsWith('the experiment') || text.startsWith('an experiment')
    ? text[0]!.toUpperCase() + text.slice(1)
    : text
}

function invalid(message: string): DevstackError {
  return new DevstackError({
    kind: 'config',
    code: 'CONFIG_INVALID',
    message,
    hint: 'docs/resilience.md shows an experiment.',
  })
}
