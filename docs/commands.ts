/** The page of commands, made from the table that the command line itself is made from. */
import { commands } from '../lib/cli/grammar.ts'
import { formatCommandHelp, formatHelp } from '../lib/cli/help.ts'

/** Markdown: the help of devstack and of each command, as printed. */
export function commandsPage(): string {
  const lines = ['# Commands', '', '```text', formatHelp(), '```', '']
  for (const entry of commands)
    lines.push(`## devstack ${entry.name}`, '', '```text', formatCommandHelp(entry), '```', '')
  return lines.join('\n')
}
