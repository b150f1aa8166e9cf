/** What is secret in a config: known to whatever shows or stores something of it. */
import type { LoadedConfig } from '../config/load.ts'
import type { Conceal } from '../engine/graph.ts'
import { createRedactor, type Redactor } from '../report/redact.ts'

const redactors = new WeakMap<LoadedConfig, Redactor>()

/** The redactor of a config, one for all who ask: it knows the declared secrets, and variables whose names look secret. */
export function redactorOf(loaded: LoadedConfig): Redactor {
  const known = redactors.get(loaded)
  if (known) return known
  const redactor = createRedactor()
  for (const environment of loaded.environments) {
    redactor.addEnvironment(environment)
    for (const name of loaded.secrets) if (environment[name] !== undefined) redactor.add(environment[name])
  }
  redactors.set(loaded, redactor)
  return redactor
}

/** Masks secrets in the params that ids show. A param whose own name looks secret is one from now on, wherever it turns up. */
export function concealerOf(loaded: LoadedConfig): Conceal {
  return (param, text) => {
    const redactor = redactorOf(loaded)
    JSON.parse(text, (key, value: unknown) => {
      if (typeof value === 'string') redactor.addEnvironment({ [`${param}.${key}`]: value })
      return value
    })
    return redactor.redact(text)
  }
}
