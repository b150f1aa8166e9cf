/** The pages a person reads: links lead somewhere, the README's config compiles, every decision is listed. */
import { spawnSync } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const root = dirname(dirname(import.meta.dirname))
const paths = globSync(['*.md', 'docs/**/*.md', 'infrastructure/**/*.md', 'compose/**/*.md'], {
  cwd: root,
  exclude: ['**/node_modules/**'],
}).sort()
const pages = new Map(paths.map((path) => [path, readFileSync(join(root, path), 'utf8')]))

/** Headings as the anchors that GitHub makes of them. */
function anchors(text: string): readonly string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map((match) =>
    match[1]!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

const documents = suite('pages')

documents('link only to what is there', () => {
  const broken: string[] = []
  for (const [path, text] of pages) {
    const prose = text.replaceAll(/^```[\s\S]*?^```/gm, '').replaceAll(/`[^`\n]*`/g, '')
    for (const match of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      const target = match[1]!
      if (/^[a-z]+:/.test(target)) continue
      const [file, anchor] = target.split('#') as [string, string | undefined]
      const absolute = file === '' ? join(root, path) : join(root, dirname(path), file)
      if (!existsSync(absolute)) broken.push(`${path}: ${target}`)
      else if (anchor && !anchors(readFileSync(absolute, 'utf8')).includes(anchor)) broken.push(`${path}: ${target}`)
    }
  }
  assert.equal(broken, [])
})

documents('list every guide, decision and reference page', () => {
  const index = pages.get('docs/README.md') ?? ''
  const missing = paths
    .filter((path) => /^docs\//.test(path) && !/(?:0000-template|docs\/README)\.md$/.test(path))
    .filter((path) => !index.includes(`(${path.slice('docs/'.length)})`))
  assert.equal(missing, [])
})

documents('show a config in the README that compiles', () => {
  const [, config] = /```ts\n([\s\S]*?)```/.exec(pages.get('README.md') ?? '') ?? []
  assert.ok(config)
  const folder = mkdtempSync(join(root, 'tests', '.work-'))
  try {
    writeFileSync(join(folder, 'devstack.config.ts'), config!)
    const project = {
      extends: '../../tsconfig.json',
      compilerOptions: { paths: { devstack: ['../../lib/index.ts'], 'devstack/packs': ['../../tasks/index.ts'] } },
      include: ['devstack.config.ts'],
      exclude: [],
    }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(project))
    const { stdout, status } = spawnSync(join(root, 'node_modules', '.bin', 'tsc'), ['-p', folder], {
      encoding: 'utf8',
    })
    assert.is(stdout, '')
    assert.is(status, 0)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

documents('tell symptoms in the words of the code', () => {
  const sources = globSync(['lib/**/*.ts', 'tasks/**/*.ts'], { cwd: root }).map((path) =>
    readFileSync(join(root, path), 'utf8'),
  )
  const page = pages.get('docs/troubleshooting.md') ?? ''
  const symptoms = [...page.matchAll(/^## (.+)$/gm)]
    .map((match) => match[1]!)
    // what another program prints
    .filter((symptom) => !symptom.includes(' says: '))
  assert.ok(symptoms.length >= 10)
  const unknown = symptoms.filter((symptom) => {
    const parts = symptom.split('…').filter((part) => part.trim().length > 1)
    return !sources.some((source) => parts.every((part) => source.includes(part)))
  })
  assert.equal(unknown, [])
  const codes = [...page.matchAll(/`([A-Z]+(?:_[A-Z]+)+)`/g)].map((match) => match[1]!)
  const made = (code: string): boolean =>
    sources.some((source) => source.includes(`'${code}'`) || source.includes(`'${code.replace(/^COMPOSE_/, '')}'`))
  const variables = ['DOCKER_HOST', 'NODE_EXTRA_CA_CERTS']
  assert.equal(
    codes.filter((code) => !variables.includes(code) && !made(code)),
    [],
  )
})

documents.run()
