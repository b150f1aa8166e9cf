/** What `prune` offers: images that were replaced, and never the stages of those that are there. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Image, labels } from '../../../lib/index.ts'
import { findReplaced } from '../../../tasks/stack/prune.ts'

const test = suite('replaced images')

const image = (id: string, context: string, createdAt: number, tags: readonly string[] = []): Image => ({
  id,
  tags,
  labels: { [labels.context]: context },
  sizeBytes: 1,
  user: '',
  createdAt,
})
const idsOf = (images: readonly Image[], used: readonly string[] = []): readonly string[] =>
  findReplaced(images, new Set(used)).map(({ id }) => id)

const current = [
  image('node', 'n', 10, ['devstack-node:latest']),
  image('backend', 'b2', 30, ['devstack-backend:latest']),
]

test('stages of a first build carry the label of the image they build on, and stay', () => {
  assert.equal(idsOf([...current, image('dev', 'n', 20), image('compile', 'n', 21, ['<none>:<none>'])]), [])
})

test('what was built before goes, of another context or of the same one', () => {
  const before = [image('other', 'b1', 15), image('same', 'b2', 25)]
  assert.equal(idsOf([...current, ...before]), ['other', 'same'])
  assert.equal(idsOf([...current, ...before], ['same']), ['other'], 'a container is made from it')
})

test.run()
