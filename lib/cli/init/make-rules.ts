/** Lines of a Makefile -> variables and rules, as GNU make's manual describes them. */
import { expand, type Variable } from './make-variables.ts'

/** One target with everything that is said of it. */
export interface Rule {
  readonly target: string
  readonly prerequisites: string[]
  /** Those behind `|`: they must be there, and nothing more. */
  readonly orderOnly: string[]
  recipe: string[]
  description?: string
  readonly variables: Map<string, Variable>
  /** Why make itself must run it. */
  reason?: string
}

/** What the lines of a Makefile say. */
export interface Reading {
  readonly variables: Map<string, Variable>
  readonly exported: Set<string>
  readonly rules: Map<string, Rule>
  readonly phony: Set<string>
  readonly notes: string[]
  oneShell: boolean
  /** The comment directly above, line by line. */
  comment: string[]
  /** Depth of `ifeq` ... `endif`. */
  conditional: number
}

const assignment = /^\s*(?:override\s+|private\s+)*(export\s+)?([\w.-]+)\s*(\?=|:::?=|::=|:=|\+=|!=|=)\s*(.*)$/s

/** Reads the text of a Makefile. Never throws: lines that are not understood are named in the notes. */
export function readMakefile(text: string): Reading {
  const reading: Reading = {
    variables: new Map(),
    exported: new Set(),
    rules: new Map(),
    phony: new Set(),
    notes: [],
    oneShell: false,
    comment: [],
    conditional: 0,
  }
  read(logicalLines(text), reading)
  return reading
}

interface LogicalLine {
  readonly text: string
  readonly number: number
}

/** Lines with continuations joined; in recipes the backslash stays, since the shell joins those. */
function logicalLines(text: string): readonly LogicalLine[] {
  const lines: LogicalLine[] = []
  let open: { text: string; number: number } | undefined
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const continues = /(?<!\\)(\\\\)*\\$/.test(raw)
    const isRecipe = (open?.text ?? raw).startsWith('\t')
    const part = continues && !isRecipe ? `${raw.slice(0, -1).trimEnd()} ` : raw
    if (open) open.text += isRecipe ? `\n${part.replace(/^\t/, '')}` : part.trimStart()
    else open = { text: part, number: index + 1 }
    if (continues) continue
    lines.push(open)
    open = undefined
  }
  if (open) lines.push(open)
  return lines
}

