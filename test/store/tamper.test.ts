// Promise 3: the log is append-only, and what was done to it all the same is named. The database refuses first; with
// its triggers dropped, or passed by who owns it, `verify` names the first event that is not as it was written.

import { describe, expect, test as once } from 'vitest'
import type { Finding } from '../../src/store/store.ts'
import { hashOf, seal } from '../../src/store/log.ts'
import { address, opened, postgres, sqlite, test } from '../engines.ts'
import { asOwner, withoutTriggers, type Sql } from '../owner.ts'
import { playHistory } from './history.ts'

/** A store with two tasks, `a` of at least ten events. */
async function history(given?: string): Promise<string> {
  const at = given ?? (await address())
  const store = await opened(at)
  await playHistory(
    store,
    'a',
    'x',
    [4, 8, 15, 16, 23, 42, 99, 7, 3, 12, 31, 5, 77, 2, 64, 9, 2, 2, 2, 2, 2, 2, 2],
    ['v', { w: 1 }],
  )
  await playHistory(store, 'b', 'x', [1, 2, 3, 4, 5, 6, 7, 8], ['v'])
  expect((await store.verify()).findings).toEqual([])
  expect((await store.task('a'))!.seq).toBeGreaterThan(9)
  await store.close()
  return at
}

async function verify(at: string): Promise<readonly Finding[]> {
  const store = await opened(at)
  return (await store.verify()).findings
}

describe('the database itself refuses', () => {
  const refuses = async (at: string, sql: string, says: RegExp): Promise<void> => {
    await expect(asOwner(at, (run) => run(sql))).rejects.toThrow(says)
    expect(await verify(at)).toEqual([])
  }

  test.each([
    ['an update of an event', `UPDATE events SET type = 'x' WHERE taskId = 'a' AND seq = 3`, /append-only: no update/],
    ['an update that changes nothing', `UPDATE events SET type = type`, /append-only: no update/],
    ['a delete of an event', `DELETE FROM events WHERE taskId = 'a' AND seq = 3`, /append-only: no delete/],
    ['a delete of all events', `DELETE FROM events`, /append-only: no delete/],
    ['an update of a payload', `UPDATE payloads SET body = '"x"'`, /never changed/],
    ['a delete of a payload', `DELETE FROM payloads`, /never removed|append-only: no delete/],
  ])('%s', async (_, sql, says) => refuses(await history(), sql, says))

  const copy = (seq: string, type: string): string =>
    `INTO events (taskId, seq, atMs, type, data, costMicros, prevHash, hash) SELECT taskId, ${seq}, atMs, ${type}, data, costMicros, prevHash, hash FROM events WHERE taskId = 'a' AND seq = 3`

  // In words that only a file takes, or by a trigger that runs whenever a task goes on: a server has none of those, and
  // what comes in there is named, below.
  once.each([
    ['an insert over an event', `INSERT OR REPLACE ${copy('seq', `'x'`)}`],
    ['an insert that leaves a gap', `INSERT ${copy('1000', 'type')}`],
  ])('%s (SQLite)', async (_, sql) => refuses(await history(await sqlite.address()), sql, /next sequence number/))

  // In words that only a server takes.
  once.each([
    [
      'an insert over an event',
      `INSERT ${copy('seq', `'x'`)} ON CONFLICT (taskId, seq) DO UPDATE SET type = excluded.type`,
      /append-only: no update/,
    ],
    ['events thrown away with their table', 'TRUNCATE events', /append-only: no truncate/],
    ['payloads thrown away with their table', 'TRUNCATE payloads', /append-only: no truncate/],
  ])('%s (PostgreSQL)', async (_, sql, says) => refuses(await history(await postgres.address()), sql, says))
})

