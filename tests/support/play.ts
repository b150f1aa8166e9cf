/** Plays a script of events through the reporter that these surroundings get: `node play.ts successfulRun`. */
import { setTimeout as delay } from 'node:timers/promises'
import { createReporter } from '../../lib/report/index.ts'
import { cancelledRun, epoch, failedRun, manyNodes, Script, step, successfulRun } from './events.ts'

const scripts = { successfulRun, failedRun, cancelledRun, manyNodes: () => manyNodes(200) }
const name = process.argv[2] ?? 'successfulRun'
const { stdout, stderr, env } = process
const reporter = await createReporter({ stdout, stderr, environment: env })

if (name === 'interrupted') {
  // runs until Ctrl-C, as a run does, and ends as one does
  const began = Date.now()
  const script = new Script()
  script.at = began
  script.start(['test'], [step('build'), step('test', { needs: ['build'] })])
  script.node('build', { type: 'node-started', attempt: 1 })
  script.node('test', { type: 'node-waiting', hold: { for: 'needs', nodes: ['build'] } })
  for (const event of script.events) reporter.report(event)
  const keepAlive = setInterval(() => {}, 1000)
  await new Promise((resolve) => process.once('SIGINT', resolve))
  clearInterval(keepAlive)
  const end = new Script()
  end.at = Date.now()
  for (const node of ['build', 'test']) end.node(node, { type: 'node-cancelled', cause: 'interrupted' })
  end.finish('cancelled', { cancelled: 2 })
  for (const event of end.events) reporter.report(event)
  process.exitCode = 130
} else {
  const began = Date.now()
  for (const event of scripts[name as keyof typeof scripts]()) {
    const due = began + event.at - epoch
    if (due > Date.now()) await delay(due - Date.now())
    reporter.report(event)
  }
}
await reporter.close()
