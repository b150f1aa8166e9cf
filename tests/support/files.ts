/** The test files, and what the comments on their first lines say about how to run them. */
import { globSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'

/**
 * `unit` needs no engine. `stack` files start the whole HA stack and run one after another; `engine` files are the other
 * scenarios. `long` files take minutes each and are run when asked for.
 */
export type Lane = 'unit' | 'engine' | 'stack' | 'long'

export interface TestFile {
  /** Relative to the repository. */
  readonly path: string
  readonly lane: Lane
  readonly deadlineMs: number
  /** Why the file counts as failed without being run. */
  readonly refused: string | undefined
}

const defaultDeadlineMs: Readonly<Record<Lane, number>> = {
  unit: 240_000,
  engine: 600_000,
  stack: 900_000,
  long: 3_600_000,
}

/** All test files below `tests/`, in a stable order. */
export function findTestFiles(root: string): readonly TestFile[] {
  return globSync('tests/**/*.test.ts', {
    cwd: root,
    exclude: ['**/node_modules/**', '**/fixtures/**', '**/.work-*/**'],
  })
    .map((path) => path.replaceAll('\\', '/'))
    .sort()
    .map((path) => describe(path, readFileSync(join(root, path), 'utf8')))
}

/**
 * Reads the markers of one file: `// needs: stack` puts a scenario into the lane of the whole stack, `// deadline: 900s`
 * replaces the default deadline (unit 240 s, engine 600 s, stack 900 s, long 3600 s). Markers stand among the first lines.
 */
export function describe(path: string, source: string): TestFile {
  const head = source.split('\n', 8)
  const needsStack = head.some((line) => /^\/\/ needs: stack\s*$/.test(line))
  const lane: Lane = path.startsWith('tests/long/')
    ? 'long'
    : !path.startsWith('tests/scenarios/')
      ? 'unit'
      : needsStack
        ? 'stack'
        : 'engine'
  const deadline = head.map((line) => /^\/\/ deadline: (\d+)s\s*$/.exec(line)?.[1]).find((seconds) => seconds)
  return {
    path,
    lane,
    deadlineMs: deadline === undefined ? defaultDeadlineMs[lane] : Number(deadline) * 1000,
    refused: /\bassert\b/.test(source) ? undefined : 'asserts nothing',
  }
}

/** Files below `lib/` of which nothing is left once types are erased: there is nothing in them that a test could run. */
export function filesOfTypesAlone(root: string): readonly string[] {
  return globSync('lib/**/*.ts', { cwd: root }).filter((path) => {
    const code = stripTypeScriptTypes(readFileSync(join(root, path), 'utf8'))
    return code.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '').trim() === ''
  })
}