describe('with the triggers gone, verify names', () => {
  type Hashed = Parameters<typeof hashOf>[0] & { hash: string }
  const row = async (sql: Sql, seq: number): Promise<Hashed> => {
    const found = await sql(
      `SELECT taskId, seq, atMs AS at, type, data, costMicros, prevHash, hash FROM events WHERE taskId = 'a' AND seq = ${seq}`,
    )
    return { ...found[0] } as unknown as Hashed
  }
  const literal = (value: string | number | null): string =>
    typeof value === 'string' ? `'${value.replaceAll(`'`, `''`)}'` : String(value)
  const insert = (sql: Sql, event: Parameters<typeof hashOf>[0], hash: string): Promise<unknown> => {
    const { taskId, seq, at, type, data, costMicros, prevHash } = event
    const values = [taskId, seq, at, type, data, costMicros, prevHash, hash].map(literal)
    return sql(
      `INSERT INTO events (taskId, seq, atMs, type, data, costMicros, prevHash, hash) VALUES (${values.join(', ')})`,
    )
  }
  const moveUp = (sql: Sql, from: number): Promise<unknown> =>
    sql(
      `UPDATE events SET seq = -seq - 1 WHERE taskId = 'a' AND seq >= ${from}; UPDATE events SET seq = -seq WHERE seq < 0`,
    )

  test.each<[string, (sql: Sql) => Promise<unknown>, Finding['kind'], number]>([
    [
      'an edited type',
      (sql) => sql(`UPDATE events SET type = 'tool.answered' WHERE taskId = 'a' AND seq = 4`),
      'edited',
      4,
    ],
    ['an edited time', (sql) => sql(`UPDATE events SET atMs = atMs + 1 WHERE taskId = 'a' AND seq = 4`), 'edited', 4],
    ['an edited cost', (sql) => sql(`UPDATE events SET costMicros = 7 WHERE taskId = 'a' AND seq = 4`), 'edited', 4],
    [
      'edited data',
      (sql) =>
        sql(
          `UPDATE events SET data = replace(data, '"source":"initial"', '"source":"input"') WHERE taskId = 'a' AND seq = 3`,
        ),
      'edited',
      3,
    ],
    [
      'data that is no longer JSON',
      (sql) => sql(`UPDATE events SET data = '{' WHERE taskId = 'a' AND seq = 3`),
      'edited',
      3,
    ],
    [
      'an edited hash',
      (sql) => sql(`UPDATE events SET hash = '${'f'.repeat(64)}' WHERE taskId = 'a' AND seq = 4`),
      'edited',
      4,
    ],
    [
      'an event that was edited and hashed again',
      async (sql) => {
        const event = { ...(await row(sql, 4)), at: 1 }
        await sql(`UPDATE events SET atMs = 1, hash = '${hashOf(event)}' WHERE taskId = 'a' AND seq = 4`)
      },
      'inserted',
      5,
    ],
    ['a removed first event', (sql) => sql(`DELETE FROM events WHERE taskId = 'a' AND seq = 1`), 'removed', 1],
    ['a removed event', (sql) => sql(`DELETE FROM events WHERE taskId = 'a' AND seq = 5`), 'removed', 5],
    [
      'a removed event whose gap was closed',
      (sql) =>
        sql(
          `DELETE FROM events WHERE taskId = 'a' AND seq = 5; UPDATE events SET seq = -seq + 1 WHERE taskId = 'a' AND seq > 5; UPDATE events SET seq = -seq WHERE seq < 0`,
        ),
      'inserted',
      5,
    ],
    [
      'an inserted event',
      async (sql) => {
        await moveUp(sql, 5)
        await insert(sql, { ...(await row(sql, 4)), seq: 5 }, (await row(sql, 4)).hash)
      },
      'moved',
      5,
    ],
    [
      'an inserted event that carries the right hash',
      async (sql) => {
        await moveUp(sql, 5)
        const forged = { ...(await row(sql, 4)), seq: 5, prevHash: (await row(sql, 4)).hash }
        await insert(sql, forged, hashOf(forged))
      },
      'moved',
      6,
    ],
    [
      'an event put in behind the end',
      async (sql) => {
        const [{ seq }] = (await sql(`SELECT max(seq) AS seq FROM events WHERE taskId = 'a'`)) as [{ seq: number }]
        const last = seq
        const forged = { ...(await row(sql, last)), seq: last + 1, prevHash: (await row(sql, last)).hash }
        await insert(sql, forged, hashOf(forged))
      },
      'inserted',
      -1,
    ],
    [
      'two events that changed places',
      (sql) =>
        sql(
          `UPDATE events SET seq = -9 WHERE taskId = 'a' AND seq = 5; UPDATE events SET seq = 5 WHERE taskId = 'a' AND seq = 6; UPDATE events SET seq = 6 WHERE seq = -9`,
        ),
      'moved',
      5,
    ],
    [
      'a tail cut by one event',
      (sql) => sql(`DELETE FROM events WHERE taskId = 'a' AND seq = (SELECT max(seq) FROM events WHERE taskId = 'a')`),
      'cut',
      0,
    ],
    ['a task whose events are all gone', (sql) => sql(`DELETE FROM events WHERE taskId = 'a'`), 'cut', 1],
    [
      'an edited payload',
      (sql) => sql(`UPDATE payloads SET body = '"y"' WHERE taskId = 'a' AND body = '"x"'`),
      'payload',
      2,
    ],
    ['a removed payload', (sql) => sql(`DELETE FROM payloads WHERE taskId = 'a' AND body = '"x"'`), 'payload', 2],
  ])('%s', async (_, change, kind, seq) => {
    const at = await history()
    const store = await opened(at)
    const { seq: last } = (await store.task('a'))!
    await store.close()
    await withoutTriggers(at, change)
    const findings = await verify(at)
    const expected = kind === 'cut' && seq === 0 ? last : seq === -1 ? last + 1 : seq
    expect(findings.map((finding) => [finding.taskId, finding.kind, finding.seq])).toEqual([['a', kind, expected]])
    expect(findings[0]!.problem).not.toBe('')
  })

  test('a whole task of another store', async () => {
    const at = await history()
    await withoutTriggers(at, async (sql) => {
      const { events } = seal(
        { seq: 0, hash: '0'.repeat(64) },
        [{ taskId: 'c', seq: 1, at: 1, type: 'task.cancelled', costMicros: 0, data: { by: 'x', reason: 'y' } }],
        () => undefined,
        () => '00',
      )
      await insert(sql, events[0]!, events[0]!.hash)
    })
    expect(await verify(at)).toMatchObject([{ taskId: 'c', kind: 'inserted', seq: 1 }])
  })
})
