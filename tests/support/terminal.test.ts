import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { keys, onTerminal, terminalMissing } from './terminal.ts'

const missing = terminalMissing()
if (missing) console.log(`not run: ${missing}`)
else {
  const terminal = suite('command on a terminal')

  terminal('sees a terminal of the asked size', async () => {
    const { exitCode, text } = await onTerminal('sh -c "test -t 0 && test -t 1 && stty size"', { columns: 72, rows: 9 })
    assert.is(exitCode, 0)
    assert.is(text.trim(), '9 72')
  })

  terminal('gets keys when what they wait for is shown', async () => {
    const { exitCode, text } = await onTerminal(`sh -c 'echo name?; read name; echo hello $name; exit 3'`, {
      keyboard: [{ after: /name\?/, press: `ada${keys.enter}` }],
    })
    assert.is(exitCode, 3)
    assert.match(text, 'hello ada')
  })

  terminal('is interrupted by the key, not by a signal of ours', async () => {
    const { exitCode } = await onTerminal(`sh -c 'trap "exit 42" INT; echo ready; while :; do read line; done'`, {
      keyboard: [{ after: /ready/, press: keys.interrupt }],
    })
    assert.is(exitCode, 42)
  })

  terminal.run()
}
