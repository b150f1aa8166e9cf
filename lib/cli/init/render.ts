/** Drafts -> the text of a devstack.config.ts. */
import { type Draft, type DraftCommand, type DraftTask, identifierFor, inOrder, usableName } from './draft.ts'

const prefixes: Readonly<Record<Draft['source'], string>> = {
  'package.json': 'npm',
  makefile: 'make',
  compose: 'compose',
  taskfile: 'taskfile',
}

/** The config as text, formatted, and what a person should know about it. Without any draft: a config to start from. */
export function renderConfig(drafts: readonly Draft[]): { readonly text: string; readonly notes: readonly string[] } {
  const identifiers = new Set<string>()
  const names = new Set<string>()
  const blocks: string[] = []
  const entries: string[] = []
  const packs: string[] = []
  const notes: string[] = []
  const used = new Set(['defineConfig'])
  for (const draft of drafts) {
    notes.push(...draft.notes.map((note) => `${draft.file}: ${note}`))
    if (draft.source === 'compose') {
      packs.push(`compose(${quote(draft.file)})`)
      continue
    }
    const own = new Map<string, string>()
    draft.tasks.forEach((task) => {
      own.set(task.name, identifierFor(task.name, identifiers))
    })
    const ordered = inOrder(draft.tasks)
    if (ordered.length > 0) blocks.push(`// From ${draft.file}`)
    for (const task of ordered) {
      const { text, imports } = renderTask(task, own)
      for (const name of imports) used.add(name)
      blocks.push(text)
    }
    for (const task of draft.tasks) {
      const wanted = usableName(task.name)
      let name = names.has(wanted) ? `${prefixes[draft.source]}:${wanted}` : wanted
      for (let count = 2; names.has(name); count += 1) name = `${wanted}-${count}`
      names.add(name)
      if (name !== task.name) notes.push(`${draft.file}: "${task.name}" is the task ${name}.`)
      const identifier = own.get(task.name)!
      entries.push(name === identifier ? identifier : `${propertyName(name)}: ${identifier}`)
    }
  }
  if (entries.length === 0 && packs.length === 0) {
    used.add('task').add('command')
    blocks.push(starter)
    entries.push('hello')
  }
  const settings = [
    ...(packs.length > 0 ? [`use: [${packs.join(', ')}]`] : []),
    ...(entries.length > 0 ? [list('tasks: {', entries, '}', 1)] : []),
  ]
  const text = [
    [
      `import { ${[...used].sort().join(', ')} } from 'devstack'`,
      ...(packs.length > 0 ? ["import { compose } from 'devstack/packs'"] : []),
    ].join('\n'),
    ...joinBlocks(blocks),
    list('export default defineConfig({', settings, '})', 0),
  ].join('\n\n')
  return { text: `${text}\n`, notes }
}

const starter = `const hello = task({
  description: 'Say hello; replace it by what this project does',
  ...command('echo "hello from devstack"'),
})`

/** A heading stands directly above the first task it is for. */
function joinBlocks(blocks: readonly string[]): readonly string[] {
  const joined: string[] = []
  for (const block of blocks) {
    if (joined.at(-1)?.startsWith('// From') && !joined.at(-1)!.includes('\n')) joined.push(`${joined.pop()}\n${block}`)
    else joined.push(block)
  }
  return joined
}

function renderTask(task: DraftTask, own: ReadonlyMap<string, string>): { text: string; imports: readonly string[] } {
  const identifier = own.get(task.name)!
  const comments = (task.notes ?? [])
    .flatMap((note) => note.split('\n'))
    .map((line) => `// ${line}\n`)
    .join('')
  const needs = task.needs.map((name) => own.get(name)!)
  const extra = [
    ...(task.description ? [`description: ${quote(oneLine(task.description))}`] : []),
    ...(task.aliases?.length ? [`aliases: ${strings(task.aliases)}`] : []),
    ...(task.private ? ['private: true'] : []),
  ]
  if (task.commands.length === 0) {
    const head = `const ${identifier} = group(`
    const inner = needs.length === 0 ? '{}' : `{ ${needs.join(', ')} }`
    const options = extra.length === 0 ? '' : `, { ${extra.join(', ')} }`
    const line = `${head}${inner}${options})`
    if (line.length <= 120) return { text: comments + line, imports: ['group'] }
    const args = [list('{', needs, '}', 1), ...(extra.length === 0 ? [] : [list('{', extra, '}', 1)])]
    return { text: `${comments}${head}\n${args.map((arg) => `  ${arg},`).join('\n')}\n)`, imports: ['group'] }
  }
  const properties = [
    ...extra,
    ...(needs.length > 0 ? [list('needs: {', needs, '}', 1)] : []),
    ...(task.cwd ? [`cwd: ${quote(task.cwd)}`] : []),
    ...(task.env && Object.keys(task.env).length > 0
      ? [
          list(
            'env: {',
            Object.entries(task.env).map(([key, value]) => `${propertyName(key)}: ${quote(value)}`),
            '}',
            1,
          ),
        ]
      : []),
    ...(task.platforms?.length ? [`platforms: ${strings(task.platforms)}`] : []),
    ...(task.inputs?.length ? [`inputs: ${strings(task.inputs)}`] : []),
    ...(task.outputs?.length ? [`outputs: ${strings(task.outputs)}`] : []),
    ...body(task),
  ]
  const imports = task.commands.length === 1 ? ['task', 'command'] : ['task']
  return { text: comments + list(`const ${identifier} = task({`, properties, '})', 0, true), imports }
}

/** One command needs no function; several run one after the other, each in a shell of its own. */
function body(task: DraftTask): readonly string[] {
  const argument = (command: DraftCommand) => {
    // A comment or a here-document must not swallow the closing bracket.
    const end = /[#\n]/.test(command.line) ? '\n)' : ')'
    const text = command.tolerant ? `(${command.line}${end} || true` : command.line
    return task.shell === undefined ? quote(text) : `[${quote(task.shell)}, '-c', ${quote(text)}]`
  }
  if (task.commands.length === 1) return [`...command(${argument(task.commands[0]!)})`]
  const lines = task.commands.map((command) => `    await exec(${argument(command)})`)
  return [`run: async ({ exec }) => {\n${lines.join('\n')}\n  }`]
}

/** On one line if it fits into 120 columns, else one item a line. `indent` in steps of two blanks. */
function list(open: string, items: readonly string[], close: string, indent: number, tall = false): string {
  const isObject = close.startsWith('}')
  const blank = isObject && items.length > 0 ? ' ' : ''
  const line = `${open}${blank}${items.join(', ')}${blank}${close}`
  if (!tall && !line.includes('\n') && line.length + indent * 2 <= 100) return line
  const inner = ' '.repeat(indent * 2 + 2)
  return `${open}\n${items.map((item) => `${inner}${item},\n`).join('')}${' '.repeat(indent * 2)}${close}`
}

function strings(values: readonly string[]): string {
  return list('[', values.map(quote), ']', 1)
}

function propertyName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) && name !== '__proto__'
    ? name
    : name === '__proto__'
      ? "['__proto__']"
      : quote(name)
}

/** A JavaScript string literal, in the quotes that need fewer escapes; whatever the text, it is one line and inert. */
export function quote(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'"
  const inner = text.replace(/[\\'"\p{Cc}\u2028\u2029\p{Cs}]/gu, (character) => {
    if (character === '\\') return '\\\\'
    if (character === '"' || character === "'") return character === mark ? `\\${character}` : character
    if (character === '\n') return '\\n'
    if (character === '\t') return '\\t'
    if (character === '\r') return '\\r'
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
  return `${mark}${inner}${mark}`
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}
