/** `debug`: a service with its inspector open on this machine, and editors told where. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  DevstackError,
  type LoadedStack,
  messageOf,
  type Needs,
  type ServiceHandle,
  type Task,
  task,
  z,
} from '../../lib/index.ts'
import { addressOf } from './endpoint.ts'
import { requestJson } from './http.ts'
import { serviceNamed } from './rebuild.ts'

/** Node.js's inspector. */
const inspectorPort = 9229

const targetsSchema = z.array(z.object({ title: z.string().optional(), webSocketDebuggerUrl: z.string() })).min(1)

export interface DebugTarget {
  readonly service: string
  readonly port: number
  /** The mounted folder here and in the container. */
  readonly sources: readonly { readonly here: string; readonly there: string }[]
}

/** The task. `load` reads the stack with its files for development. */
export function debugTask(load: () => Promise<LoadedStack>): Task<undefined> {
  return task({
    description: 'Run a service with its inspector on 127.0.0.1, and configure an editor for it',
    effect: 'create',
    runLocks: ['stack'],
    params: z.object({
      vscode: z.boolean().default(false).describe('write .vscode/launch.json'),
      intellij: z.boolean().default(false).describe('write .idea/runConfigurations'),
      service: z.string().meta({ positional: true }).describe('which'),
    }),
    needs: async ({ service }): Promise<Needs> => ({ service: serviceNamed(await load(), service).ready }),
    run: async (context) => {
      const { params, needs, log, project } = context
      const handle = (needs as { service: ServiceHandle }).service
      const published = handle.ports.find(({ containerPort }) => containerPort === inspectorPort)
      if (!published || published.hostPort === 0) {
        throw new DevstackError({
          kind: 'usage',
          code: 'DEBUG_NO_INSPECTOR',
          message: `${params.service} publishes no inspector: no port leads to its port ${inspectorPort}.`,
          hint: `In a compose file for development, start it with --inspect=0.0.0.0:${inspectorPort} and publish 127.0.0.1:<port>:${inspectorPort}.`,
        })
      }
      const url = await inspectorOf(handle, context)
      log(`inspector of ${params.service}: 127.0.0.1:${published.hostPort} (${url})`)
      log('chrome://inspect finds it under "Configure…" with that address')
      const { model } = await load()
      const target: DebugTarget = {
        service: params.service,
        port: published.hostPort,
        sources: (model.services[params.service]?.volumes ?? []).flatMap((one) =>
          one.type === 'bind' && one.source !== undefined ? [{ here: one.source, there: one.target }] : [],
        ),
      }
      if (params.vscode) log(`wrote ${writeLaunch(project.directory, target)}`)
      if (params.intellij) log(`wrote ${writeRunConfiguration(project.directory, target)}`)
    },
  })
}

/** The address by which debuggers attach; asked until the process has opened it. */
async function inspectorOf(handle: ServiceHandle, context: Parameters<typeof addressOf>[2]): Promise<string> {
  const until = performance.now() + 30_000
  for (;;) {
    let said: string
    try {
      const target = await addressOf(handle, inspectorPort, context)
      const { body } = await requestJson(target, '/json/list', { signal: context.signal })
      return targetsSchema.parse(body)[0]!.webSocketDebuggerUrl
    } catch (thrown) {
      context.signal.throwIfAborted()
      said = messageOf(thrown)
    }
    if (performance.now() > until) {
      throw new DevstackError({
        kind: 'gate',
        code: 'DEBUG_NO_ANSWER',
        message: `The inspector of ${handle.service} does not answer: ${said}.`,
        hint: `See what it says with: devstack run logs ${handle.service}`,
      })
    }
    await delay(100, undefined, { signal: context.signal })
  }
}

const launchSchema = z
  .object({ configurations: z.array(z.looseObject({ name: z.string().optional() })).default([]) })
  .loose()

/** An "attach" configuration for VS Code (https://code.visualstudio.com/docs/nodejs/nodejs-debugging), beside what is there. */
export function launchConfiguration(
  { service, port, sources }: DebugTarget,
  directory: string,
): Record<string, unknown> {
  const [source] = sources
  return {
    name: `devstack: ${service}`,
    type: 'node',
    request: 'attach',
    address: '127.0.0.1',
    port,
    restart: true,
    skipFiles: ['<node_internals>/**'],
    ...(source ? { localRoot: variable(source.here, directory), remoteRoot: source.there } : {}),
  }
}

function variable(path: string, directory: string): string {
  // VS Code's variable, not JavaScript's
  const workspace = '${workspaceFolder}'
  return path.startsWith(`${directory}/`) ? workspace + path.slice(directory.length) : path
}

function writeLaunch(directory: string, target: DebugTarget): string {
  const file = join(directory, '.vscode', 'launch.json')
  let present: z.infer<typeof launchSchema> = { version: '0.2.0', configurations: [] }
  if (existsSync(file)) {
    try {
      present = launchSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
    } catch (thrown) {
      throw new DevstackError({
        kind: 'usage',
        code: 'DEBUG_LAUNCH_UNREADABLE',
        message: `.vscode/launch.json can not be added to: ${messageOf(thrown).split('\n')[0]}.`,
        hint: 'It may hold comments, which would be lost: add what stands above to its configurations by hand.',
        details: JSON.stringify(launchConfiguration(target, directory), null, 2).split('\n'),
        place: { file },
      })
    }
  }
  const own = launchConfiguration(target, directory)
  const others = present.configurations.filter(({ name }) => name !== own['name'])
  write(file, `${JSON.stringify({ ...present, configurations: [...others, own] }, null, 2)}\n`)
  return '.vscode/launch.json'
}

/** "Attach to Node.js/Chrome" of IntelliJ IDEA and WebStorm. */
export function runConfiguration({ service, port, sources }: DebugTarget): string {
  const mappings = sources.map(
    ({ here, there }) => `      <mapping local-file="${xml(here)}" url="file://${xml(there)}" />\n`,
  )
  return `<component name="ProjectRunConfigurationManager">
  <configuration default="false" name="devstack: ${xml(service)}" type="ChromiumRemoteDebugType" factoryName="Chromium Remote" port="${port}" restartOnDisconnect="true">
${mappings.join('')}    <method v="2" />
  </configuration>
</component>
`
}

function writeRunConfiguration(directory: string, target: DebugTarget): string {
  const file = join(directory, '.idea', 'runConfigurations', `devstack_${target.service}.xml`)
  write(file, runConfiguration(target))
  return join('.idea', 'runConfigurations', basename(file))
}

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

function xml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')
}
