/** What is said about a published port that is taken. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DevstackError } from '../../../lib/errors.ts'
import { withPortRemedy } from '../../../lib/stack/port-remedy.ts'
import { load } from '../compose/folder.ts'

const test = suite('remedy for a port in use')

const file = `services:
  web:
    image: x
    ports:
      - "15432:80"
      - "127.0.0.1:\${WEB_PORT:-8080}:81"
      - { target: 82, published: $OTHER }
      - "9000-9002:90-92"
`

async function hintFor(port: number, chosen?: Record<string, string>): Promise<string> {
  const environment = { OTHER: '7000' }
  const model = await load(file, { environment })
  const thrown = new DevstackError({
    kind: 'runtime',
    code: 'RUNTIME_PORT_IN_USE',
    message: `Container "p-web-1" cannot publish 127.0.0.1:${port}: process 7 (x) listens there.`,
    hint: 'End that process, or publish another port.',
  })
  const told = withPortRemedy(thrown, {
    model,
    service: model.services['web']!,
    environment,
    ...(chosen ? { chosen } : {}),
  })
  assert.instance(told, DevstackError)
  assert.is((told as DevstackError).message, thrown.message)
  return (told as DevstackError).hint ?? ''
}

test('a number in the file is told with its line', async () => {
  assert.is(await hintFor(15432), 'End that process, or publish another port: change 15432 in compose.yaml:5:9.')
  assert.match(await hintFor(9001), /change 9001 in compose\.yaml:8:9\.$/)
})

test('a variable is named, or what up does without it', async () => {
  assert.match(await hintFor(8080), /another port: set WEB_PORT \(compose\.yaml:6:9\)\.$/)
  assert.match(await hintFor(7000), /another port: set OTHER \(compose\.yaml:7:9\)\.$/)
  assert.match(
    await hintFor(8080, { WEB_PORT: '8080' }),
    /without its \*_PORT lines in \.env\.local, up finds free ones\.$/,
  )
})

test('a port of nowhere, and another error, stay as they are', async () => {
  assert.is(await hintFor(1), 'End that process, or publish another port.')
  const other = new Error('other')
  assert.is(withPortRemedy(other, {} as never), other)
})

test.run()
