// What nobody waits for is sent together. The writes of which every step has some (events, payloads, rows of tasks, context
// and jobs) become one statement, with the rows of a table as one list that is JSON; so a commit of one task, or of fifty,
// is one statement, and everything else follows behind it. The same statement checks what was taken for granted: that
// each task's log ended where it was thought to, that leases are held, and that gates are open. If not, it fails, and
// nothing is written.

import { assert } from '../../core/fault.ts'
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

const shapes = new Map<string, string>()

function together(
  rows: ReadonlyMap<KindName, readonly (readonly Value[])[]>,
  assumed: readonly (readonly Value[])[],
): Sent {
  const there = names.filter((name) => rows.has(name))
  const shape = `${assumed.length > 0 ? 'assume ' : ''}${there.join(' ')}`
  const text = shapes.get(shape) ?? write(there, assumed.length > 0)
  shapes.set(shape, text)
  assert(shapes.size < 512, 'there are few kinds of commits')
  const leased = assumed.filter(([, lease]) => lease !== null).length
  const guard = assumed.length > 0 ? [listOf(assumed), leased] : []
  const updated = rows.get('updateTask')?.length
  return {
    name: `t${[...shapes.keys()].indexOf(shape)}`,
    text,
    values: [...there.map((name) => listOf(rows.get(name)!)), ...(updated === undefined ? [] : [updated]), ...guard],
  }
}

function listOf(rows: readonly (readonly Value[])[]): string {
  return JSON.stringify(rows.map((row) => Object.fromEntries(row.map((value, index) => [`p${index + 1}`, value]))))
}

function write(there: readonly KindName[], guarded: boolean): string {
  const parts: string[] = []
  const checks: string[] = []
  const param = (index: number): string => `$${index + 1}`
  const list = (at: string, types: Kind['types']): string =>
    `(SELECT * FROM json_to_recordset(CAST(${at} AS json)) AS l(${types.map((type, index) => `p${index + 1} ${type}`).join(', ')}))`
  let next = there.length
  if (there.includes('updateTask'))
    checks.push(`(SELECT count(*) FROM "updateTask") = CAST(${param(next++)} AS bigint)`)
  if (guarded) {
    const [rows, leases] = [param(next++), param(next++)]
    parts.push(
      `assumed AS MATERIALIZED (SELECT * FROM ${list(rows, [text, text, text, bigint])} AS r)`,
      `leased AS MATERIALIZED (SELECT 1 FROM jobs, assumed WHERE "taskId" = p1 AND lease = p2 FOR UPDATE OF jobs)`,
    )
    checks.push(
      `(SELECT count(*) FROM leased) = CAST(${leases} AS bigint)`,
      quoted(
        `NOT EXISTS (SELECT 1 FROM assumed, json_array_elements_text(CAST(p3 AS json)) AS admitted(key) JOIN breakers ON breakers.key = admitted.key WHERE status <> 'closed' OR pausedUntilMs > p4)`,
      ),
    )
  }
  for (const [index, name] of there.entries()) {
    const { types, sql }: Kind = kinds[name]
    // The lease is looked at first, so that nobody who waits for it holds anything else.
    const first = guarded && name === 'updateTask' ? ' AND (SELECT count(*) FROM leased) >= 0 RETURNING 1' : ''
    const statement = sql(list(param(index), types))
    parts.push(`"${name}" AS (${first === '' ? statement : statement.replace(/ RETURNING 1$/, first)})`)
  }
  // What does not hold is an error, so that all of it is taken back.
  const check = checks.length === 0 ? '1' : `1 / CASE WHEN ${checks.join(' AND ')} THEN 1 ELSE 0 END`
  return `WITH ${parts.join(', ')} SELECT ${check} AS held`
}
