import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checksum, randomHex } from '../../../lib/engine/checksum.ts'

const checksums = suite('checksum')

checksums('is 16 hexadecimal digits, the same for the same text', () => {
  for (const text of ['', 'a', 'ä€😀', '\0', 'x'.repeat(100_000)]) {
    assert.match(checksum(text), /^[0-9a-f]{16}$/)
    assert.is(checksum(text), checksum(`${text}`))
  }
})

checksums('differs for texts that differ little', () => {
  const texts = new Set<string>()
  for (let number = 0; number < 20_000; number += 1) {
    for (const text of [`${number}`, `run(${number})`, 'a'.repeat(number % 200) + number, `${number}`.padStart(40)]) {
      texts.add(text)
    }
  }
  assert.is(new Set([...texts].map(checksum)).size, texts.size)
  // each half by itself is spread, too: no more than the birthday paradox allows
  for (const half of [0, 8]) {
    assert.ok(new Set([...texts].map((text) => checksum(text).slice(half, half + 8))).size > texts.size - 10)
  }
})

checksums('random digits are as many as asked for', () => {
  for (const digits of [1, 6, 12]) assert.match(randomHex(digits), new RegExp(`^[0-9a-f]{${digits}}$`))
  assert.is.not(randomHex(12), randomHex(12))
})

checksums.run()
