// Carries everything that a store holds into another one, on any engine: every task as it was hashed, with its payloads and
// their salts, what was signed of them, and what people want started. What follows from the logs is written anew there, the
// queue too: nobody holds anything. The source is only read, and is to be at rest.
//
// A task is proved before it is written, and all of them once more where they have arrived. Trees come over whole, each in
// one transaction, so that no child is ever there without its parent. Whoever is killed on the way is started again: what
// is there already is left alone. Schedules come last, so that nothing is started before everything is there.

import { isDeepStrictEqual } from 'node:util'
import { Fault, isFault, messageOf } from './core/fault.ts'
import { unseal, verifyChain } from './store/log.ts'
import { inMemory } from './store/payloads.ts'
import type { Checkpoint } from './store/register.ts'
import { scheduleColumns } from './store/statements.ts'
import type { Finding, KnownTask, ScheduleRow, Store, WholeTask } from './store/store.ts'

/** What was written by one run, and how many tasks were there before it. */
export interface Copied {
  readonly tasks: number
  readonly events: number
  readonly payloads: number
  readonly schedules: number
  readonly checkpoints: number
  readonly skipped: number
}

/** How far a copy has come: tasks that are there, then tasks that were proved there. */
export interface CopyProgress {
  readonly phase: 'copied' | 'proved'
  readonly tasks: number
  readonly of: number
}

/** How to copy a store. */
export interface CopyOptions {
  /** Opens the store that is copied to; called once it is known that the source is at rest. It is closed at the end. */
  readonly open: () => Promise<Store>
  readonly now: () => number
  readonly progress?: (progress: CopyProgress) => void
}

/** So many bytes of logs are written together, or one tree that is larger. */
const batchBytes = 4 * 2 ** 20
/** So many tasks are named in what is told to people. */
const namedMax = 5

/**
 * Copies a store. Throws COPY_BUSY when workers hold tasks of the source or it goes on meanwhile, COPY_CONFLICT when the other store
 * holds anything else than a part of this one, COPY_UNPROVED when a task is not as it was written, COPY_UNFIT when the other database
 * does not take one, and LOG_NEWER.
 */
export async function copyStore(from: Store, { open, now, progress = () => undefined }: CopyOptions): Promise<Copied> {
  await proveAtRest(from, now())
  const to = await open()
  try {
    const source = await from.known()
    const [checkpoints, schedules] = [await from.checkpoints(), await from.schedules({ removed: true })]
    // Everything that stands in the way is found before anything is written.
    const there = await placesIn(to, source)
    const newCheckpoints = checkpoints.slice(await knownCheckpoints(to, checkpoints))
    const newSchedules = await schedulesMissing(to, schedules)

    const written = await copyTasks(from, to, source, there, progress)
    for (const checkpoint of newCheckpoints) await copyCheckpoint(from, to, checkpoint)
    await proveThere(to, source.length, progress)
    await proveUnmoved(from, source)
    // Nor there.
    await placesIn(to, source)
    if (!(await to.takeInSchedules(newSchedules)))
      throw conflict('schedules were added there meanwhile', 'the schedules')
    return { ...written, schedules: newSchedules.length, checkpoints: newCheckpoints.length, skipped: there.size }
  } finally {
    await to.close()
  }
}

// ---- What must hold before and after -------------------------------------------------------------------------------

async function proveAtRest(from: Store, nowMs: number): Promise<void> {
  const held = await from.held(nowMs)
  if (held.length === 0) return
  const workers = [...new Set(held.map(({ worker }) => worker))]
  const lastMs = Math.max(...held.map(({ untilMs }) => untilMs))
  throw new Fault(
    'COPY_BUSY',
    `Workers are at work on the source: ${list(workers)} on ${list(held.map(({ taskId }) => taskId))}, until ${new Date(lastMs).toISOString()} at least.`,
    'Nothing was copied. Stop them (SIGTERM lets them end what they do) and copy again; of one that died the lease runs out.',
    { data: { workers, tasks: held.map(({ taskId }) => taskId) } },
  )
}

