/** docker compose v2 as a peer: Debian trixie's package, unpacked into a temporary folder and run stand-alone. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Path of the docker-compose program; fetched into `folder` when it is not there. Needs Debian's apt. */
export function composeProgram(folder: string): string {
  const program = join(folder, 'usr', 'libexec', 'docker', 'cli-plugins', 'docker-compose')
  const other = join(folder, 'usr', 'bin', 'docker-compose')
  for (const found of [program, other]) if (existsSync(found)) return found
  const lists = join(folder, 'lists')
  mkdirSync(join(lists, 'partial'), { recursive: true })
  // the next suite's source is this machine's own with another suite name
  writeFileSync(join(folder, 'sources.list'), nextSuite())
  const apt = (command: readonly string[]): void => {
    const options = [
      ['Dir::Etc::sourcelist', join(folder, 'sources.list')],
      ['Dir::Etc::sourceparts', '-'],
      ['Dir::State::lists', lists],
    ].flatMap(([name, value]) => ['-o', `${name}=${value}`])
    execFileSync('apt-get', [...options, ...command], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
  }
  apt(['-qq', 'update'])
  apt(['-qq', 'download', 'docker-compose'])
  const archive = readdirSync(folder).find((name) => name.startsWith('docker-compose') && name.endsWith('.deb'))
  execFileSync('dpkg', ['-x', join(folder, archive!), folder])
  for (const found of [program, other]) if (existsSync(found)) return found
  throw new Error(`no docker-compose in ${archive}`)
}

function nextSuite(): string {
  const plain = '/etc/apt/sources.list'
  const lines = existsSync(plain) ? readFileSync(plain, 'utf8').split('\n') : []
  const deb = lines
    .filter((line) => /^deb .* bookworm /.test(line))
    .map((line) => line.replace(' bookworm ', ' trixie '))
  if (deb.length > 0) return `${deb.join('\n')}\n`
  for (const name of readdirSync('/etc/apt/sources.list.d')) {
    const text = readFileSync(join('/etc/apt/sources.list.d', name), 'utf8')
    const host = /^URIs: *(\S+)/m.exec(text)?.[1]
    if (host && /bookworm/.test(text)) return `deb [trusted=yes] ${host} trixie main\n`
  }
  throw new Error('this machine has no apt source for bookworm to derive trixie from')
}
