import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunEvent } from '../../../lib/engine/events.ts'
import { createRedactor, looksSecret, mask } from '../../../lib/report/redact.ts'
import { failedRun, Script, step, successfulRun } from '../../support/events.ts'

const redact = suite('redact')

const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789']
const symbols = [...`!"#$%&'()*+,-./:;<=>?@[\\]^_{|}~ äß漢🔑`]
/** Secrets as generators make them, long enough that none of them is met by chance. */
const secret = fc
  .array(fc.constantFrom(...letters, ...symbols), { minLength: 12, maxLength: 40 })
  .map((units) => units.join('').trim())
  .filter((text) => text.length >= 10 && new Set(text).size > 4)

const encodings: Record<string, (text: string) => string> = {
  plain: (text) => text,
  json: (text) => JSON.stringify({ password: text }),
  'json in json': (text) => JSON.stringify({ body: JSON.stringify({ password: text }) }),
  url: (text) => `https://user:${encodeURIComponent(text)}@host/`,
  'url, lower case': (text) => encodeURIComponent(text).replace(/%../g, (code) => code.toLowerCase()),
  form: (text) => new URLSearchParams({ password: text }).toString(),
  base64: (text) => Buffer.from(text).toString('base64'),
  base64url: (text) => Buffer.from(text).toString('base64url'),
  'basic authentication': (text) => `Basic ${Buffer.from(`user:${text}`).toString('base64')}`,
  'inside base64, 1': (text) => Buffer.from(`x${text}yz`).toString('base64'),
  'inside base64, 2': (text) => Buffer.from(`xy${text}z`).toString('base64'),
}

redact('nothing of a secret leaks, in any encoding, however the text is cut into chunks', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(secret, { minLength: 1, maxLength: 4 }),
      fc.constantFrom(...Object.keys(encodings)),
      fc.string(),
      fc.array(fc.nat({ max: 12 }), { maxLength: 60 }),
      (secrets, encoding, around, cuts) => {
        const redactor = createRedactor()
        for (const one of secrets) redactor.add(one)
        const text = secrets.map((one) => `${around} ${encodings[encoding]!(one)} ${around}`).join('\n')
        const whole = redactor.redact(text)
        for (const one of secrets) {
          assert.not.ok(whole.includes(one), 'plain')
          for (const form of [one, encodeURIComponent(one), JSON.stringify(one).slice(1, -1)])
            assert.not.ok(whole.includes(form), encoding)
          // decode whatever still looks like base64: less than half of the secret may be in there
          for (const [word] of whole.matchAll(/[A-Za-z0-9+/_-]{8,}/g)) {
            const decoded = Buffer.from(word, 'base64').toString('utf8')
            assert.not.ok(decoded.includes(one.slice(3, -3)), encoding)
          }
        }
        assert.ok(whole.includes(mask))
        const stream = redactor.stream()
        let streamed = ''
        let at = 0
        for (const cut of cuts) {
          streamed += stream.write(text.slice(at, at + cut))
          at += cut
        }
        streamed += stream.write(text.slice(at)) + stream.end()
        assert.is(streamed, whole)
      },
    ),
    { numRuns: 1000 },
  )
})

redact('text without secrets is unchanged, in one piece and in chunks', () => {
  const redactor = createRedactor()
  for (const one of ['k7Qz-91#pPw!x', 'a secret of\nseveral lines', 'tok_4f9aX77b']) redactor.add(one)
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.array(fc.nat({ max: 5 })), (text, cuts) => {
      assert.is(redactor.redact(text), text)
      const stream = redactor.stream()
      let streamed = ''
      let at = 0
      for (const cut of cuts) {
        streamed += stream.write(text.slice(at, at + cut))
        at += cut
      }
      assert.is(streamed + stream.write(text.slice(at)) + stream.end(), text)
    }),
  )
})

redact('overlapping secrets are masked as one, touching ones each', () => {
  const redactor = createRedactor()
  redactor.add('abcdefgh')
  redactor.add('fghijkl')
  redactor.add('mnopqr')
  assert.is(redactor.redact('<abcdefghijklmnopqr>'), `<${mask}${mask}>`)
  const stream = redactor.stream()
  const text = [...'<abcdefghijklmnopqr>'].map((unit) => stream.write(unit)).join('') + stream.end()
  assert.is(text, `<${mask}${mask}>`)
})

redact('overlapping secrets over a small alphabet leave no secret behind and agree with the stream', () => {
  const small = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 4, maxLength: 8 })
  fc.assert(
    fc.property(
      fc.array(small, { minLength: 1, maxLength: 6 }),
      fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 60 }),
      fc.nat(8),
      (secrets, text, size) => {
        const redactor = createRedactor()
        const taken = secrets.filter((one) => redactor.add(one))
        const whole = redactor.redact(text)
        for (const one of taken) assert.not.ok(whole.includes(one))
        const stream = redactor.stream()
        let streamed = ''
        for (let at = 0; at < text.length; at += size + 1) streamed += stream.write(text.slice(at, at + size + 1))
        assert.is(streamed + stream.end(), whole)
      },
    ),
    { numRuns: 1000 },
  )
})

