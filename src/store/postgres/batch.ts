// What nobody waits for is sent together. The writes of which every step has some (events, payloads, rows of tasks, context
// and jobs) become one statement, with the rows of a table as one list that is JSON; so a commit of one task, or of fifty,
// is one statement, and everything else follows behind it. The same statement checks what was taken for granted: that
// each task's log ended where it was thought to, that leases are held, and that gates are open. If not, it fails, and
// nothing is written.

import { changingColumns, taskColumns } from '../rows.ts'
import type { StatementName } from '../statements.ts'
import type { Call, Value } from '../tx.ts'
import { quoted, texts } from './dialect.ts'

/** A statement as it is sent. */
export interface Sent {
  /** Prepared once for each connection, under this name. */
  readonly name: string
  readonly text: string
  readonly values: readonly Value[]
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
const typeOf = (column: string): 'text' | 'bigint' => (numeric.has(column) ? 'bigint' : 'text')

/** How the rows of one kind are written: the types of their values, and the words around the list. */
interface Kind {
  readonly types: readonly ('text' | 'bigint')[]
  sql(rows: string): string
}

const insert = (name: StatementName, types: Kind['types']): Kind => ({
  types,
  sql: (rows) => texts[name].replace(/VALUES \([^)]*\)/, `SELECT * FROM ${rows} AS r`),
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
        `UPDATE tasks SET ${changingColumns.map((column, index) => `${column} = r.p${index + 4}`).join(', ')} FROM ${rows} AS r WHERE taskId = r.p1 AND tasks.seq = r.p2 AND tasks.hash = r.p3 RETURNING 1`,
      ),
  },
  writeContext: insert('writeContext', [text, text, bigint, text, bigint, text, text, text]),
  endJob: { types: [text], sql: (rows) => quoted(`DELETE FROM jobs USING ${rows} AS r WHERE taskId = r.p1`) },
  restJob: {
    types: [text, bigint],
    sql: (rows) => quoted(`DELETE FROM jobs USING ${rows} AS r WHERE taskId = r.p1 AND news <= r.p2`),
  },
  freeJob: {
    types: [text, bigint, bigint, bigint, bigint],
    sql: (rows) =>
      quoted(
        `UPDATE jobs SET availableAtMs = CASE WHEN news > r.p2 THEN LEAST(r.p3, r.p4) ELSE r.p4 END, worker = NULL, lease = NULL, deliveries = 0 FROM ${rows} AS r WHERE taskId = r.p1 AND (r.p5 = 0 OR news > r.p2)`,
      ),
  },
  wakeJob: insert('wakeJob', [text, text, bigint]),
} satisfies Partial<Record<StatementName, Kind>>

type KindName = keyof typeof kinds

const names = Object.keys(kinds) as KindName[]

function isKind(name: StatementName): name is KindName {
  return Object.hasOwn(kinds, name)
}

/** Puts what is to be run into as few statements as may be, in an order in which each finds what it needs. */
export function batch(calls: readonly Call[]): Sent[] {
  const rows = new Map<KindName, (readonly Value[])[]>()
  const assumed: (readonly Value[])[] = []
  const before: Sent[] = []
  const behind: Sent[] = []
  for (const { name, params } of calls) {
    if (name === 'assume') assumed.push(params)
    else if (isKind(name)) rows.set(name, [...(rows.get(name) ?? []), params])
    else (rows.size > 0 ? behind : before).push(single(name, params))
  }
  if (rows.size === 0) return before
  const written = rows.get('writeContext')
  if (written) rows.set('writeContext', lastOfEach(written))
  return [...before, together(rows, assumed), ...behind]
}

/** One statement by itself. */
export function single(name: StatementName, params: readonly Value[]): Sent {
  return { name, text: texts[name], values: params }
}

/** A key that is written twice is written once: what is earlier is overwritten anyway. */
function lastOfEach(rows: readonly (readonly Value[])[]): (readonly Value[])[] {
  return [...new Map(rows.map((row) => [JSON.stringify([row[0], row[1]]), row])).values()]
}

/** Rows of one kind, as they are handed over. */
interface List {
  readonly name: KindName | 'assumed'
  readonly types: Kind['types']
  readonly rows: readonly (readonly Value[])[]
}

const assumedTypes = [text, text, text, bigint] as const

