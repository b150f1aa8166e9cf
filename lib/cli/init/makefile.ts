/**
 * Targets of a Makefile as draft tasks. Where a target needs more of make than explicit rules, plain variables and recipes,
 * its task calls make: an import may be plain, but never wrong.
 */
import type { Draft, DraftCommand, DraftTask } from './draft.ts'
import { type Reading, type Rule, readMakefile } from './make-rules.ts'
import { expand, type Variable, type Variables } from './make-variables.ts'

/** Reads the text of a Makefile. Never throws: lines that are not understood are named in the notes. */
export function importMakefile(text: string, file = 'Makefile'): Draft {
  const reading = readMakefile(text)
  const environment = exportedEnvironment(reading)
  const tasks = [...reading.rules.values()].map((rule) => toTask(rule, reading, { file, environment }))
  return { source: 'makefile', file, tasks, notes: reading.notes }
}

function exportedEnvironment({ exported, variables, notes }: Reading): Readonly<Record<string, string>> {
  const environment = new Map<string, string>()
  for (const name of exported) {
    const variable = variables.get(name)
    if (variable === undefined || variable.overridable) continue
    const { text, reason, needsShell } = expand(variable.value, variables)
    if (reason === undefined && !needsShell && variable.opaque === undefined) environment.set(name, text)
    else
      notes.push(
        `the exported variable ${name} was not imported: ${reason ?? variable.opaque ?? 'a shell computes it'}.`,
      )
  }
  return Object.fromEntries(environment)
}

// What make itself sets, as far as recipes commonly use it.
const builtIn: Variables = new Map<string, Variable>([
  ['CC', { value: 'cc', overridable: true }],
  ['CXX', { value: 'g++', overridable: true }],
  ['AR', { value: 'ar', overridable: true }],
  ['RM', { value: 'rm -f' }],
])

function toTask(
  rule: Rule,
  reading: Reading,
  { file, environment }: { readonly file: string; readonly environment: Readonly<Record<string, string>> },
): DraftTask {
  const { rules, phony, oneShell } = reading
  const prerequisites = [...new Set(rule.prerequisites)]
  const needs = [...prerequisites, ...rule.orderOnly].filter((name) => rules.has(name))
  const files = prerequisites.filter((name) => !rules.has(name))
  const isFile = !phony.has(rule.target) && /[./]/.test(rule.target) && rule.recipe.length > 0
  const variables: Variables = new Map([
    ...builtIn,
    ...reading.variables,
    ...rule.variables,
    ['@', { value: rule.target }],
    ['<', { value: prerequisites[0] ?? '' }],
    ['^', { value: prerequisites.join(' ') }],
    ['+', { value: rule.prerequisites.join(' ') }],
  ])
  const shell = expand(variables.get('SHELL')?.value ?? '', variables).text
  const commands: DraftCommand[] = []
  const recipe = oneShell && rule.recipe.length > 0 ? [rule.recipe.join('\n')] : rule.recipe
  let reason = rule.reason
  if (rule.variables.size > 0 && needs.length > 0) reason ??= 'its variables hold for what it needs, too'
  for (const line of recipe) {
    const [, marks, rest] = /^\s*([@+-]*)\s*(.*)$/s.exec(line)!
    const { text, reason: unclear } = expand(rest!, variables, 'recipe')
    reason ??= unclear
    const command = text.trim()
    if (command !== '' && !command.startsWith('#')) {
      commands.push({ line: command, ...(marks!.includes('-') ? { tolerant: true } : {}) })
    }
  }
  const common = {
    name: rule.target,
    ...(rule.description ? { description: rule.description } : {}),
  }
  if (reason !== undefined) {
    const flag = /^(GNU)?[Mm]akefile$/.test(file) ? '' : ` -f ${file}`
    return {
      ...common,
      needs: [],
      commands: [{ line: `make${flag} ${rule.target}` }],
      notes: [`Left to make: ${reason}.`],
    }
  }
  return {
    ...common,
    needs,
    commands,
    ...(shell !== '' && !/^(\/bin\/)?sh$/.test(shell) ? { shell } : {}),
    ...(Object.keys(environment).length > 0 && commands.length > 0 ? { env: environment } : {}),
    ...(isFile ? { outputs: [rule.target] } : {}),
    ...(isFile && files.length > 0 ? { inputs: files } : {}),
  }
}
