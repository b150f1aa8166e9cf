import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { BuildOptions } from '../../../lib/runtime/runtime.ts'
import { baseImages } from '../../../lib/stack/dockerfile.ts'

const test = suite('dockerfile')

const of = (text: string, more: Partial<BuildOptions> = {}): Promise<readonly string[]> =>
  baseImages({ context: '/nowhere', dockerfileInline: text, tags: ['x'], ...more })

test('names the images of FROM, with arguments put in', async () => {
  assert.equal(await of('ARG BASE=devstack-base\nFROM ${BASE}\nRUN true\n'), ['devstack-base'])
  assert.equal(await of('ARG BASE=devstack-base\nFROM $BASE\n', { args: { BASE: 'other:2' } }), ['other:2'])
  assert.equal(await of('ARG TAG\nFROM node:${TAG:-24} AS build\n'), ['node:24'])
  assert.equal(await of('FROM --platform=linux/amd64 debian:bookworm-slim\n'), ['debian:bookworm-slim'])
})

test('leaves out stages of the same file and scratch', async () => {
  const text = `FROM node AS Build
FROM Build AS test
FROM scratch
COPY --from=build /app /app
COPY --from=0 /app /app
COPY --from=alpine:3 /etc/passwd /etc/passwd
`
  assert.equal(await of(text), ['node', 'alpine:3'])
})

test('reads a file, and says nothing of one that is not there', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dockerfile-'))
  try {
    writeFileSync(join(folder, 'Dockerfile'), 'FROM \\\n  debian\n')
    assert.equal(await baseImages({ context: folder, tags: ['x'] }), ['debian'])
    assert.equal(await baseImages({ context: folder, dockerfile: 'none', tags: ['x'] }), [])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test.run()
