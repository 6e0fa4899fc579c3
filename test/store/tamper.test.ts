// Promise 3: the log is append-only, and what was done to it all the same is named. The database refuses first; with
// its triggers dropped by hand, `verify` names the first event that is not as it was written.

import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openSqlite } from '../../src/store/sqlite/engine.ts'
import type { Finding } from '../../src/store/store.ts'
import { hashOf, seal } from '../../src/store/log.ts'
import { folder } from '../folder.ts'
import { playHistory } from './history.ts'

/** A store with two tasks, `a` of at least ten events. */
async function history(): Promise<string> {
  const path = join(folder(), 'store.db')
  const store = await openSqlite(path)
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
  return path
}

function edit(path: string, change: (db: DatabaseSync) => void): void {
  const db = new DatabaseSync(path)
  for (const trigger of db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'trigger'`).all())
    db.exec(`DROP TRIGGER ${trigger['name'] as string}`)
  change(db)
  db.close()
}

async function verify(path: string): Promise<readonly Finding[]> {
  const store = await openSqlite(path)
  try {
    return (await store.verify()).findings
  } finally {
    await store.close()
  }
}

describe('the database itself refuses', () => {
  test.each([
    ['an update of an event', `UPDATE events SET type = 'x' WHERE taskId = 'a' AND seq = 3`, 'no update'],
    ['an update that changes nothing', `UPDATE events SET type = type`, 'no update'],
    ['a delete of an event', `DELETE FROM events WHERE taskId = 'a' AND seq = 3`, 'no delete'],
    ['a delete of all events', `DELETE FROM events`, 'no delete'],
    [
      'an insert over an event',
      `INSERT OR REPLACE INTO events SELECT taskId, seq, atMs, 'x', data, costMicros, prevHash, hash FROM events WHERE taskId = 'a' AND seq = 3`,
      'next sequence number',
    ],
    [
      'an insert that leaves a gap',
      `INSERT INTO events SELECT taskId, 1000, atMs, type, data, costMicros, prevHash, hash FROM events WHERE taskId = 'a' AND seq = 3`,
      'next sequence number',
    ],
    ['an update of a payload', `UPDATE payloads SET body = '"x"'`, 'never changed'],
    ['a delete of a payload', `DELETE FROM payloads`, 'never removed'],
  ])('%s', async (_, sql, says) => {
    const path = await history()
    const db = new DatabaseSync(path)
    expect(() => db.exec(sql)).toThrow(says)
    db.close()
    expect(await verify(path)).toEqual([])
  })
})

describe('with the triggers gone, verify names', () => {
  const row = (db: DatabaseSync, seq: number) =>
    ({
      ...db
        .prepare(
          `SELECT taskId, seq, atMs AS at, type, data, costMicros, prevHash, hash FROM events WHERE taskId = 'a' AND seq = ?`,
        )
        .get(seq),
    }) as unknown as Parameters<typeof hashOf>[0] & { hash: string }
  const insert = (db: DatabaseSync, event: Parameters<typeof hashOf>[0], hash: string): void => {
    db.prepare(
      'INSERT INTO events (taskId, seq, atMs, type, data, costMicros, prevHash, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    ).run(event.taskId, event.seq, event.at, event.type, event.data, event.costMicros, event.prevHash, hash)
  }
  const moveUp = (db: DatabaseSync, from: number): void =>
    db.exec(
      `UPDATE events SET seq = -seq - 1 WHERE taskId = 'a' AND seq >= ${from}; UPDATE events SET seq = -seq WHERE seq < 0`,
    )

  test.each<[string, (db: DatabaseSync) => void, Finding['kind'], number]>([
    [
      'an edited type',
      (db) => db.exec(`UPDATE events SET type = 'tool.answered' WHERE taskId = 'a' AND seq = 4`),
      'edited',
      4,
    ],
    [
      'an edited time',
      (db) => db.exec(`UPDATE events SET atMs = atMs + 1 WHERE taskId = 'a' AND seq = 4`),
      'edited',
      4,
    ],
    ['an edited cost', (db) => db.exec(`UPDATE events SET costMicros = 7 WHERE taskId = 'a' AND seq = 4`), 'edited', 4],
    [
      'edited data',
      (db) =>
        db.exec(
          `UPDATE events SET data = replace(data, '"source":"initial"', '"source":"input"') WHERE taskId = 'a' AND seq = 3`,
        ),
      'edited',
      3,
    ],
    [
      'data that is no longer JSON',
      (db) => db.exec(`UPDATE events SET data = '{' WHERE taskId = 'a' AND seq = 3`),
      'edited',
      3,
    ],
    [
      'an edited hash',
      (db) => db.exec(`UPDATE events SET hash = '${'f'.repeat(64)}' WHERE taskId = 'a' AND seq = 4`),
      'edited',
      4,
    ],
    [
      'an event that was edited and hashed again',
      (db) => {
        const event = { ...row(db, 4), at: 1 }
        db.exec(`UPDATE events SET atMs = 1, hash = '${hashOf(event)}' WHERE taskId = 'a' AND seq = 4`)
      },
      'inserted',
      5,
    ],
    ['a removed first event', (db) => db.exec(`DELETE FROM events WHERE taskId = 'a' AND seq = 1`), 'removed', 1],
    ['a removed event', (db) => db.exec(`DELETE FROM events WHERE taskId = 'a' AND seq = 5`), 'removed', 5],
    [
      'a removed event whose gap was closed',
      (db) =>
        db.exec(
          `DELETE FROM events WHERE taskId = 'a' AND seq = 5; UPDATE events SET seq = -seq + 1 WHERE taskId = 'a' AND seq > 5; UPDATE events SET seq = -seq WHERE seq < 0`,
        ),
      'inserted',
      5,
    ],
    [
      'an inserted event',
      (db) => {
        moveUp(db, 5)
        insert(db, { ...row(db, 4), seq: 5 }, row(db, 4).hash)
      },
      'moved',
      5,
    ],
    [
      'an inserted event that carries the right hash',
      (db) => {
        moveUp(db, 5)
        const forged = { ...row(db, 4), seq: 5, prevHash: row(db, 4).hash }
        insert(db, forged, hashOf(forged))
      },
      'moved',
      6,
    ],
    [
      'an event put in behind the end',
      (db) => {
        const last = db.prepare(`SELECT max(seq) AS seq FROM events WHERE taskId = 'a'`).get()!['seq'] as number
        const forged = { ...row(db, last), seq: last + 1, prevHash: row(db, last).hash }
        insert(db, forged, hashOf(forged))
      },
      'inserted',
      -1,
    ],
    [
      'two events that changed places',
      (db) =>
        db.exec(
          `UPDATE events SET seq = -9 WHERE taskId = 'a' AND seq = 5; UPDATE events SET seq = 5 WHERE taskId = 'a' AND seq = 6; UPDATE events SET seq = 6 WHERE seq = -9`,
        ),
      'moved',
      5,
    ],
    [
      'a tail cut by one event',
      (db) =>
        db.exec(`DELETE FROM events WHERE taskId = 'a' AND seq = (SELECT max(seq) FROM events WHERE taskId = 'a')`),
      'cut',
      0,
    ],
    ['a task whose events are all gone', (db) => db.exec(`DELETE FROM events WHERE taskId = 'a'`), 'cut', 1],
    [
      'an edited payload',
      (db) => db.exec(`UPDATE payloads SET body = '"y"' WHERE taskId = 'a' AND body = '"x"'`),
      'payload',
      2,
    ],
    ['a removed payload', (db) => db.exec(`DELETE FROM payloads WHERE taskId = 'a' AND body = '"x"'`), 'payload', 2],
  ])('%s', async (_, change, kind, seq) => {
    const path = await history()
    const store = await openSqlite(path)
    const { seq: last } = (await store.task('a'))!
    await store.close()
    edit(path, change)
    const findings = await verify(path)
    const expected = kind === 'cut' && seq === 0 ? last : seq === -1 ? last + 1 : seq
    expect(findings.map((finding) => [finding.taskId, finding.kind, finding.seq])).toEqual([['a', kind, expected]])
    expect(findings[0]!.problem).not.toBe('')
  })

  test('a whole task of another store', async () => {
    const path = await history()
    edit(path, (db) => {
      const { events } = seal(
        { seq: 0, hash: '0'.repeat(64) },
        [{ taskId: 'c', seq: 1, at: 1, type: 'task.cancelled', costMicros: 0, data: { by: 'x', reason: 'y' } }],
        () => undefined,
        () => '00',
      )
      insert(db, events[0]!, events[0]!.hash)
    })
    expect(await verify(path)).toMatchObject([{ taskId: 'c', kind: 'inserted', seq: 1 }])
  })
})