/** The texts that were made, by their shape: which lists there are, and of how many rows where each value stands for itself. */
const shapes = new Map<string, Omit<Sent, 'values'>>()
const shapesMax = 256
/** So few rows are handed over value by value, which the database is quicker with; more of them as a list that is JSON. */
const fewMax = 8

function together(rows: ReadonlyMap<KindName, readonly (readonly Value[])[]>, assumed: List['rows']): Sent {
  const lists: List[] = names.flatMap((name) => {
    const its = rows.get(name)
    // Tasks are held in one order by everybody.
    const sorted = name === 'updateTask' ? its?.toSorted(byTask) : its
    return sorted ? [{ name, types: kinds[name].types, rows: sorted }] : []
  })
  if (assumed.length > 0) lists.push({ name: 'assumed', types: assumedTypes, rows: assumed })
  const counted = lists.map((list) => `${list.name} ${list.rows.length}`).join()
  const few = lists.every((list) => list.rows.length <= fewMax) && (shapes.has(counted) || shapes.size < shapesMax)
  const shape = few ? counted : lists.map(({ name }) => name).join()
  let made = shapes.get(shape)
  if (!made) {
    made = { name: `t${shapes.size}`, text: textOf(lists, few) }
    shapes.set(shape, made)
  }
  const values = lists.flatMap((list) => (few ? list.rows.flat() : [jsonOf(list.rows)]))
  const updated = rows.get('updateTask')
  if (updated) values.push(updated.length)
  if (assumed.length > 0) values.push(assumed.filter(([, lease]) => lease !== null).length)
  return { ...made, values }
}

function byTask([a]: readonly Value[], [b]: readonly Value[]): number {
  return String(a) < String(b) ? -1 : 1
}

/** The objects of a list, written out. Making them first, to have them written at once, took longer than all else in here. */
function jsonOf(rows: List['rows']): string {
  return `[${rows.map((row) => `{${row.map((value, index) => `"p${index + 1}":${JSON.stringify(value)}`).join()}}`).join()}]`
}

function textOf(lists: readonly List[], few: boolean): string {
  let params = 0
  const param = (): string => `$${(params += 1)}`
  const source = ({ types, rows }: List): string => {
    const columns = types.map((_, index) => `p${index + 1}`)
    if (few) {
      const values = rows.map(() => `(${types.map((type) => `CAST(${param()} AS ${type})`).join(', ')})`)
      return `(SELECT * FROM (VALUES ${values.join(', ')}) AS l(${columns.join(', ')}))`
    }
    const typed = types.map((type, index) => `${columns[index]} ${type}`)
    return `(SELECT * FROM json_to_recordset(CAST(${param()} AS json)) AS l(${typed.join(', ')}))`
  }
  const sources = new Map(lists.map((list) => [list.name, source(list)]))
  const parts: string[] = []
  const checks: string[] = []
  if (sources.has('updateTask')) checks.push(`(SELECT count(*) FROM "updateTask") = CAST(${param()} AS bigint)`)
  const assumed = sources.get('assumed')
  if (assumed !== undefined) {
    parts.push(
      `assumed AS MATERIALIZED (SELECT * FROM ${assumed} AS r)`,
      `held AS MATERIALIZED (SELECT lease = p2 AS ours FROM jobs, assumed WHERE "taskId" = p1 ORDER BY "taskId" FOR UPDATE OF jobs)`,
    )
    checks.push(
      `(SELECT count(*) FROM held WHERE ours) = CAST(${param()} AS bigint)`,
      quoted(
        `NOT EXISTS (SELECT 1 FROM assumed, json_array_elements_text(CAST(p3 AS json)) AS admitted(key) JOIN breakers ON breakers.key = admitted.key WHERE status <> 'closed' OR pausedUntilMs > p4)`,
      ),
    )
  }
  for (const { name } of lists) {
    if (name === 'assumed') continue
    // The jobs are held first, as by everyone else, so that nobody who waits for one holds a task.
    const first = assumed !== undefined && name === 'updateTask' ? ' AND (SELECT count(*) FROM held) >= 0' : ''
    parts.push(`"${name}" AS (${kinds[name].sql(sources.get(name)!).replace(/(?= RETURNING 1$)/, first)})`)
  }
  // What does not hold is an error, so that all of it is taken back.
  const check = checks.length === 0 ? '1' : `1 / CASE WHEN ${checks.join(' AND ')} THEN 1 ELSE 0 END`
  return `WITH ${parts.join(', ')} SELECT ${check} AS held`
}
