// What nobody waits for is sent together. The writes of which every step has some (events, payloads, rows of tasks, context
// and jobs) become one statement, with the rows of a table as one list; so a commit of one task, or of fifty, is one
// statement, and everything else follows behind it. The same statement checks what was taken for granted: that
// each task's log ended where it was thought to, that leases are held, and that gates are open. If not, it fails, and
// nothing is written.

import { changingColumns, taskColumns } from '../rows.ts'
import type { StatementName } from '../statements.ts'
import type { Call, Value } from '../tx.ts'
import { columnOf, type ColumnType } from './column.ts'
import { quoted, texts } from './dialect.ts'

/** A statement as it is sent. */
export interface Sent {
  /** Prepared once for each connection, under this name. */
  readonly name: string
  readonly text: string
  readonly values: readonly (Value | Buffer)[]
}

const numeric: ReadonlySet<string> = new Set([
  'steps',
  'turns',
  'inputTokens',
  'outputTokens',
  'costMicros',
  'unpriced',
  'erased',
  'updatedAtMs',
  'startedAtMs',
  'seq',
])
const typeOf = (column: string): ColumnType => (numeric.has(column) ? 'bigint' : 'text')

/** How the rows of one kind are written: the types of their values, and the words around the table `r` that they are. */
interface Kind {
  readonly types: readonly ColumnType[]
  sql(rows: string): string
}

const insert = (name: StatementName, types: Kind['types']): Kind => ({
  types,
  sql: (rows) => texts[name].replace(/VALUES \([^)]*\)/, `SELECT * FROM ${rows}`),
})

const text = 'text'
const bigint = 'bigint'

const kinds = {
  insertPayload: insert('insertPayload', [text, bigint, text, text, text]),
  insertEvent: insert('insertEvent', [text, bigint, bigint, text, text, bigint, text, text]),
  insertTask: insert('insertTask', taskColumns.map(typeOf)),
  updateTask: {
    types: [text, bigint, text, ...changingColumns.map(typeOf)],
    sql: (rows) =>
      quoted(
        `UPDATE tasks SET ${changingColumns.map((column, index) => `${column} = r.p${index + 4}`).join(', ')} FROM ${rows} WHERE taskId = r.p1 AND tasks.seq = r.p2 AND tasks.hash = r.p3 RETURNING 1`,
      ),
  },
  writeContext: insert('writeContext', [text, text, bigint, text, bigint, text, text, text]),
  endJob: { types: [text], sql: (rows) => quoted(`DELETE FROM jobs USING ${rows} WHERE taskId = r.p1`) },
  restJob: {
    types: [text, bigint],
    sql: (rows) => quoted(`DELETE FROM jobs USING ${rows} WHERE taskId = r.p1 AND news <= r.p2`),
  },
  freeJob: {
    types: [text, bigint, bigint, bigint, bigint],
    sql: (rows) =>
      quoted(
        `UPDATE jobs SET availableAtMs = CASE WHEN news > r.p2 THEN LEAST(r.p3, r.p4) ELSE r.p4 END, worker = NULL, lease = NULL, deliveries = 0 FROM ${rows} WHERE taskId = r.p1 AND (r.p5 = 0 OR news > r.p2)`,
      ),
  },
  wakeJob: insert('wakeJob', [text, text, bigint]),
} satisfies Partial<Record<StatementName, Kind>>

/** What is taken for granted: leases, and gates that let everyone through at a time. It is checked, and not written. */
const assumptions = { assume: [text, text], admit: [text, bigint] } as const

type KindName = keyof typeof kinds
type ListName = KindName | keyof typeof assumptions

const names = [...Object.keys(kinds), ...Object.keys(assumptions)] as ListName[]

function isList(name: StatementName): name is ListName {
  return Object.hasOwn(kinds, name) || Object.hasOwn(assumptions, name)
}

/** Puts what is to be run into as few statements as may be, in an order in which each finds what it needs. */
export function batch(calls: readonly Call[]): Sent[] {
  const rows = new Map<ListName, (readonly Value[])[]>()
  const before: Sent[] = []
  const behind: Sent[] = []
  for (const { name, params } of calls) {
    if (!isList(name)) (rows.size > 0 ? behind : before).push(single(name, params))
    else if (rows.get(name)?.push(params) === undefined) rows.set(name, [params])
  }
  return rows.size === 0 ? before : [...before, together(rows), ...behind]
}

/** One statement by itself. */
export function single(name: StatementName, params: readonly Value[]): Sent {
  return { name, text: texts[name], values: params }
}

/** What is written or looked at twice is so once, as it was last: what is earlier is overwritten anyway. */
function lastOfEach(rows: List['rows'], keys: number): List['rows'] {
  return [...new Map(rows.map((row) => [JSON.stringify(row.slice(0, keys)), row])).values()]
}

