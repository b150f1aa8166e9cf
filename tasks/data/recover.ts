/** What the next command does about what a killed one left: drafts, throwaway containers, a half-done restore. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf, type Pack, type ProcessIdentity, stateOf } from '../../lib/index.ts'
import { postgresRuns } from './cluster.ts'
import type { DataSettings, Working } from './options.ts'
import { recoverRestore } from './restore.ts'
import { claimed, readRestoreState } from './restore-state.ts'
import { removeDeadScratch, scratchMarkers } from './scratch.ts'
import { removeDeadDrafts } from './shelf.ts'
import { recoverSnapshot } from './snapshot.ts'
import { readSnapshotState } from './snapshot-state.ts'

/** The pack's `recover`. Looks at files alone unless there is something to mend; what can not be mended yet is said. */
export function recovery(settings: () => DataSettings | undefined): NonNullable<Pack['recover']> {
  return async ({ runtime, project, note, signal }) => {
    const own = settings()
    if (!own) return
    const working: Working = { runtime, project, signal, log: note, progress: () => {} }
    for (const shelf of [own.backups, own.snapshots]) {
      for (const id of removeDeadDrafts(shelf))
        note(`A backup was broken off (${id}): what there was of it is removed.`)
    }
    const markers = scratchMarkers(project.stateDirectory)
    if (existsSync(markers) && readdirSync(markers).length > 0) await removeScratch(working, markers)
    await endSnapshot(own, working)
    const state = readRestoreState(own)
    if (!state || lives(state.owner)) return
    try {
      if (!(await postgresRuns(working))) {
        note(
          `A restore of backup ${state.backup} was broken off. It is ended as soon as the stack is up: devstack run up`,
        )
        return
      }
      await claimed(own, signal, async () => {
        if (!lives(readRestoreState(own)?.owner)) await recoverRestore(own, working)
      })
    } catch (thrown) {
      signal.throwIfAborted()
      note(`A restore of backup ${state.backup} was broken off and can not be ended yet: ${messageOf(thrown)}`)
    }
  }
}

/** Who began something is still at it. */
function lives(owner: ProcessIdentity | undefined): boolean {
  return owner !== undefined && stateOf(owner) !== 'dead'
}

async function removeScratch(working: Working, markers: string): Promise<void> {
  const { rmSync } = await import('node:fs')
  try {
    const { removed, done } = await removeDeadScratch(working, readdirSync(markers))
    for (const name of removed) working.log(`The throwaway container ${name} of a command that was killed is removed.`)
    for (const name of done) rmSync(join(markers, name), { force: true })
  } catch (thrown) {
    working.signal.throwIfAborted()
    working.log(`Throwaway containers of a command that was killed can not be removed yet: ${messageOf(thrown)}`)
  }
}

async function endSnapshot(settings: DataSettings, working: Working): Promise<void> {
  const state = readSnapshotState(settings)
  if (!state || lives(state.identity)) return
  try {
    await claimed(settings, working.signal, async () => {
      if (!lives(readSnapshotState(settings)?.identity)) await recoverSnapshot(settings, working)
    })
  } catch (thrown) {
    working.signal.throwIfAborted()
    working.log(`A snapshot was broken off and can not be ended yet: ${messageOf(thrown)}`)
  }
}
