/** Records of faults that are not healed yet: written durably before the injection, removed after the heal. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { DevstackError, messageOf, type ProcessIdentity, parseIdentity, stateOf, thisProcess } from '../../lib/index.ts'

/** One unhealed fault. */
export interface FaultRecord {
  readonly format: 1
  readonly id: string
  /** Which kind of fault, and what healing it needs to know. */
  readonly kind: string
  readonly details: Readonly<Record<string, unknown>>
  /** In words: `postgres1 paused`. */
  readonly text: string
  readonly experiment: string
  readonly at: string
  readonly process: ProcessIdentity
}

const folderOf = (stateDirectory: string): string => join(stateDirectory, 'faults')

/** Writes the record; it is on the disk when this returns. */
export function writeFault(
  stateDirectory: string,
  fault: Pick<FaultRecord, 'id' | 'kind' | 'details' | 'text' | 'experiment'>,
): FaultRecord {
  const folder = folderOf(stateDirectory)
  const record: FaultRecord = { format: 1, ...fault, at: new Date().toISOString(), process: thisProcess() }
  const path = join(folder, `${fault.id}.json`)
  try {
    mkdirSync(folder, { recursive: true })
    const draft = `${path}.tmp`
    const file = openSync(draft, 'w', 0o600)
    try {
      writeSync(file, `${JSON.stringify(record, null, 2)}\n`)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(draft, path)
    syncFolder(folder)
  } catch (thrown) {
    throw new DevstackError({
      kind: 'state',
      code: 'FAULT_RECORD_UNWRITABLE',
      message: `${path} can not be written, so nothing was injected: ${messageOf(thrown)}`,
      hint: 'Make the folder writable, or make room on the disk.',
      cause: thrown,
    })
  }
  return record
}

/** Removes the record of a healed fault. */
export function removeFault(stateDirectory: string, id: string): void {
  rmSync(join(folderOf(stateDirectory), `${id}.json`), { force: true })
}

/** All records, oldest first. A file that is no record is passed over: nothing can be healed by it. */
export function readFaults(stateDirectory: string): readonly FaultRecord[] {
  const folder = folderOf(stateDirectory)
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => {
      const record = parseFault(readOrNothing(join(folder, name)))
      return record ? [record] : []
    })
    .sort((a, b) => a.at.localeCompare(b.at))
}

/** A file that another process removes meanwhile, because its fault is healed, reads as nothing. */
function readOrNothing(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw thrown
  }
}

/** Records whose experiment has ended without healing: nobody else will. */
export function leftFaults(stateDirectory: string): readonly FaultRecord[] {
  return readFaults(stateDirectory).filter(({ process }) => stateOf(process) === 'dead')
}

/** A record as text, checked by hand: every command comes by here, and a schema library would cost its start more. */
export function parseFault(text: string): FaultRecord | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const record = value as Readonly<Record<string, unknown>>
  const texts = [record['id'], record['kind'], record['text'], record['experiment'], record['at']]
  const isRecord =
    record['format'] === 1 &&
    texts.every((one) => typeof one === 'string') &&
    typeof record['details'] === 'object' &&
    record['details'] !== null &&
    parseIdentity(record['process']) !== undefined
  return isRecord ? (value as FaultRecord) : undefined
}

function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } catch {
    // not every file system syncs folders; the file itself is synced
  } finally {
    closeSync(descriptor)
  }
}
