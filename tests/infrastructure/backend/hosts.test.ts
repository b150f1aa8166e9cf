import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formatHost, parseHosts } from '../../../infrastructure/backend/src/hosts.ts'
import { readSettings } from '../../../infrastructure/backend/src/settings.ts'

const lists = suite('host lists')

lists('takes names, addresses and default ports', () => {
  assert.equal(parseHosts('a, b:1 ,[::1]:2,[::2],', 5432), [
    { name: 'a', port: 5432 },
    { name: 'b', port: 1 },
    { name: '::1', port: 2 },
    { name: '::2', port: 5432 },
  ])
})

lists('names the member at fault', () => {
  for (const text of ['a:0', 'a:65536', 'a:b', 'a b', '::1', 'a:1:2', '[::1'])
    assert.throws(() => parseHosts(`ok,${text}`, 1), `"${text}" is not a host`)
  assert.throws(() => parseHosts(' , ', 1), 'the list of hosts is empty')
})

lists('reads what it writes', () => {
  const name = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6())
  const port = fc.integer({ min: 1, max: 65_535 })
  const host = fc.record({ name, port }, { noNullPrototype: true })
  fc.assert(
    fc.property(fc.array(host, { minLength: 1 }), (hosts) => {
      assert.equal(parseHosts(hosts.map(formatHost).join(','), 1), hosts)
    }),
  )
})

lists.run()

const settings = suite('settings')
const least = { PGHOSTS: 'a,b', PGPASSWORD: 'x', REDIS_SENTINELS: 's', REDIS_PASSWORD: 'y' }

settings('need the members and the passwords, and have defaults for the rest', () => {
  const read = readSettings(least)
  assert.is(read.PORT, 8080)
  assert.equal(read.REDIS_SENTINELS, [{ name: 's', port: 26379 }])
  assert.is(readSettings({ ...least, PORT: '' }).PORT, 8080)
})

settings('name every variable at fault at once, and no value', () => {
  const wrong = { PGHOSTS: 'a:x', PORT: 'http', REDIS_SENTINELS: 's', REDIS_PASSWORD: 'hidden' }
  assert.throws(
    () => readSettings(wrong),
    (error: Error) =>
      /PORT: .*PGHOSTS: "a:x" is not a host.*PGPASSWORD: /.test(error.message) && !error.message.includes('hidden'),
  )
})

settings.run()
