/**
 * The command line as data: every command with its options and examples. Parsing, help, completion and the reference in
 * docs/ are all made from this one table, so none of them can tell another story.
 *
 * Imports nothing: it is on the path of every start.
 */

export type OptionValue =
  /** `--force`; `--no-force` takes it back. */
  | { readonly kind: 'flag' }
  | { readonly kind: 'text'; readonly label: string; readonly many?: boolean }
  | { readonly kind: 'file' | 'directory'; readonly label: string; readonly many?: boolean }
  | { readonly kind: 'number'; readonly label: string; readonly least: number }
  /** Milliseconds once read; written as `30s`, `5m`. */
  | { readonly kind: 'duration'; readonly label: string }
  /** Bytes once read; written as `500MB`, `2GB`. */
  | { readonly kind: 'size'; readonly label: string }
  | { readonly kind: 'choice'; readonly choices: readonly string[]; readonly many?: boolean }

export interface OptionEntry {
  /** As typed, without the dashes. A name that begins with `no-` switches off what is on by default. */
  readonly name: string
  readonly short?: string
  readonly value: OptionValue
  readonly summary: string
}

/** What stands after a command's options. */
export type Operand =
  | { readonly kind: 'none' }
  /** Tasks with their params, `--` between them. `least` 0: none is fine too. */
  | { readonly kind: 'tasks'; readonly least: 0 | 1 }
  | { readonly kind: 'task' }
  | { readonly kind: 'topic' }
  | { readonly kind: 'run' }
  | { readonly kind: 'choice'; readonly label: string; readonly choices: readonly string[] }

export interface CommandEntry {
  readonly name: CommandName
  /** The heading it stands under in `devstack --help`. */
  readonly section: 'Run tasks' | 'Look' | 'Runs' | 'Project'
  readonly summary: string
  /** What follows `devstack <name>`. */
  readonly usage: string
  readonly operand: Operand
  readonly options: readonly OptionEntry[]
  /** A few lines more, each at most 76 columns. */
  readonly notes?: readonly string[]
  readonly examples: readonly { readonly line: string; readonly says: string }[]
}

export const commandNames = [
  'run',
  'plan',
  'why',
  'watch',
  'list',
  'graph',
  'help',
  'runs',
  'show',
  'resume',
  'undo',
  'init',
  'doctor',
  'completion',
  'compose',
  'cache',
  'locks',
] as const
export type CommandName = (typeof commandNames)[number]

export const rendererNames = ['tree', 'lines', 'github', 'json', 'silent'] as const
export const graphFormats = ['mermaid', 'dot', 'json', 'svg'] as const
export const shells = ['bash', 'zsh', 'fish'] as const
export const importNames = ['package.json', 'makefile', 'compose', 'taskfile'] as const

const flag: OptionValue = { kind: 'flag' }

/** Options of every command. */
export const commonOptions: readonly OptionEntry[] = [
  {
    name: 'config',
    value: { kind: 'file', label: 'FILE' },
    summary: 'Use this config instead of the nearest devstack.config.*',
  },
  { name: 'cwd', short: 'C', value: { kind: 'directory', label: 'DIR' }, summary: 'Act as if started in this folder' },
  {
    name: 'verbose',
    short: 'v',
    value: flag,
    summary: 'Show all output of the tasks, and more of the cause of an error',
  },
  { name: 'quiet', short: 'q', value: flag, summary: 'Show failures and results alone' },
  { name: 'version', short: 'V', value: flag, summary: 'Print the version' },
  { name: 'help', short: 'h', value: flag, summary: 'Print help for the command or task' },
]

const json: OptionEntry = { name: 'json', value: flag, summary: 'Print JSON' }
const yes: OptionEntry = { name: 'yes', short: 'y', value: flag, summary: 'Answer the confirmation with yes' }
const noBackup: OptionEntry = {
  name: 'no-backup',
  value: flag,
  summary: 'Make no backup before something is destroyed',
}
const force: OptionEntry = { name: 'force', short: 'f', value: flag, summary: 'Run also what is unchanged' }
const noCache: OptionEntry = { name: 'no-cache', value: flag, summary: 'Neither read nor write the cache' }
const dryRun: OptionEntry = {
  name: 'dry-run',
  short: 'n',
  value: flag,
  summary: 'Print the plan and the cause of each step; change nothing',
}

const showingOptions: readonly OptionEntry[] = [
  {
    name: 'renderer',
    value: { kind: 'choice', choices: rendererNames },
    summary: 'How progress is shown; chosen by itself when left out',
  },
  { name: 'json', value: flag, summary: 'Print every event as one line of JSON (same as --renderer json)' },
  { name: 'junit', value: { kind: 'file', label: 'FILE' }, summary: 'Write a JUnit report' },
  { name: 'trace', value: { kind: 'file', label: 'FILE' }, summary: 'Write a trace for Perfetto or chrome://tracing' },
]

