import type { Registry } from '../../config/registry.ts'
import { DevstackError, suggest } from '../../errors.ts'
import type { Invocation } from '../args.ts'
import { commandEntry, commandNames } from '../grammar.ts'
import { formatCommandHelp, formatHelp, formatTaskHelp } from '../help.ts'
import type { Io } from '../io.ts'
import { openConfig } from '../open-config.ts'
import type { TaskTarget } from '../params.ts'

/** `devstack help [command | task]`. */
export async function command(invocation: Invocation, io: Io): Promise<number> {
  const topic = invocation.operands[0]
  if (topic === undefined) return print(formatHelp(), io)
  const entry = commandEntry(topic)
  if (entry) return print(`${formatCommandHelp(entry)}${await taskOfThatName(topic, invocation, io)}`, io)
  let registry: Awaited<ReturnType<typeof openConfig>>['registry']
  try {
    registry = (await openConfig(invocation.options, io)).registry
  } catch (thrown) {
    if (!(thrown instanceof DevstackError && thrown.code === 'CONFIG_NOT_FOUND')) throw thrown
    throw new DevstackError({
      kind: 'usage',
      code: 'USAGE_UNKNOWN_TOPIC',
      message: `There is no command "${topic}".${suggest(topic, commandNames)}`,
      hint: 'devstack help lists the commands; tasks are known where there is a config.',
    })
  }
  const found = registry.require(topic)
  const aliases = registry.aliasesOf(found)
  return print(await formatTaskHelp({ name: found.name, task: found.task, names: registry, aliases }), io)
}

/** Says so where a task is called like the command. A config that can not be loaded is no reason to explain nothing. */
async function taskOfThatName(name: string, { options }: Invocation, io: Io): Promise<string> {
  const loaded = await openConfig(options, io).catch(() => undefined)
  return loaded?.registry.taskNamed(name) === undefined
    ? ''
    : `\n\nThere is a task of that name, too: "devstack run ${name} --help" explains it.`
}

/** `--help` behind a command. */
export async function explain(invocation: Invocation, io: Io): Promise<number> {
  const entry = commandEntry(invocation.command)
  return print(entry && invocation.command !== 'help' ? formatCommandHelp(entry) : formatHelp(), io)
}

/** `--help` behind tasks. */
export async function explainTasks(targets: readonly TaskTarget[], registry: Registry, io: Io): Promise<number> {
  const texts = await Promise.all(
    targets.map(({ name, task }) => {
      const found = registry.find(name)
      return formatTaskHelp({ name, task, names: registry, aliases: found ? registry.aliasesOf(found) : [] })
    }),
  )
  return print(texts.join('\n\n'), io)
}

function print(text: string, io: Io): number {
  io.stdout.write(`${text.trimEnd()}\n`)
  return 0
}