/** The tasks that are there already, as they are here. Throws COPY_CONFLICT when there is any other. */
async function placesIn(to: Store, source: readonly KnownTask[]): Promise<ReadonlySet<string>> {
  const meant = new Map(source.map((task) => [task.taskId, task]))
  const there = await to.known()
  const strange = there.filter(({ taskId }) => !meant.has(taskId)).map(({ taskId }) => taskId)
  if (strange.length > 0) throw conflict(`it holds ${tasks(strange)}, which the source does not have`, strange)
  const others = there.filter(({ taskId, hash }) => hash === null || meant.get(taskId)?.hash !== hash)
  const [first] = others
  if (first) {
    const { seq } = meant.get(first.taskId)!
    const names = others.map(({ taskId }) => taskId)
    const what = `${tasks(names)} stand${others.length === 1 ? 's' : ''} otherwise there: ${first.taskId} at event ${first.seq ?? '?'}, here at ${seq ?? '?'}`
    throw conflict(what, names)
  }
  return new Set(there.map(({ taskId }) => taskId))
}

/** How many of the checkpoints are there already. */
async function knownCheckpoints(to: Store, checkpoints: readonly Checkpoint[]): Promise<number> {
  const there = await to.checkpoints()
  const other = there.find((checkpoint, index) => !isDeepStrictEqual(checkpoint, checkpoints[index]))
  if (other) throw conflict(`its checkpoint ${other.number} is not the one of the source`, `checkpoint ${other.number}`)
  return there.length
}

async function schedulesMissing(to: Store, schedules: readonly ScheduleRow[]): Promise<readonly ScheduleRow[]> {
  const meant = new Map(schedules.map((schedule) => [schedule.id, schedule]))
  const there = await to.schedules({ removed: true })
  const other = there.find((schedule) => textOf(schedule) !== textOf(meant.get(schedule.id)))
  if (other) throw conflict(`its schedule ${other.name} is not as the source has it`, `schedule ${other.name}`)
  const ids = new Set(there.map(({ id }) => id))
  return schedules.filter(({ id }) => !ids.has(id))
}

/** A schedule as a text; its input may be nested deeper than what compares values can go. */
function textOf(schedule: ScheduleRow | undefined): string {
  return JSON.stringify(schedule && scheduleColumns.map((column) => schedule[column])) ?? ''
}

/** Every task has arrived, and all that follows from its log. */
async function proveThere(to: Store, of: number, progress: NonNullable<CopyOptions['progress']>): Promise<void> {
  const { findings } = await to.verify(undefined, (done) => progress({ phase: 'proved', tasks: done, of }))
  const [finding] = findings
  if (finding) {
    throw unproved('there', finding, 'Throw the copy away, look after that database, and copy again.', findings.length)
  }
}

/** Nobody has gone on here since it was looked at. */
async function proveUnmoved(from: Store, source: readonly KnownTask[]): Promise<void> {
  const seen = new Map(source.map((task) => [task.taskId, task.hash]))
  const moved = (await from.known()).filter(({ taskId, hash }) => seen.get(taskId) !== hash)
  if (moved.length > 0) throw busy(moved.map(({ taskId }) => taskId))
}

// ---- Tasks ---------------------------------------------------------------------------------------------------------

type Written = Pick<Copied, 'tasks' | 'events' | 'payloads'>

/** Copies all tasks but those that are there. */
async function copyTasks(
  from: Store,
  to: Store,
  source: readonly KnownTask[],
  there: ReadonlySet<string>,
  progress: NonNullable<CopyOptions['progress']>,
): Promise<Written> {
  let [tasks, events, payloads, bytes] = [0, 0, 0, 0]
  let batch: (readonly WholeTask[])[] = []
  const flush = async (): Promise<void> => {
    await takeIn(to, source, batch)
    for (const task of batch.flat()) {
      tasks += 1
      events += task.events.length
      payloads += task.payloads.length
    }
    batch = []
    bytes = 0
    progress({ phase: 'copied', tasks: there.size + tasks, of: source.length })
  }
  for (const tree of treesOf(source)) {
    const wholes: WholeTask[] = []
    for (const known of tree) if (!there.has(known.taskId)) wholes.push(await takeOut(from, known))
    if (wholes.length === 0) continue
    batch.push(wholes)
    bytes += wholes.reduce((sum, whole) => sum + bytesOf(whole), 0)
    if (bytes >= batchBytes) await flush()
  }
  if (batch.length > 0) await flush()
  return { tasks, events, payloads }
}

/** The tasks of each tree together; those of a tree lie one behind the other. */
function* treesOf(source: readonly KnownTask[]): Generator<readonly KnownTask[]> {
  let tree: KnownTask[] = []
  for (const task of source) {
    if (tree.length > 0 && tree[0]!.rootId !== task.rootId) {
      yield tree
      tree = []
    }
    tree.push(task)
  }
  if (tree.length > 0) yield tree
}