/** Options of whatever runs tasks; they may stand before the command, before a task, or after a task. */
export const runOptions: readonly OptionEntry[] = [
  {
    name: 'concurrency',
    short: 'j',
    value: { kind: 'number', label: 'N', least: 1 },
    summary: 'Tasks at a time; default: the number of CPUs',
  },
  { name: 'fail-fast', value: flag, summary: 'After a failure start nothing more (the default)' },
  { name: 'keep-going', short: 'k', value: flag, summary: 'After a failure go on with what does not need it' },
  { name: 'kill', value: flag, summary: 'After a failure end what is running, too' },
  force,
  noCache,
  dryRun,
  yes,
  noBackup,
  {
    name: 'timeout',
    value: { kind: 'duration', label: 'TIME' },
    summary: 'Cancel the run after this time, for example 10m',
  },
  ...showingOptions,
]

const severalTasks = [
  "Options before a task are devstack's; options after it are the task's own.",
  '-- begins the next task with its own params. A word that a task does not take',
  'and that names a task begins that one, too.',
]

/** Every command, in the order in which help lists them. */
export const commands: readonly CommandEntry[] = [
  {
    name: 'run',
    section: 'Run tasks',
    summary: 'Run tasks and what they need',
    usage: '[options] <task> [params] [-- <task> [params]]...',
    operand: { kind: 'tasks', least: 1 },
    options: runOptions,
    notes: severalTasks,
    examples: [
      { line: 'devstack run up', says: 'run the task "up" and everything it needs' },
      { line: 'devstack run -j 4 --keep-going lint test', says: 'two tasks, four at a time, past failures' },
      { line: 'devstack run backup --keep 5 -- restore --from latest', says: 'two tasks, each with params' },
    ],
  },
  {
    name: 'plan',
    section: 'Run tasks',
    summary: 'Print what would run, be reused or be skipped, and why',
    usage: '[options] <task> [params] [-- <task> [params]]...',
    operand: { kind: 'tasks', least: 1 },
    options: [force, noCache, json],
    notes: ['Planning changes nothing: it has no way to write.'],
    examples: [
      { line: 'devstack plan up', says: 'each step with its cause' },
      { line: 'devstack plan --json up', says: 'the same for a program' },
    ],
  },
  {
    name: 'why',
    section: 'Run tasks',
    summary: 'Say why a task would run, down to what differs',
    usage: '[options] <task> [params]',
    operand: { kind: 'tasks', least: 1 },
    options: [json],
    examples: [{ line: 'devstack why build', says: 'the files, variables or params that changed' }],
  },
  {
    name: 'watch',
    section: 'Run tasks',
    summary: 'Run tasks again whenever a file they read changes',
    usage: '[options] <task> [params] [-- <task> [params]]...',
    operand: { kind: 'tasks', least: 1 },
    options: runOptions.filter((option) => option.name !== 'dry-run'),
    notes: ['Services stay up between runs. Ctrl-C ends the watch.'],
    examples: [{ line: 'devstack watch test', says: 'test again after each change' }],
  },
  {
    name: 'list',
    section: 'Look',
    summary: 'List the tasks, by namespace, one line each',
    usage: '[options]',
    operand: { kind: 'none' },
    options: [{ name: 'all', short: 'a', value: flag, summary: 'Private tasks, too' }, json],
    examples: [{ line: 'devstack list', says: 'what can be run here' }],
  },
  {
    name: 'graph',
    section: 'Look',
    summary: 'Print the graph of a task, or of all tasks',
    usage: '[options] [task]',
    operand: { kind: 'task' },
    options: [
      {
        name: 'format',
        value: { kind: 'choice', choices: graphFormats },
        summary: 'Language of the graph; default mermaid',
      },
    ],
    examples: [{ line: 'devstack graph up --format svg > up.svg', says: 'a picture of what "up" needs' }],
  },
  {
    name: 'help',
    section: 'Look',
    summary: 'Explain a command or a task',
    usage: '[command | task]',
    operand: { kind: 'topic' },
    options: [],
    examples: [
      { line: 'devstack help run', says: 'a command with its options' },
      { line: 'devstack help migrate', says: 'a task with its params' },
    ],
  },
  {
    name: 'runs',
    section: 'Runs',
    summary: 'List the latest runs',
    usage: '[options]',
    operand: { kind: 'none' },
    options: [
      {
        name: 'limit',
        value: { kind: 'number', label: 'N', least: 1 },
        summary: 'How many; default 20',
      },
      json,
    ],
    examples: [{ line: 'devstack runs', says: 'ids, outcomes and durations' }],
  },
  {
    name: 'show',
    section: 'Runs',
    summary: 'Show a run again, from its journal',
    usage: '[options] [run]',
    operand: { kind: 'run' },
    options: showingOptions,
    notes: ['Without a run: the latest one. The first characters of an id are enough.'],
    examples: [{ line: 'devstack show --verbose', says: 'the latest run with all its output' }],
  },
  {
    name: 'resume',
    section: 'Runs',
    summary: 'Continue a run that failed or was interrupted',
    usage: '[options] [run]',
    operand: { kind: 'run' },
    options: runOptions,
    notes: ['What is done and unchanged is reused with its recorded value.'],
    examples: [{ line: 'devstack resume', says: 'continue the latest unfinished run' }],
  },
  {
    name: 'undo',
    section: 'Runs',
    summary: 'Undo what a run did, last thing first',
    usage: '[options] [run]',
    operand: { kind: 'run' },
    options: [yes, dryRun, noBackup, ...showingOptions],
    examples: [{ line: 'devstack undo --dry-run', says: 'what undoing the latest run would do' }],
  },
  {
    name: 'init',
    section: 'Project',
    summary: 'Write a devstack.config.ts for this folder',
    usage: '[options]',
    operand: { kind: 'none' },
    options: [
      {
        name: 'from',
        value: { kind: 'choice', choices: importNames, many: true },
        summary: 'Import this alone; default: everything that is found',
      },
      { ...dryRun, summary: 'Print the config instead of writing it' },
      { name: 'schema', value: flag, summary: 'Print the JSON Schema of YAML and JSON configs' },
    ],
    notes: [
      'Scripts of package.json, targets of a Makefile, tasks of a Taskfile and',
      'services of a compose file become tasks. An existing config is never touched.',
    ],
    examples: [
      { line: 'devstack init', says: 'import what is here' },
      { line: 'devstack init --from makefile --dry-run', says: 'look at it first' },
    ],
  },
  {
    name: 'doctor',
    section: 'Project',
    summary: 'Check this machine and project; name each remedy',
    usage: '[options]',
    operand: { kind: 'none' },
    options: [json],
    notes: ['Exit code 0 when nothing is wrong, 1 when something keeps tasks from running.'],
    examples: [{ line: 'devstack doctor', says: 'Node, engine, disk, memory, ports, config, locks' }],
  },
  {
    name: 'completion',
    section: 'Project',
    summary: 'Print the completion script of a shell',
    usage: '<bash | zsh | fish>',
    operand: { kind: 'choice', label: 'shell', choices: shells },
    options: [],
    examples: [
      { line: 'source <(devstack completion bash)', says: 'in ~/.bashrc' },
      { line: 'source <(devstack completion zsh)', says: 'in ~/.zshrc, after compinit' },
      { line: 'devstack completion fish | source', says: 'in ~/.config/fish/config.fish' },
    ],
  },
  {
    name: 'compose',
    section: 'Project',
    summary: 'Print the resolved model of compose files',
    usage: 'config [options]',
    operand: { kind: 'choice', label: 'action', choices: ['config'] },
    options: [
      {
        name: 'file',
        short: 'f',
        value: { kind: 'file', label: 'FILE', many: true },
        summary: 'A compose file; give it again to merge several',
      },
      { name: 'profile', value: { kind: 'text', label: 'NAME', many: true }, summary: 'Services of this profile, too' },
      {
        name: 'env-file',
        value: { kind: 'file', label: 'FILE', many: true },
        summary: 'Variables to interpolate; default .env',
      },
      {
        name: 'format',
        value: { kind: 'choice', choices: ['yaml', 'json'] },
        summary: 'Language of the output; default yaml',
      },
    ],
    examples: [{ line: 'devstack compose config -f compose.yaml', says: 'what devstack makes of the file' }],
  },
  {
    name: 'cache',
    section: 'Project',
    summary: 'Show or prune the cache of task outputs',
    usage: '<stats | prune> [options]',
    operand: { kind: 'choice', label: 'action', choices: ['stats', 'prune'] },
    options: [
      {
        name: 'max-size',
        value: { kind: 'size', label: 'SIZE' },
        summary: 'Prune down to this size, oldest first, for example 500MB',
      },
      {
        name: 'older-than',
        value: { kind: 'duration', label: 'TIME' },
        summary: 'Prune what was not used for this time, for example 72h',
      },
      { ...dryRun, summary: 'Say what would be removed; remove nothing' },
      json,
    ],
    examples: [{ line: 'devstack cache prune --older-than 168h', says: 'forget what a week did not need' }],
  },
  {
    name: 'locks',
    section: 'Project',
    summary: 'List the locks that are held, by whom and since when',
    usage: '[options]',
    operand: { kind: 'none' },
    options: [json],
    examples: [{ line: 'devstack locks', says: 'who keeps a run waiting' }],
  },
]

/** The entry of a command; `undefined` when there is no such command. */
export function commandEntry(name: string): CommandEntry | undefined {
  return commands.find((entry) => entry.name === name)
}

/** All options a command takes, its own first. */
export function optionsOf(entry: CommandEntry): readonly OptionEntry[] {
  return [...entry.options, ...commonOptions]
}

/** `-j, --concurrency N` */
export function optionLabel(option: OptionEntry): string {
  const short = option.short === undefined ? '    ' : `-${option.short}, `
  return `${short}--${option.name}${valueLabel(option.value)}`
}

function valueLabel(value: OptionValue): string {
  if (value.kind === 'flag') return ''
  return ` ${value.kind === 'choice' ? 'NAME' : value.label}`
}
