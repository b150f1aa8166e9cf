/** Labels of our images: each says its name and version, and those with a package the version of that. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const test = suite('labels of images')
const root = join(dirname(dirname(dirname(import.meta.dirname))), 'infrastructure')

for (const name of readdirSync(root)) {
  test(name, () => {
    const text = readFileSync(join(root, name, 'Dockerfile'), 'utf8')
    const lastStage = text.slice(text.lastIndexOf('\nFROM '))
    const label = (key: string): string | undefined =>
      new RegExp(`org\\.opencontainers\\.image\\.${key}="([^"]+)"`).exec(lastStage)?.[1]
    assert.is(label('title'), `devstack-${name}`)
    assert.ok(label('description'))
    const version = label('version')
    const argument = /^\$\{(\w+)\}$/.exec(version ?? '')?.[1]
    if (argument) assert.match(lastStage, new RegExp(`^ARG ${argument}\\b`, 'm'), 'an argument that this stage knows')
    const file = join(root, name, 'package.json')
    if (existsSync(file)) assert.is(version, JSON.parse(readFileSync(file, 'utf8')).version)
    else assert.match(version ?? '', /^(\d+|\$\{\w+\})$/)
  })
}

test.run()
