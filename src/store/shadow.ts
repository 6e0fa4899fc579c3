// A shadow of one task: its rows as they follow from its log, written into a store of its own in memory and thrown away
// again. `verify` holds it beside the rows that are there. What is due when, who holds a lease and who waits at a gate
// changes without events and is not compared; that a task which must go on has a job is.

import { fold } from '../core/fold.ts'
import { emptyTask, ownerOf, type Task } from '../core/task.ts'
import { writeAnew, writeJob } from './derived.ts'
import { taskRow } from './rows.ts'
import { tryOut } from './sqlite/scratch.ts'
import type { LoggedEvent, SealedEvent } from './store.ts'
import { one, together, type Row, type Tx } from './tx.ts'

/** The rows of one task, by table. */
interface Rows {
  readonly task: Task | undefined
  readonly tasks: readonly Row[]
  readonly children: readonly Row[]
  readonly members: readonly Row[]
  readonly context: readonly Row[]
  readonly inbox: readonly Row[]
  readonly breakers: readonly Row[]
  readonly jobs: readonly Row[]
}

/** What in a store is not as a task's events say, or undefined. `events` are all of the task's, in order. */
export function* shadowProblem(
  taskId: string,
  events: readonly LoggedEvent[],
  sealed: readonly SealedEvent[],
): Tx<string | undefined> {
  const meant = events.length === 0 ? none : meantBy(taskId, events, sealed)
  const found = yield* within(yield* rowsOf(taskId), meant)
  for (const [table, key] of keys) {
    const problem = difference(table, key, found[table], meant[table])
    if (problem !== undefined) return problem
  }
  return yield* breakerProblem(found.breakers, meant.breakers)
}

function meantBy(taskId: string, events: readonly LoggedEvent[], sealed: readonly SealedEvent[]): Rows {
  const task = fold(emptyTask(taskId), events)
  const { seq, hash } = sealed.at(-1)!
  return tryOut(function* () {
    yield* writeAnew(taskRow(task, { seq, hash }), task, events, sealed)
    yield* writeJob(task, {})
    return { ...(yield* rowsOf(taskId)), task }
  })
}

const none: Rows = {
  task: undefined,
  tasks: [],
  children: [],
  members: [],
  context: [],
  inbox: [],
  breakers: [],
  jobs: [],
}

/** The tables whose rows are one task's alone, and what names a row there. */
const keys = [
  ['tasks', 'taskId'],
  ['children', 'childId'],
  ['members', 'taskId'],
  ['context', 'name'],
  ['inbox', 'item'],
  ['jobs', 'definition'],
] as const

function* rowsOf(taskId: string): Tx<Rows> {
  const [tasks, children, members, context, inbox, breakers, jobs] = yield* together<
    [Row[], Row[], Row[], Row[], Row[], Row[], Row[]]
  >(
    ['task', taskId],
    ['childRows', taskId],
    ['memberRows', taskId],
    ['contextRows', taskId],
    ['inboxRows', taskId],
    ['breakerRows', taskId],
    ['jobRow', taskId],
  )
  return { task: undefined, tasks, children, members, context, inbox, breakers, jobs }
}

/**
 * In a tree, what one task wrote to the context may be overwritten by another, with a later version; and a task that waits for
 * a human only may have a job because its family has something to tell.
 */
function* within(found: Rows, meant: Rows): Tx<Rows> {
  const { task } = meant
  if (!task?.tree) return found
  const names = new Set(found.context.map(({ name }) => name))
  const overwritten: Row[] = []
  for (const row of task.sharing ? meant.context : []) {
    if (names.has(row['name'])) continue
    const there = yield* one<{ version: number }>('contextVersion', ownerOf(task), row['key']!)
    if ((there?.version ?? 0) > (row['version'] as number)) overwritten.push(row)
  }
  return {
    ...found,
    context: [...found.context, ...overwritten],
    jobs: meant.jobs.length === 0 ? [] : found.jobs,
  }
}

function difference(table: string, key: string, found: readonly Row[], meant: readonly Row[]): string | undefined {
  const left = new Map(found.map((row) => [row[key], row]))
  for (const row of meant) {
    const there = left.get(row[key])
    if (!there) return `${table} has no row ${String(row[key])}, which the log says is there`
    const problem = columnProblem(table, key, there, row)
    if (problem !== undefined) return problem
    left.delete(row[key])
  }
  const [more] = left.keys()
  return more === undefined ? undefined : `${table} has a row ${String(more)} that the log knows nothing of`
}

function columnProblem(table: string, key: string, found: Row, meant: Row): string | undefined {
  const column = Object.keys(meant).find((name) => name !== 'noticeAtMs' && found[name] !== meant[name])
  if (column === undefined) return undefined
  const say = (value: unknown): string => JSON.stringify(value)
  return `${table} ${String(meant[key])}: ${column} is ${say(found[column])}, but the log says ${say(meant[column])}`
}

/** A breaker is everyone's: the row names the event that changed it last, and its version never goes back. */
function* breakerProblem(found: readonly Row[], meant: readonly Row[]): Tx<string | undefined> {
  const said = new Map(meant.map((row) => [row['key'], row]))
  for (const row of found) {
    const event = said.get(row['key'])
    if (!event) return `breakers ${String(row['key'])} names an event that does not change it`
    const problem = columnProblem('breakers', 'key', row, event)
    if (problem !== undefined) return problem
  }
  for (const row of meant) {
    const there = yield* one<{ version: number }>('breaker', row['key']!)
    if ((there?.version ?? 0) < (row['version'] as number))
      return `breakers ${String(row['key'])} is older than the log`
  }
  return undefined
}