/** A task, proved whole. Throws COPY_UNPROVED, or LOG_NEWER. */
async function takeOut(from: Store, { taskId, seq, hash }: KnownTask): Promise<WholeTask> {
  const whole = await from.takeOut(taskId)
  const head = seq === null || hash === null ? undefined : { seq, hash }
  const finding = findingOf(whole, head)
  if (finding) {
    const now = await from.task(taskId)
    if (now && now.hash !== hash) throw busy([taskId])
    throw unproved('of the source', finding, 'Nothing of it was copied. See: signalbox verify.')
  }
  // What only a newer engine can read is left to it.
  for (const event of whole.events) unseal(event, () => undefined)
  return whole
}

function findingOf(
  { taskId, events, payloads }: WholeTask,
  head: Parameters<typeof verifyChain>[2],
): Finding | undefined {
  try {
    return verifyChain(taskId, events, head, inMemory(payloads)).finding
  } catch (thrown) {
    if (!(thrown instanceof SyntaxError)) throw thrown
    return { taskId, seq: null, kind: 'unreadable', problem: 'an event of it is not JSON' }
  }
}

/** Writes trees that were not there. One of an earlier run that was killed may have arrived in the meantime. */
async function takeIn(
  to: Store,
  source: readonly KnownTask[],
  trees: readonly (readonly WholeTask[])[],
): Promise<void> {
  let left = trees.flat()
  try {
    while (left.length > 0 && !(await to.takeIn(left))) {
      const there = await placesIn(to, source)
      left = left.filter(({ taskId }) => !there.has(taskId))
    }
  } catch (thrown) {
    if (!isUnfit(thrown)) throw thrown
    if (trees.length === 1) throw unfit(left, thrown)
    for (const tree of trees) await takeIn(to, source, [tree])
  }
}

/** Is there no place for a text of it? An older Signalbox let SQLite keep U+0000 in a name, or in what a person said. */
function isUnfit(thrown: unknown): boolean {
  return isFault(thrown, 'TEXT_INVALID')
}

function bytesOf({ events, payloads }: WholeTask): number {
  const size = (texts: readonly (string | null)[]): number => texts.reduce((sum, text) => sum + (text?.length ?? 0), 0)
  return size(events.map(({ data }) => data)) + size(payloads.map(({ body }) => body)) + 300 * events.length
}

// ---- The register --------------------------------------------------------------------------------------------------

async function copyCheckpoint(from: Store, to: Store, checkpoint: Checkpoint): Promise<void> {
  if (await to.takeInCheckpoint(checkpoint, await from.heads(checkpoint.number))) return
  const [there] = await to.checkpoints({ after: checkpoint.number - 1, limit: 1 })
  if (isDeepStrictEqual(there, checkpoint)) return
  throw conflict(`something was signed there meanwhile`, `checkpoint ${checkpoint.number}`)
}

// ---- What is said --------------------------------------------------------------------------------------------------

function tasks(taskIds: readonly string[]): string {
  return `${taskIds.length === 1 ? 'task' : `${taskIds.length} tasks:`} ${list(taskIds)}`
}

function list(names: readonly string[]): string {
  const more = names.length - namedMax
  return `${names.slice(0, namedMax).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

function conflict(what: string, of: string | readonly string[]): Fault {
  return new Fault(
    'COPY_CONFLICT',
    `The store that is copied to is no part of the source: ${what}.`,
    'Nothing of that was written. Copy into an empty store: another file, another database, or another ?schema=NAME.',
    { data: { of } },
  )
}

function busy(taskIds: readonly string[]): Fault {
  return new Fault(
    'COPY_BUSY',
    `The source has gone on while it was copied: ${tasks(taskIds)}.`,
    'The copy is behind it. Stop whoever works on the source, and copy into an empty store.',
    { data: { tasks: taskIds } },
  )
}

function unfit(left: readonly WholeTask[], thrown: unknown): Fault {
  const taskIds = left.map(({ taskId }) => taskId)
  return new Fault(
    'COPY_UNFIT',
    `The other database does not take ${tasks(taskIds)}: ${messageOf(thrown)}.`,
    'Nothing of it was written. What it was told, or is called, holds something that only the engine of the source can store.',
    { cause: thrown, data: { tasks: taskIds } },
  )
}

function unproved(where: string, { taskId, seq, problem }: Finding, next: string, count = 1): Fault {
  const more = count > 1 ? ` (and ${count - 1} more)` : ''
  const what = `Task ${taskId} ${where} is not as it was written, at event ${seq ?? '?'}: ${problem}${more}.`
  return new Fault('COPY_UNPROVED', what, next, { data: { taskId, seq } })
}
