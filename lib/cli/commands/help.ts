import { DevstackError, suggest } from '../../errors.ts'
import type { Invocation } from '../args.ts'
import { commandEntry, commandNames } from '../grammar.ts'
import { formatCommandHelp, formatHelp, formatTaskHelp } from '../help.ts'
import type { Io } from '../io.ts'
import { openConfig } from '../open-config.ts'
import type { Prepared } from '../prepare.ts'

/** `devstack help [command | task]`. */
export async function command(invocation: Invocation, io: Io): Promise<number> {
  const topic = invocation.operands[0]
  if (topic === undefined) return print(formatHelp(), io)
  const entry = commandEntry(topic)
  if (entry) return print(formatCommandHelp(entry), io)
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

/** `--help` behind a command. */
export async function explain(invocation: Invocation, io: Io): Promise<number> {
  const entry = commandEntry(invocation.command)
  return print(entry && invocation.command !== 'help' ? formatCommandHelp(entry) : formatHelp(), io)
}

/** `--help` behind a task. */
export async function explainTask(prepared: Prepared, io: Io): Promise<number> {
  const { registry } = prepared.loaded
  const texts = await Promise.all(
    prepared.targets.map(({ name, task }) => {
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
