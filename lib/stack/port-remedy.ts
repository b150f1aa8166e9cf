/** What to do about a published port that is taken: where its number stands. */
import type { ComposeModel, ComposeService } from '../compose/schema.ts'
import { DevstackError, formatPlace } from '../errors.ts'
import { publishElsewhere } from '../runtime/ports.ts'

export interface PortSource {
  readonly model: ComposeModel
  readonly service: ComposeService
  /** For interpolation, as the files were read with. */
  readonly environment: Readonly<Record<string, string>>
  /** Ports by variable that `up` chooses itself when nobody sets them. */
  readonly chosen?: Readonly<Record<string, string>>
}

/** A RUNTIME_PORT_IN_USE whose remedy names the variable or the line that holds the port; any other error as it is. */
export function withPortRemedy(thrown: unknown, source: PortSource): unknown {
  if (!(thrown instanceof DevstackError && thrown.code === 'RUNTIME_PORT_IN_USE')) return thrown
  const port = /(?:cannot publish \S*:|: port )(\d+)\b/.exec(thrown.message)?.[1]
  const remedy = port === undefined ? undefined : remedyFor(port, source)
  if (remedy === undefined) return thrown
  const { kind, code, message, cause, hint = '' } = thrown
  return new DevstackError({
    kind,
    code,
    message,
    cause,
    hint: hint.replace(publishElsewhere, `${publishElsewhere}: ${remedy}`),
  })
}

function remedyFor(port: string, { model, service, environment, chosen = {} }: PortSource): string | undefined {
  const place = model.places[`services.${service.name}.ports:${port}`]
  if (!place) return undefined
  const variable = [...(place.text ?? '').matchAll(/\$\{?(\w+)(?::?-(\d+))?/g)].find(
    ([, name = '', otherwise]) => (environment[name] || otherwise) === port,
  )?.[1]
  if (variable === undefined) return `change ${port} in ${formatPlace(place)}`
  if (variable in chosen) return `without its *_PORT lines in .env.local, up finds free ones`
  return `set ${variable} (${formatPlace(place)})`
}
