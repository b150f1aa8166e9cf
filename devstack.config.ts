import { defineConfig, task } from 'devstack'

const hello = task({
  description: 'Say hello',
  effect: 'read',
  run: async ({ exec }) => void (await exec('echo hello; sleep 0.3')),
})
const world = task({
  description: 'Say world',
  needs: { hello },
  effect: 'read',
  run: ({ $ }) => $`echo world ${'$(x)'}`,
})
const noop = task({ description: 'Nothing', effect: 'read', run: () => {} })

export default defineConfig({ tasks: { hello, world, noop } })
