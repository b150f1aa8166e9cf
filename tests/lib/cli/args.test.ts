import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseArguments } from '../../../lib/cli/args.ts'
import { commandNames, commands, commonOptions, optionsOf } from '../../../lib/cli/grammar.ts'
import { DevstackError } from '../../../lib/errors.ts'

const parse = (line: string, taskNames: string[] = []) =>
  parseArguments(line === '' ? [] : line.split(' '), { taskNames })

function failure(argv: string | string[], taskNames: string[] = []): DevstackError {
  try {
    parseArguments(typeof argv === 'string' ? argv.split(' ') : argv, { taskNames })
  } catch (thrown) {
    assert.instance(thrown, DevstackError)
    return thrown as DevstackError
  }
  throw new Error(`was accepted: ${JSON.stringify(argv)}`)
}

const reading = suite('reading arguments')

reading('nothing is help', () => {
  assert.equal(parse(''), { command: 'help', options: {}, operands: [], words: [] })
})

reading('options stand before the command, before the task, and their values in every form', () => {
  const { command, options, words } = parse('-C sub run -j4 --keep-going --timeout=10m --junit out.xml build')
  assert.is(command, 'run')
  assert.equal(options, { cwd: 'sub', concurrency: 4, failureMode: 'keep-going', timeout: 600_000, junit: 'out.xml' })
  assert.equal(words, ['build'])
  assert.is(parse('run -j 8 x').options.concurrency, 8)
  assert.is(parse('run --concurrency=8 x').options.concurrency, 8)
  assert.equal(parse('run -kf x').options, { failureMode: 'keep-going', force: true })
  assert.equal(parse('run -kj2 x').options, { failureMode: 'keep-going', concurrency: 2 })
})

reading('what stands behind the task is left as it was typed', () => {
  const { options, words } = parse('run backup --keep 5 --json -- restore --from latest')
  assert.equal(options, {})
  assert.equal(words, ['backup', '--keep', '5', '--json', '--', 'restore', '--from', 'latest'])
  assert.equal(parse('run -n -- up').words, ['up'])
})

reading('the last failure mode wins, and no- takes a flag back', () => {
  assert.is(parse('run -k --kill x').options.failureMode, 'kill')
  assert.is(parse('run --kill --fail-fast x').options.failureMode, 'fail-fast')
  assert.is(parse('run --kill --no-kill x').options.failureMode, undefined)
  assert.is(parse('run --no-cache x').options.cache, false)
  assert.is(parse('run --no-cache --cache x').options.cache, true)
  assert.is(parse('run --force --no-force x').options.force, false)
  assert.is(parse('run --no-backup x').options.backup, false)
})

reading('commands without tasks take options anywhere', () => {
  assert.equal(parse('graph up --format svg').options.format, 'svg')
  assert.equal(parse('graph --format svg up').operands, ['up'])
  assert.equal(parse('cache prune --max-size 500MB --older-than 72h').options, {
    maxSize: 500 * 1024 ** 2,
    olderThan: 72 * 3_600_000,
  })
  assert.equal(parse('compose config -f a.yml -f b.yml --format json').options.file, ['a.yml', 'b.yml'])
  assert.equal(parse('init --from makefile,compose').options.from, ['makefile', 'compose'])
})

reading('help needs nothing else to be right', () => {
  assert.is(parse('run --help').options.help, true)
  assert.is(parse('completion -h').options.help, true)
  assert.is(parse('--version').options.version, true)
})

const refusing = suite('refusing arguments')

refusing('an unknown command, with the near one', () => {
  const error = failure('rnu up')
  assert.is(error.kind, 'usage')
  assert.is(error.code, 'USAGE_UNKNOWN_COMMAND')
  assert.is(error.exitCode, 2)
  assert.match(error.message, 'There is no command "rnu". Did you mean "run"?')
})

refusing('a task in place of a command, with the right line', () => {
  assert.match(failure('build', ['build']).hint ?? '', 'devstack run build')
})

