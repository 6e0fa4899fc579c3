// The anchors of a store, in a file beside its reach: one line for each checkpoint, appended and never changed. A line
// is written after its checkpoint is in the store; where a process died between the two, the next run writes the line.
// Refuses to write to a file that knows more than the store, or something else: that is a thing to look at first.

import { closeSync, fstatSync, fsyncSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { Fault, messageOf } from './core/fault.ts'
import {
  anchorLine,
  Judge,
  readAnchors,
  type Checkpoint,
  type Keys,
  type Later,
  type Signer,
} from './store/register.ts'
import type { Finding, Store } from './store/store.ts'

/** What a run of the checkpointer did. */
export interface Checkpointed {
  /** The newest checkpoint of the store; undefined while there is nothing to sign. */
  readonly checkpoint: Checkpoint | undefined
  /** Whether it is new. */
  readonly made: boolean
  /** How many lines were written to the anchors file. */
  readonly written: number
}

/** Signs what is new in a store, and writes out every checkpoint that the file does not have yet. */
export async function anchor(store: Store, file: string, signer: Signer, nowMs: number): Promise<Checkpointed> {
  await proveSame(store, file)
  const made = await store.checkpoint(signer, nowMs)
  const known = readFile(file, true).at(-1)
  const missing = await store.checkpoints({ after: known?.number ?? 0 })
  appendLines(file, missing.map(anchorLine))
  return { checkpoint: made ?? missing.at(-1) ?? known, made: made !== undefined, written: missing.length }
}

/** Throws ANCHORS_AHEAD unless the last anchor of the file, if it has any, is a checkpoint of the store. */
async function proveSame(store: Store, file: string): Promise<void> {
  const last = readFile(file, true).at(-1)
  if (!last) return
  const [stored] = await store.checkpoints({ after: last.number - 1, limit: 1 })
  if (stored?.root === last.root) return
  const what = stored ? 'is not the one that the store has' : 'is newer than the store: an older copy was put back'
  throw new Fault(
    'ANCHORS_AHEAD',
    `Checkpoint ${last.number} in ${file} ${what}. Nothing was signed.`,
    `See what differs: signalbox verify --anchors ${file}. To go on all the same, keep that file and give another.`,
    { data: { file, number: last.number } },
  )
}

/** What anchors say about a store. */
export interface AnchorVerdict {
  readonly findings: readonly Finding[]
  /** The newest anchor. */
  readonly newest: Checkpoint | undefined
  /** How many events the anchors prove. */
  readonly events: number
}

/** Reads the anchors of a file. Throws ANCHORS_INVALID for one that cannot be read, or holds something else, or nothing. */
export function anchorsIn(file: string): readonly Checkpoint[] {
  const anchors = readFile(file, false)
  if (anchors.length > 0) return anchors
  throw new Fault('ANCHORS_INVALID', `${file} holds no anchors.`, 'Make some: signalbox checkpoint --key … --anchors …')
}

/** Holds a store against its anchors; of the heads that fit, only those of `taskId` where one is given. */
export async function judge(
  store: Store,
  anchors: readonly Checkpoint[],
  keys: Keys | undefined,
  taskId?: string,
): Promise<AnchorVerdict> {
  const bench = new Judge(anchors, keys)
  let next: Checkpoint | undefined
  do {
    ;[next] = await store.checkpoints({ after: next?.number ?? 0, limit: 1 })
  } while (next && bench.checkpoint(next, await store.heads(next.number)))
  await bench.end((atMs) => laterThan(store, atMs))
  const { findings, newest } = bench
  const ours = findings.filter((found) => taskId === undefined || found.taskId === null || found.taskId === taskId)
  return { findings: ours, newest, events: bench.provedEvents(taskId) }
}

/** The first event of after a time, in the task that has changed last. */
async function laterThan(store: Store, atMs: number): Promise<Later | undefined> {
  const rows = await store.tasks({ limit: Number.MAX_SAFE_INTEGER })
  const last = rows.reduce<(typeof rows)[number] | undefined>(
    (found, row) => (row.updatedAtMs > (found?.updatedAtMs ?? atMs) ? row : found),
    undefined,
  )
  const event = last && (await store.readSealed(last.taskId)).find(({ at }) => at > atMs)
  return event && { taskId: event.taskId, seq: event.seq, at: event.at }
}

function readFile(file: string, create: boolean): readonly Checkpoint[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (thrown) {
    if (create && (thrown as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new Fault('ANCHORS_INVALID', `${file} cannot be read: ${messageOf(thrown)}.`, 'Check --anchors.', {
      cause: thrown,
    })
  }
  const read = readAnchors(text)
  if (read.ok) return read.anchors
  throw new Fault(
    'ANCHORS_INVALID',
    `Line ${read.line} of ${file} is not an anchor.`,
    'Check --anchors; if it is the right file, it was changed: compare it with a copy.',
    { data: { file, line: read.line } },
  )
}

/** Appends lines and waits until they are on the disk. A line that broke off before is ended first. */
function appendLines(file: string, lines: readonly string[]): void {
  if (lines.length === 0) return
  try {
    const open = openSync(file, 'a+')
    try {
      const text = `${endsLine(open) ? '' : '\n'}${lines.join('\n')}\n`
      writeFileSync(open, text)
      fsyncSync(open)
    } finally {
      closeSync(open)
    }
    // A file that is new must also be found after a loss of power.
    const folder = openSync(dirname(file), 'r')
    fsyncSync(folder)
    closeSync(folder)
  } catch (thrown) {
    throw new Fault(
      'ANCHORS_FAILED',
      `${file} cannot be written: ${messageOf(thrown)}.`,
      'The checkpoint is in the store; its line is written by the next run.',
      { cause: thrown },
    )
  }
}

function endsLine(open: number): boolean {
  const { size } = fstatSync(open)
  const last = Buffer.alloc(1)
  return size === 0 || (readSync(open, last, 0, 1, size - 1) === 1 && last[0] === 0x0a)
}
