/** The peers' programs: npm packages and Debian packages in a folder of their own, kept for the next time. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Pinned, so that two runs compare the same. */
export const packages = {
  turbo: '2.11.11',
  nx: '24.0.6',
  wireit: '0.14.13',
  '@moonrepo/cli': '2.5.5',
  hereby: '1.15.2',
} as const

/** `node_modules` with the npm peers; installed into `folder` when it is not there yet. */
export function npmPeers(folder: string): string {
  const ready = join(folder, 'npm')
  if (!existsSync(ready)) {
    const draft = join(folder, `npm.${process.pid}`)
    mkdirSync(draft, { recursive: true })
    writeFileSync(join(draft, 'package.json'), JSON.stringify({ private: true, dependencies: packages }))
    const command = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
    execFileSync('npm', command, { cwd: draft, stdio: ['ignore', 'ignore', 'inherit'] })
    renameSync(draft, ready)
  }
  return join(ready, 'node_modules')
}

/** A program of a Debian package: the machine's own, else the package unpacked into `folder`. */
export function debianProgram(folder: string, name: string, program: string): string {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter))
    if (existsSync(join(directory, program))) return join(directory, program)
  const root = join(folder, name)
  const path = join(root, 'usr', 'bin', program)
  if (!existsSync(path)) {
    mkdirSync(root, { recursive: true })
    execFileSync('apt-get', ['-qq', 'download', name], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
    const archive = readdirSync(root).find((file) => file.endsWith('.deb'))
    execFileSync('dpkg', ['-x', join(root, archive!), root])
  }
  return path
}