refusing('an unknown option, with the near one', () => {
  assert.match(failure('run --forec x').message, 'devstack run has no option --forec. Did you mean "--force"?')
  assert.is(failure('list --force').code, 'USAGE_UNKNOWN_OPTION')
  assert.is(failure('--force list').code, 'USAGE_UNKNOWN_OPTION')
  assert.is(failure('run -Z x').code, 'USAGE_UNKNOWN_OPTION')
  assert.is(failure('run -kZ x').code, 'USAGE_UNKNOWN_OPTION')
  assert.is(failure('--nope').code, 'USAGE_UNKNOWN_OPTION')
})

refusing('a missing or wrong value', () => {
  assert.is(failure('run --junit').code, 'USAGE_OPTION_NEEDS_VALUE')
  const dashed = failure('run --junit --json x')
  assert.is(dashed.code, 'USAGE_OPTION_NEEDS_VALUE')
  assert.match(dashed.hint ?? '', '--junit=--json')
  for (const value of ['0', '-1', '1.5', 'many', '', '99999999999999999999']) {
    const error = failure(['run', `--concurrency=${value}`, 'x'])
    assert.is(error.code, 'USAGE_BAD_OPTION_VALUE', value)
    assert.match(error.message, 'a whole number from 1')
  }
  assert.match(failure('run --renderer tere x').message, 'Did you mean "tree"?')
  assert.is(failure('run --timeout 10 x').code, 'USAGE_BAD_OPTION_VALUE')
  assert.is(failure('run --force=maybe x').code, 'USAGE_BAD_OPTION_VALUE')
  assert.is(failure(['run', '--config=', 'x']).code, 'USAGE_BAD_OPTION_VALUE')
})

refusing('a missing or superfluous argument', () => {
  assert.is(failure('run').code, 'USAGE_TASK_MISSING')
  assert.is(failure('run --').code, 'USAGE_TASK_MISSING')
  assert.is(failure('completion').code, 'USAGE_ARGUMENT_MISSING')
  assert.match(failure('completion bsh').message, 'Did you mean "bash"?')
  assert.is(failure('list x').code, 'USAGE_TOO_MANY_ARGUMENTS')
  assert.is(failure('show a b').code, 'USAGE_TOO_MANY_ARGUMENTS')
})

const table = suite('the table of commands')

table('every command is there once, with unambiguous options', () => {
  assert.equal(
    commands.map(({ name }) => name),
    [...commandNames],
  )
  for (const entry of commands) {
    const options = optionsOf(entry)
    const names = options.map(({ name }) => name)
    const shorts = options.flatMap(({ short }) => (short === undefined ? [] : [short]))
    assert.is(new Set(names).size, names.length, entry.name)
    assert.is(new Set(shorts).size, shorts.length, entry.name)
    assert.ok(commonOptions.every((option) => options.includes(option)))
  }
})

table('every example is accepted', () => {
  for (const { examples } of commands) {
    for (const { line } of examples) {
      const argv = /devstack ([^|>)]*)/.exec(line)![1]!.trim().split(' ')
      assert.ok(parseArguments(argv), line)
    }
  }
})

const laws = suite('laws of arguments')
const words = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    ...commandNames,
    '--',
    '-',
    '--=',
    '-j',
    '-j4',
    '--no-',
    '--json',
    '--from',
    '__proto__',
    '--__proto__',
  ),
  fc.constantFrom(...commands.flatMap((entry) => entry.options.map(({ name }) => `--${name}`))),
)

laws('whatever was typed gives an invocation or a DevstackError of usage', () => {
  fc.assert(
    fc.property(fc.array(words), (argv) => {
      try {
        const invocation = parseArguments(argv)
        assert.ok(commandNames.includes(invocation.command))
        assert.is(Object.getPrototypeOf(invocation.options), Object.prototype)
      } catch (thrown) {
        assert.instance(thrown, DevstackError)
        assert.is((thrown as DevstackError).exitCode, 2)
      }
    }),
    { numRuns: 500 },
  )
})

laws('words behind the task come back literally', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), (rest) => {
      assert.equal(parseArguments(['run', '-k', 'task', ...rest]).words, ['task', ...rest])
    }),
  )
})

reading.run()
refusing.run()
table.run()
laws.run()