function read(lines: readonly LogicalLine[], reading: Reading): void {
  let current: Rule[] = []
  // Recipes of rules that are not imported are passed over.
  let afterRule = false
  for (let index = 0; index < lines.length; index += 1) {
    const { text, number } = lines[index]!
    if (text.startsWith('\t') && afterRule) {
      const line = text.slice(1)
      for (const rule of current) {
        if (line.trim() !== '') rule.recipe.push(line)
        if (reading.conditional > 0) rule.reason ??= 'its recipe has a condition'
      }
      continue
    }
    const bare = text.trim()
    if (bare === '') {
      reading.comment = []
      continue
    }
    if (bare.startsWith('#')) {
      const said = bare.replace(/^#+\s*/, '')
      // A ruler of dashes parts sections and describes nothing.
      if (/\w/.test(said)) reading.comment.push(said)
      else reading.comment = []
      continue
    }
    if (/^(ifeq|ifneq|ifdef|ifndef)\b/.test(bare)) reading.conditional += 1
    else if (/^endif\b/.test(bare)) reading.conditional = Math.max(0, reading.conditional - 1)
    else if (/^else\b/.test(bare)) continue
    else if (/^define\b/.test(bare)) {
      index = readDefine(lines, index, reading)
      current = []
    } else if (/^(-?include|sinclude)\b/.test(bare)) {
      reading.notes.push(`line ${number}: what it includes (${bare.replace(/^\S+\s*/, '')}) was not imported.`)
      current = []
    } else if (/^(export|unexport)(\s+[\w.-]+)*\s*$/.test(bare)) {
      if (bare.startsWith('export')) for (const name of bare.split(/\s+/).slice(1)) reading.exported.add(name)
    } else if (/^(vpath|undefine|load)\b/.test(bare)) {
      reading.notes.push(`line ${number}: ${bare.split(/\s/, 1)[0]} was not imported.`)
    } else if (assignment.test(text)) {
      assign(text, reading.variables, reading)
      current = []
      afterRule = false
    } else {
      current = readRule(text, number, reading)
      afterRule = true
    }
    if (!/^((ifn?eq|ifn?def|endif)\b|\.PHONY\b)/.test(bare)) reading.comment = []
  }
}

function readDefine(lines: readonly LogicalLine[], from: number, reading: Reading): number {
  const name = /^\s*define\s+([\w.-]+)/.exec(lines[from]!.text)?.[1]
  let index = from + 1
  while (index < lines.length && !/^\s*endef\b/.test(lines[index]!.text)) index += 1
  if (name) reading.variables.set(name, { value: '', opaque: `$(${name}) is a definition of several lines` })
  return index
}

function assign(text: string, into: Map<string, Variable>, reading: Reading): void {
  const [, exported, name, operator, raw] = assignment.exec(text)!
  // An unquoted # begins a comment, also behind a value.
  const value = raw!
    .replace(/(?<!\\)#.*$/s, '')
    .replaceAll('\\#', '#')
    .trim()
  if (exported) reading.exported.add(name!)
  const isTarget = into !== reading.variables
  const before = into.get(name!) ?? (isTarget ? reading.variables.get(name!) : undefined)
  if (reading.conditional > 0) {
    into.set(name!, { value, opaque: `$(${name}) depends on a condition` })
  } else if (operator === '!=') {
    into.set(name!, { value: `$(shell ${value})` })
  } else if (operator === '?=') {
    if (!before) into.set(name!, { value, overridable: true })
  } else if (operator === '+=' && before) {
    into.set(name!, { ...before, value: before.value === '' ? value : `${before.value} ${value}` })
  } else {
    // What was made of the first value in between would have to be followed line by line.
    const isAnother = before !== undefined && !isTarget && before.value !== value
    into.set(name!, isAnother ? { value, opaque: `$(${name}) is set twice` } : { value })
  }
}

function readRule(text: string, number: number, reading: Reading): Rule[] {
  const { notes, variables } = reading
  const described = /\s##\s*(.*)$/s.exec(text)?.[1]
  const line = text.replace(/(?<!\\)#.*$/s, '')
  const colon = /^((?:[^:=]|\$\([^)]*\)|\$\{[^}]*\})*?)\s*(&?::?)(?!=)(.*)$/s.exec(line)
  if (!colon) {
    notes.push(`line ${number} was not understood: ${text.trim().slice(0, 60)}`)
    return []
  }
  const [, left, , right] = colon
  const semicolon = right!.indexOf(';')
  const needed = semicolon < 0 ? right! : right!.slice(0, semicolon)
  const inline = semicolon < 0 ? undefined : right!.slice(semicolon + 1).trim()
  const targets = expand(left!, variables)
  const names = words(targets.text)
  if (targets.reason !== undefined) {
    notes.push(`line ${number}: "${left!.trim()}" was not imported: ${targets.reason}.`)
    return []
  }
  if (assignment.test(needed)) {
    for (const name of names) {
      const rule = ruleFor(name, reading)
      if (rule) assign(needed, rule.variables, { ...reading, exported: new Set() })
    }
    return []
  }
  const prerequisites = expand(needed, variables)
  const [parts = [], orderOnly = []] = prerequisites.text.split(/(?:^|\s)\|(?:\s|$)/).map(words)
  const rules: Rule[] = []
  for (const name of names) {
    if (name === '.PHONY') for (const part of parts) reading.phony.add(part)
    if (name === '.ONESHELL') reading.oneShell = true
    if (isSpecial(name)) continue
    if (name.includes('%') || needed.includes('%')) {
      notes.push(`line ${number}: the pattern rule "${name}" was not imported; a task has one name.`)
      continue
    }
    const rule = ruleFor(name, reading)!
    rule.prerequisites.push(...parts)
    rule.orderOnly.push(...orderOnly)
    if (prerequisites.reason !== undefined) rule.reason ??= prerequisites.reason
    if (reading.conditional > 0) rule.reason ??= 'it depends on a condition'
    const about = described ?? firstSentence(reading.comment)
    if (about) rule.description ??= about
    if (inline) rule.recipe.push(inline)
    rules.push(rule)
  }
  return rules
}

// The suffixes that GNU make knows from the start; a pair of them is a rule for files, not a target.
const suffix =
  'out|a|ln|o|c|cc|C|cpp|p|f|F|m|r|y|l|ym|lm|s|S|mod|sym|def|h|info|dvi|tex|texinfo|texi|txinfo|w|ch|web|sh|elc|el'
const suffixRule = new RegExp(`^\\.(${suffix})(\\.(${suffix}))?$`)

/** `.PHONY`, `.SUFFIXES` ..., and suffix rules such as `.c.o`. */
function isSpecial(name: string): boolean {
  return /^\.[A-Z_]+$/.test(name) || suffixRule.test(name)
}

/** Names of files; `./x` is `x` for make, too. */
function words(text: string): readonly string[] {
  return text
    .split(/\s+/)
    .map((word) => word.replace(/^(\.\/)+(?=.)/, ''))
    .filter((word) => word !== '')
}

/** What a comment begins with, if that is short enough to stand in a list. */
function firstSentence(comment: readonly string[]): string | undefined {
  const sentence = comment.join(' ').split(/\.(?:\s|$)/, 1)[0]!
  return sentence === '' || sentence.length > 100 || /^https?:/.test(sentence) ? undefined : sentence
}

function ruleFor(target: string, { rules }: Reading): Rule | undefined {
  if (isSpecial(target) || target.includes('%')) return undefined
  const rule = rules.get(target) ?? { target, prerequisites: [], orderOnly: [], recipe: [], variables: new Map() }
  rules.set(target, rule)
  return rule
}
