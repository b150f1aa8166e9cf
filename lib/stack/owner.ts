/** Whose a project is: the folder of the checkout that made its containers and volumes. */
import { readdirSync, readFileSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { DevstackError } from '../errors.ts'
import { labels, type RuntimeReader } from '../runtime/runtime.ts'
import { type SnapshotContext, snapshot } from './snapshot.ts'

type Labelled = { readonly labels: Readonly<Record<string, string>> }

/** Where to look for a project's owner. */
export interface OwnerContext {
  readonly runtime: Pick<RuntimeReader, 'containers' | 'volumes'>
  readonly project: { readonly name: string; readonly directory: string }
  readonly signal: AbortSignal
}

/**
 * Refuses to touch what a checkout in another folder made under the same project name: its data has other passwords. A
 * folder that is gone, or has no config any more, was moved here: what it made is taken over, and that folder returned.
 * Throws PROJECT_ELSEWHERE.
 */
export async function claimProject(context: OwnerContext): Promise<string | undefined> {
  const { runtime, project, signal } = context
  return claim(await runtime.containers({ [labels.project]: project.name }, { signal }), context)
}

/** `claimProject` with the run's look at the project, for what comes before every container of a run. */
export async function claimForRun(context: OwnerContext & SnapshotContext): Promise<string | undefined> {
  return claim(await snapshot(context), context)
}

async function claim(
  containers: readonly Labelled[],
  { runtime, project, signal }: OwnerContext,
): Promise<string | undefined> {
  // volumes keep the label of the folder that was moved, so they only tell where there is no container
  const made: readonly Labelled[] =
    containers.length > 0 ? containers : await runtime.volumes({ [labels.project]: project.name }, { signal })
  const folders = new Set(made.flatMap((one) => one.labels[labels.directory] ?? []))
  let moved: string | undefined
  for (const folder of folders) {
    if (isSame(folder, project.directory)) continue
    if (hasConfig(folder)) {
      throw new DevstackError({
        kind: 'state',
        code: 'PROJECT_ELSEWHERE',
        message: `The project "${project.name}" belongs to another checkout: ${folder}`,
        hint: "Give this one another `name` in its config. Or, if that one's data may go, there: devstack run down --volumes",
      })
    }
    moved = folder
  }
  return moved
}

/** Whether the folder still is a checkout: it holds a config, in one of the places where they may be. */
function hasConfig(directory: string): boolean {
  const named = (folder: string, pattern: RegExp): boolean => {
    try {
      return readdirSync(folder).some((name) => pattern.test(name))
    } catch {
      return false
    }
  }
  if (named(directory, /^devstack\.config\.\w+$/)) return true
  if (named(join(directory, '.config'), /^devstack\.(?:config\.)?\w+$/)) return true
  try {
    return /"devstack"\s*:\s*\{/.test(readFileSync(join(directory, 'package.json'), 'utf8'))
  } catch {
    return false
  }
}

/** Links lead to the same folder under several names. */
function isSame(one: string, other: string): boolean {
  if (one === other) return true
  try {
    return realpathSync(one) === realpathSync(other)
  } catch {
    return false
  }
}
