/** The page of the built-in tasks: what `devstack list` and `devstack run <task> --help` print in this repository. */
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { z } from 'zod'

const root = dirname(import.meta.dirname)
const listed = z.array(z.object({ name: z.string(), private: z.boolean() }))

function devstack(...args: readonly string[]): string {
  const command = [join(root, 'bin', 'devstack.cjs'), ...args]
  const { status, stdout, stderr } = spawnSync(process.execPath, command, {
    cwd: root,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], CI: 'true' },
  })
  if (status !== 0) throw new Error(`devstack ${args.join(' ')} ended with ${status}: ${stderr || stdout}`)
  return stdout
}

/** Markdown: every task of the repository's own config with its help. Needs a build. */
export function tasksPage(): string {
  const lines = [
    '# Tasks',
    '',
    'The tasks of the built-in packs, as `devstack run <task> --help` explains them. Your own come from your config:',
    '`devstack list` shows them all.',
    '',
  ]
  for (const { name, private: hidden } of listed.parse(JSON.parse(devstack('list', '--json')))) {
    if (hidden) continue
    lines.push(`## ${name}`, '', '```text', devstack('run', name, '--help').trimEnd(), '```', '')
  }
  return lines.join('\n')
}
