// A shadow of one task: its rows as they follow from its log, written into a store of its own in memory and thrown away
// again. `verify` holds it beside the rows that are there. What is due when, who holds a lease and who waits at a gate
// changes without events and is not compared; that a task which must go on has a job is.

import { DatabaseSync } from 'node:sqlite'
import { fold } from '../core/fold.ts'
import { emptyTask, ownerOf, type Task } from '../core/task.ts'
import { Derived } from './derived.ts'
import { taskRow } from './rows.ts'
import { migrations } from './schema.ts'
import { prepare, type Statements } from './statements.ts'
import type { LoggedEvent, SealedEvent } from './store.ts'

type Row = Readonly<Record<string, unknown>>

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

/** A place in memory where the rows of one task after the other are written. */
export class Shadow {
  readonly #db = new DatabaseSync(':memory:')
  readonly #sql: Statements
  readonly #derived: Derived

  constructor() {
    for (const { sql } of migrations) this.#db.exec(sql)
    this.#sql = prepare(this.#db)
    this.#derived = new Derived(this.#sql)
  }

  /** What in a store is not as the task's events say, or undefined. `events` are all of the task's, in order. */
  problem(
    sql: Statements,
    taskId: string,
    events: readonly LoggedEvent[],
    sealed: readonly SealedEvent[],
  ): string | undefined {
    const meant = events.length === 0 ? none : this.#rows(taskId, events, sealed)
    const found = within(sql, rowsOf(sql, taskId), meant)
    for (const [table, key] of keys) {
      const problem = difference(table, key, found[table], meant[table])
      if (problem !== undefined) return problem
    }
    return breakerProblem(sql, found.breakers, meant.breakers)
  }

  #rows(taskId: string, events: readonly LoggedEvent[], sealed: readonly SealedEvent[]): Rows {
    const task = fold(emptyTask(taskId), events)
    const { seq, hash } = sealed.at(-1)!
    this.#db.exec('BEGIN')
    try {
      this.#derived.writeAnew(taskRow(task, { seq, hash }), task, events, sealed)
      this.#derived.writeJob(task, {})
      return { ...rowsOf(this.#sql, taskId), task }
    } finally {
      this.#db.exec('ROLLBACK')
    }
  }

  /** Gives the memory back. */
  close(): void {
    this.#db.close()
  }
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

function rowsOf(sql: Statements, taskId: string): Rows {
  return {
    task: undefined,
    tasks: sql.task.all(taskId),
    children: sql.childRows.all(taskId),
    members: sql.memberRows.all(taskId),
    context: sql.contextRows.all(taskId),
    inbox: sql.inboxRows.all(taskId),
    breakers: sql.breakerRows.all(taskId),
    jobs: sql.jobRow.all(taskId),
  }
}

/**
 * In a tree, what one task wrote to the context may be overwritten by another, with a later version; and a task that waits for
 * a human only may have a job because its family has something to tell.
 */
function within(sql: Statements, found: Rows, meant: Rows): Rows {
  const { task } = meant
  if (!task?.tree) return found
  const isLater = ({ key, version }: Row): boolean => {
    const there = sql.contextVersion.get(ownerOf(task), key as string)?.['version'] as number | undefined
    return (there ?? 0) > (version as number)
  }
  const names = new Set(found.context.map(({ name }) => name))
  const overwritten = task.sharing ? meant.context.filter((row) => !names.has(row['name']) && isLater(row)) : []
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
function breakerProblem(sql: Statements, found: readonly Row[], meant: readonly Row[]): string | undefined {
  const said = new Map(meant.map((row) => [row['key'], row]))
  for (const row of found) {
    const event = said.get(row['key'])
    if (!event) return `breakers ${String(row['key'])} names an event that does not change it`
    const problem = columnProblem('breakers', 'key', row, event)
    if (problem !== undefined) return problem
  }
  for (const row of meant) {
    const version = sql.breaker.get(row['key'] as string)?.['version'] as number | undefined
    if ((version ?? 0) < (row['version'] as number)) return `breakers ${String(row['key'])} is older than the log`
  }
  return undefined
}