/** Rows of one kind, as they are handed over. */
interface List {
  readonly name: ListName
  readonly types: Kind['types']
  readonly rows: readonly (readonly Value[])[]
}

/** The texts that were made, by their shape: which lists there are, and of how many rows where each value stands for itself. */
const shapes = new Map<string, Omit<Sent, 'values'>>()
const shapesMax = 256
/** So few rows are handed over value by value, which the database is quicker with; more of them column by column. */
const fewMax = 4

function together(rows: ReadonlyMap<ListName, List['rows']>): Sent {
  const lists = names.flatMap((name): List[] => {
    const its = rows.get(name)
    return its ? [listOf(name, its)] : []
  })
  const counted = lists.map((list) => `${list.name} ${list.rows.length}`).join()
  const few = lists.every((list) => list.rows.length <= fewMax) && (shapes.has(counted) || shapes.size < shapesMax)
  const shape = few ? counted : lists.map(({ name }) => name).join()
  let made = shapes.get(shape)
  if (!made) {
    made = { name: `t${shapes.size}`, text: textOf(lists, few) }
    shapes.set(shape, made)
  }
  const values = lists.flatMap(({ types, rows: its }): (Value | Buffer)[] =>
    few ? its.flat() : types.map((type, place) => columnOf(its, place, type)),
  )
  const updated = rows.get('updateTask')
  if (updated) values.push(updated.length)
  const assumed = rows.get('assume')
  if (assumed) values.push(assumed.filter(([, lease]) => lease !== null).length)
  return { ...made, values }
}

function listOf(name: ListName, rows: List['rows']): List {
  if (name === 'assume' || name === 'admit') {
    return { name, types: assumptions[name], rows: name === 'admit' ? lastOfEach(rows, 1) : rows }
  }
  const { types } = kinds[name]
  if (name === 'writeContext') return { name, types, rows: lastOfEach(rows, 2) }
  // Tasks are held in one order by everybody.
  return { name, types, rows: name === 'updateTask' ? rows.toSorted(byTask) : rows }
}

function byTask([a]: readonly Value[], [b]: readonly Value[]): number {
  return String(a) < String(b) ? -1 : 1
}

function textOf(lists: readonly List[], few: boolean): string {
  let params = 0
  const param = (): string => `$${(params += 1)}`
  const table = ({ types, rows }: List): string => {
    const columns = types.map((_, index) => `p${index + 1}`).join(', ')
    if (!few) return `unnest(${types.map((type) => `CAST(${param()} AS ${type}[])`).join(', ')}) AS r(${columns})`
    // The types of the first row are those of all.
    const first = types.map((type) => `CAST(${param()} AS ${type})`)
    const others = rows.slice(1).map(() => types.map(param))
    return `(VALUES ${[first, ...others].map((row) => `(${row.join(', ')})`).join(', ')}) AS r(${columns})`
  }
  const tables = new Map(lists.map((list) => [list.name, table(list)]))
  const parts: string[] = []
  const checks: string[] = []
  if (tables.has('updateTask')) checks.push(`(SELECT count(*) FROM "updateTask") = CAST(${param()} AS bigint)`)
  const assumed = tables.get('assume')
  if (assumed !== undefined) {
    parts.push(
      `held AS MATERIALIZED (SELECT lease = p2 AS ours FROM jobs JOIN ${assumed} ON "taskId" = p1 ORDER BY "taskId" FOR UPDATE OF jobs)`,
    )
    checks.push(`(SELECT count(*) FROM held WHERE ours) = CAST(${param()} AS bigint)`)
  }
  const admitted = tables.get('admit')
  if (admitted !== undefined) {
    checks.push(
      quoted(
        `NOT EXISTS (SELECT 1 FROM breakers JOIN ${admitted} ON key = p1 WHERE status <> 'closed' OR pausedUntilMs > p2)`,
      ),
    )
  }
  for (const { name } of lists) {
    if (name === 'assume' || name === 'admit') continue
    // The jobs are held first, as by everyone else, so that nobody who waits for one holds a task.
    const first = assumed !== undefined && name === 'updateTask' ? ' AND (SELECT count(*) FROM held) >= 0' : ''
    parts.push(`"${name}" AS (${kinds[name].sql(tables.get(name)!).replace(/(?= RETURNING 1$)/, first)})`)
  }
  // What does not hold is an error, so that all of it is taken back.
  const check = checks.length === 0 ? '1' : `1 / CASE WHEN ${checks.join(' AND ')} THEN 1 ELSE 0 END`
  return `WITH ${parts.join(', ')} SELECT ${check} AS held`
}