redact('each line of a secret of several lines is masked, with any line end', () => {
  const key = '-----BEGIN KEY-----\nMIIBVgIBADANBgkq\r\nhkiG9w0BAQEFAASC\n-----END KEY-----\n'
  const redactor = createRedactor()
  redactor.add(key)
  assert.is(redactor.redact('x MIIBVgIBADANBgkq y'), `x ${mask} y`)
  assert.is(redactor.redact('x hkiG9w0BAQEFAASC y'), `x ${mask} y`)
  assert.not.match(redactor.redact(JSON.stringify({ key })), /MIIB|hkiG/)
  assert.not.match(redactor.redact(encodeURIComponent(key)), /MIIB|hkiG/)
  assert.is(redactor.redact(Buffer.from(key.trim()).toString('base64')), mask)
})

redact('what is too short, too common or empty is never masked', () => {
  const redactor = createRedactor()
  for (const value of ['', ' ', 'x', 'abc', 'true', 'postgres', 'Password', '12345', '------------']) {
    assert.not.ok(redactor.add(value), value)
    assert.is(redactor.redact(`a ${value} b`), `a ${value} b`)
  }
  assert.ok(redactor.add('4711'.repeat(2)))
  redactor.addEnvironment({ DB_PASSWORD: 'short', API_TOKEN: '', OTHER: 'unrelated-value' })
  assert.is(redactor.redact('short unrelated-value'), 'short unrelated-value')
})

redact('variables are told by their names, and passwords inside addresses', () => {
  for (const name of [
    'PASSWORD',
    'PGPASSWORD',
    'DB_PASSWORD',
    'API_KEY',
    'apiKey',
    'githubToken',
    'AWS_SECRET_ACCESS_KEY',
    'MY_CREDENTIALS',
    'MYSQL_PWD',
    'npm_config__auth',
    'SSH_PASSPHRASE',
  ])
    assert.ok(looksSecret(name), name)
  for (const name of [
    'PWD',
    'OLDPWD',
    'HOME',
    'SSH_AUTH_SOCK',
    'KEYBOARD',
    'MONKEY_ISLAND',
    'SSH_KEY_PATH',
    'TOKEN_FILE',
    'PASSWORD_LENGTH',
    'AUTHOR',
    'DB_AUTH',
    'POSTGRES_HOST_AUTH_METHOD',
  ])
    assert.not.ok(looksSecret(name), name)
  const redactor = createRedactor()
  redactor.addEnvironment({
    DB_PASSWORD: 'hunter2hunter2',
    DATABASE_URL: 'postgres://app:s3cr%2Ft@db:5432/x',
    HOME: '/home/someone',
  })
  assert.is(redactor.redact('hunter2hunter2 in /home/someone'), `${mask} in /home/someone`)
  assert.is(redactor.redact('postgres://app:s3cr%2Ft@db and s3cr/t'), `postgres://app:${mask}@db and ${mask}`)
})

redact('events keep their shape and the names of their nodes; everything else is masked', () => {
  const redactor = createRedactor()
  redactor.add('migrate')
  redactor.add('sup3rs3cret')
  const script = new Script().start(['migrate'], [step('migrate', { description: 'uses sup3rs3cret' })])
  script.node('migrate', { type: 'node-output', stream: 'log', text: 'with sup3rs3cret' })
  script.node('migrate', {
    type: 'node-done',
    value: { node: 'sup3rs3cret', list: [{ sup3rs3cret: 1 }] },
    durationMs: 1,
  })
  script.node('migrate', {
    type: 'node-failed',
    durationMs: 1,
    error: { code: 'X', kind: 'task', message: 'sup3rs3cret', details: ['a sup3rs3cret'], exitCode: 1 },
  })
  const events = script.events.map((event) => redactor.redactEvent(event))
  assert.not.match(JSON.stringify(events), /sup3rs3cret/)
  for (const event of events.slice(1)) assert.is(event.node, 'migrate')
  const [started, , done] = events as [RunEvent, RunEvent, RunEvent]
  assert.is(started.type === 'run-started' && started.steps[0]!.node, 'migrate')
  assert.equal(done.type === 'node-done' && done.value, { node: mask, list: [{ [mask]: 1 }] })
})

redact('events without secrets come back as the same objects', () => {
  const redactor = createRedactor()
  redactor.add('never-in-there')
  for (const event of [...successfulRun(), ...failedRun()]) assert.is(redactor.redactEvent(event), event)
})

redact('a secret learnt while a stream is open counts from then on', () => {
  const redactor = createRedactor()
  const stream = redactor.stream()
  assert.is(stream.write('abc '), 'abc ')
  redactor.add('new-secret')
  assert.is(stream.write('new-sec') + stream.write('ret!') + stream.end(), `${mask}!`)
})

redact('__proto__ in a value stays a plain key', () => {
  const redactor = createRedactor()
  redactor.add('sup3rs3cret')
  const value = JSON.parse('{"__proto__":"sup3rs3cret"}')
  const [event] = new Script().node('x', { type: 'node-done', value, durationMs: 1 }).events
  assert.is(JSON.stringify((redactor.redactEvent(event!) as { value: unknown }).value), `{"__proto__":"${mask}"}`)
})

redact.run()
