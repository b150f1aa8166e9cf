/** The page of environment variables: what the code reads, with what each is for. */

/** What each variable is for. A variable that the code reads and that is missing here makes the generation fail. */
export const purposes: Readonly<Record<string, string>> = {
  APP_PASSWORD: "Password of the stack's application user; generated into `.env.local`.",
  CI: 'When set, progress is shown as plain lines.',
  COLUMNS: 'Width of the output where the terminal does not tell it.',
  COMPOSE_FILE: 'Compose files to read when none is named, separated by `:`.',
  COMPOSE_PROFILES:
    'Profiles of the compose files that are switched on unless the config says which, separated by commas.',
  COMPOSE_PROJECT_NAME: 'Name of the project when the config has no `name`, as for `docker compose`.',
  CONTAINER_HOST: "Address of Podman's socket, asked after Docker's.",
  DEVSTACK_ALLOW_TCP: 'When `1`, an engine at `tcp://` is spoken to also without TLS.',
  DEVSTACK_NEWER_NODE: 'Set by devstack itself when it has started a newer Node; not for use.',
  DOCKER_CERT_PATH: 'Folder of the certificates for an engine behind TLS.',
  DOCKER_CONFIG: "Folder of Docker's configuration, where its contexts are; default `~/.docker`.",
  DOCKER_CONTEXT: 'The docker context whose engine is used.',
  DOCKER_HOST: 'Address of the engine; nothing else is tried when it is set.',
  DOCKER_TLS_VERIFY: 'When set, an engine at `tcp://` is spoken to with TLS.',
  FORCE_COLOR: 'When set, output has colours also where it is no terminal.',
  GITHUB_ACTIONS: 'When `true`, failures become annotations of the workflow run.',
  GITHUB_STEP_SUMMARY: 'File that gets the summary of the run as Markdown.',
  HOME: "The user's folder: docker contexts are looked for there.",
  LINES: 'Height of the output where the terminal does not tell it.',
  NO_COLOR: 'When set, output has no colours.',
  NODE_EXTRA_CA_CERTS: 'File of certificate authorities; handed on to the builds of images.',
  OTEL_EXPORTER_OTLP_ENDPOINT: 'OpenTelemetry collector that gets the trace of each run (OTLP over HTTP, JSON).',
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'The same for traces alone, as a complete address.',
  OTEL_EXPORTER_OTLP_HEADERS: 'Headers sent with the trace: `name=value`, separated by commas.',
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'The same for traces alone.',
  OTEL_RESOURCE_ATTRIBUTES: 'Attributes of the trace: `name=value`, separated by commas.',
  OTEL_SDK_DISABLED: 'When `true`, no trace is sent.',
  OTEL_SERVICE_NAME: 'Name of the service in the trace; default `devstack`.',
  OTEL_TRACES_EXPORTER: 'When `none`, no trace is sent.',
  PATRONI_PASSWORD: "Password of Patroni's REST calls that change something; generated into `.env.local`.",
  PATH: 'Where the programs that tasks run are looked for.',
  REDIS_PASSWORD: "Password of the stack's Redis; generated into `.env.local`.",
  SHELL: 'Not read; commands of tasks run in `/bin/sh` or bash whatever it says.',
  TERM: 'When `dumb`, nothing is drawn over: progress is shown as plain lines.',
  TRACEPARENT: 'W3C trace context that a run continues.',
  XDG_RUNTIME_DIR: 'Where the sockets of rootless engines are looked for.',
}

/** Names of the environment variables that a source file reads. */
export function readVariables(source: string): readonly string[] {
  return [
    ...source.matchAll(/\b(?:process\.env|env|environment)\??\.?(?:\['([A-Z][A-Z0-9_]+)'\]|\.([A-Z][A-Z0-9_]+)\b)/g),
  ].map((match) => match[1] ?? match[2]!)
}

/** Markdown. Throws when a variable has no purpose. */
export function environmentPage(names: Iterable<string>): string {
  const all = [...new Set(names)].sort()
  const unknown = all.filter((name) => !(name in purposes))
  if (unknown.length > 0) throw new Error(`docs/environment.ts does not say what is for: ${unknown.join(', ')}`)
  return [
    '# Environment variables',
    '',
    "What devstack itself reads. A task's own variables come from `.env`, `.env.local`, `envFiles` and `env`.",
    '',
    '| variable | what it is for |',
    '| --- | --- |',
    ...all.map((name) => `| \`${name}\` | ${purposes[name]} |`),
    '',
  ].join('\n')
}
