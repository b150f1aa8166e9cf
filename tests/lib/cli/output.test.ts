import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { temporaryFolder } from '../../support/temporary.ts'

const output = suite('standard output')
const module = JSON.stringify(new URL('../../../lib/cli/output.ts', import.meta.url).href)

/** Runs lines of a script whose standard output is a pipe into a command of the shell. */
function piped(lines: string, reader: string, redirection = ''): { readonly stdout: string; readonly stderr: string } {
  const script = `import { processOutput } from ${module}\nimport { Socket } from 'node:net'\n${lines}`
  const { stdout, stderr } = spawnSync(
    'sh',
    ['-c', `"$NODE" --input-type=module --eval "$SCRIPT" ${redirection} | ${reader}`],
    {
      encoding: 'utf8',
      env: { ...process.env, NODE: process.execPath, SCRIPT: script },
    },
  )
  return { stdout, stderr }
}

output('a pipe gets every byte, in order, with what others write there', () => {
  const { stdout, stderr } = piped(
    `const out = processOutput(1)
     out.write('a\\n'); process.stdout.write('b\\n'); out.write('é\\n'.repeat(100_000)); console.log('c')`,
    'cat',
  )
  assert.is(stderr, '')
  assert.is(stdout, `a\nb\n${'é\n'.repeat(100_000)}c\n`)
})

output('a pipe that somebody made one that does not wait gets every byte too', () => {
  const { stdout, stderr } = piped(
    `const out = processOutput(1)
     new Socket({ fd: 1, readable: false }).unref()
     out.write('x'.repeat(3_000_000)); out.write('y\\n')`,
    'wc -c',
  )
  assert.is(stderr, '')
  assert.is(stdout.trim(), '3000002')
})

output('a reader that goes away ends the output, and nothing else', () => {
  for (const write of ['processOutput(1).write(text)', 'process.stdout.write(text)', 'console.log(text)']) {
    const { stdout, stderr } = piped(
      `processOutput(1)
       const text = 'line\\n'.repeat(200)
       let left = 2_000
       const more = () => { ${write}; if (left-- > 0) setImmediate(more); else console.error('still here') }
       more()`,
      'head -n 1',
    )
    assert.is(stdout, 'line\n', write)
    assert.is(stderr, 'still here\n', write)
  }
})

output('a file gets what is written', async () => {
  const { path, remove } = await temporaryFolder('output')
  try {
    const file = join(path, 'out.txt')
    writeFileSync(file, 'first\n')
    assert.is(piped(`processOutput(1).write('kept')`, 'true', `>> ${file}`).stderr, '')
    assert.is(readFileSync(file, 'utf8'), 'first\nkept')
  } finally {
    await remove()
  }
})

output.run()
