// A loss of power tears the write-ahead log of a SQLite store anywhere: what was acknowledged before the tear is there when
// it is opened again, and nothing of what came after it is there in part. The log is cut, or has zeros, noise, a flipped bit
// or frames of an earlier round behind the tear; each copy is opened as any store is.

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { systemRuntime } from '../../src/runtime.ts'
import { isFault } from '../../src/core/fault.ts'
import { openStore } from '../../src/store/open.ts'
import type { Store } from '../../src/store/store.ts'
import { whole as isWhole } from '../campaign.ts'
import { folder } from '../folder.ts'
import { drawFrom, type Draw } from '../team.ts'
import { playHistory } from './history.ts'

const headerBytes = 32
const frameHeaderBytes = 24

/** How long a write-ahead log is: up to the end of the last frame of this round that ends a transaction. */
function lengthOf(wal: Buffer): number {
  if (wal.length < headerBytes) return 0
  const frameBytes = frameHeaderBytes + wal.readUInt32BE(8)
  const round = wal.readBigUInt64BE(16)
  let length = 0
  for (let at = headerBytes; at + frameBytes <= wal.length && wal.readBigUInt64BE(at + 8) === round; at += frameBytes)
    if (wal.readUInt32BE(at + 4) > 0) length = at + frameBytes
  return length
}

/** Where the logs of all tasks ended. */
type Heads = Readonly<Record<string, { readonly seq: number; readonly hash: string }>>

/** A store as a loss of power may leave it: its file, its write-ahead log, and what was acknowledged when that was so long. */
interface Moment {
  readonly db: Buffer
  readonly wal: Buffer
  readonly acknowledged: readonly { readonly length: number; readonly heads: Heads }[]
}

/** Plays tasks in a store at `path`, at once and one after the other, and notes what is acknowledged. */
class Play {
  readonly store: Store
  readonly #path: string
  #heads: Heads = {}
  #acknowledged: { length: number; heads: Heads }[] = []
  #tasks = 0

  constructor(store: Store, path: string) {
    this.#path = path
    this.#note()
    this.store = Object.assign(Object.create(store) as Store, {
      commit: async (given: Parameters<Store['commit']>[0]) => {
        const committed = await store.commit(given)
        if (!committed.ok) return committed
        this.#heads = { ...this.#heads, [given.task.id]: committed.head }
        this.#note()
        return committed
      },
    })
  }

  #note(): void {
    this.#acknowledged.push({ length: lengthOf(readFileSync(`${this.#path}-wal`)), heads: this.#heads })
  }

  /** Plays so many tasks at once: what they ask for in the same turn shares a transaction. */
  async some(draw: Draw, count: number): Promise<void> {
    const play = (): Promise<unknown> => {
      const choices = Array.from({ length: 8 + draw(30) }, () => draw(1_000))
      const long = 'A text that takes more than a page. '.repeat(120)
      return playHistory(this.store, `t${(this.#tasks += 1)}`, { n: draw(9), long }, choices, [draw(99), long, ['x']])
    }
    // Where another was first at a gate, a task goes no further.
    const refused = (thrown: Error): void => expect(thrown.message).toBe('gates')
    await Promise.all(Array.from({ length: count }, () => play().catch(refused)))
  }

  /** As it is now. Another process copies it, because SQLite's locks end with any handle that this one closes. */
  moment(): Moment {
    const at = join(folder(), 'copy.db')
    execFileSync('cp', [this.#path, at])
    execFileSync('cp', [`${this.#path}-wal`, `${at}-wal`])
    const moment = { db: readFileSync(at), wal: readFileSync(`${at}-wal`), acknowledged: this.#acknowledged }
    this.#acknowledged = []
    this.#note()
    return moment
  }
}

/** A store in three rounds of its write-ahead log: its first, one after it was emptied, and one that begins over old frames. */
async function moments(draw: Draw): Promise<readonly Moment[]> {
  const path = join(folder(), 'store.db')
  const store = await openStore(`sqlite:${path}`, { runtime: systemRuntime })
  const play = new Play(store, path)
  const round = async (): Promise<void> => {
    for (const count of [1, 1, 4, 1, 2]) await play.some(draw, count)
  }
  await round()
  const first = play.moment()
  expect(await store.wipe()).toBe(true)
  play.moment()
  await round()
  const second = play.moment()
  const other = new DatabaseSync(path)
  other.exec('PRAGMA wal_checkpoint(RESTART)')
  other.close()
  play.moment()
  await play.some(draw, 4)
  const third = play.moment()
  await store.close()
  return [first, second, third]
}

/** What stands behind a tear. The bytes before it are as they were written. */
const tears: readonly [string, (wal: Buffer, at: number, draw: Draw) => Buffer][] = [
  ['cut', (wal, at) => wal.subarray(0, at)],
  ['zeros', (wal, at, draw) => Buffer.concat([wal.subarray(0, at), Buffer.alloc(draw(10_000))])],
  [
    'noise',
    (wal, at, draw) =>
      Buffer.concat([wal.subarray(0, at), Buffer.from(Array.from({ length: draw(10_000) }, () => draw(256)))]),
  ],
  [
    'a flipped bit',
    (wal, at, draw) => {
      const torn = Buffer.from(wal)
      if (at < torn.length) torn[at]! ^= 1 << draw(8)
      return torn
    },
  ],
  ['frames again', (wal, at) => Buffer.concat([wal.subarray(0, at), wal.subarray(headerBytes)])],
  ['a hole', (wal, at, draw) => Buffer.from(wal).fill(0, at, Math.min(wal.length, at + 1 + draw(5_000)))],
]

/** A place in a write-ahead log: anywhere, at a frame's edge, in its header, or where a commit ends. */
function placeIn({ wal, acknowledged }: Moment, draw: Draw): number {
  const frameBytes = frameHeaderBytes + wal.readUInt32BE(8)
  const frames = Math.floor((wal.length - headerBytes) / frameBytes)
  const edge = headerBytes + draw(frames + 1) * frameBytes
  const near = [0, -1, 1, draw(frameHeaderBytes), -draw(frameHeaderBytes)][draw(5)]!
  const places = [
    () => draw(wal.length + 1),
    () => edge + near,
    () => acknowledged[draw(acknowledged.length)]!.length + near,
    () => draw(headerBytes + frameHeaderBytes),
  ]
  return Math.max(0, Math.min(wal.length, places[[0, 0, 1, 1, 2, 2, 3][draw(7)]!]!()))
}

/** How many bytes are as they were written: what stands behind a tear may happen to be what stood there. */
function whole(wal: Buffer, torn: Buffer): number {
  const bytes = Math.min(wal.length, torn.length)
  for (let at = 0; at < bytes; at += 1) if (wal[at] !== torn[at]) return at
  return bytes
}

async function headsOf(store: Store): Promise<Heads> {
  const heads: Record<string, { seq: number; hash: string }> = {}
  for (const { taskId, seq } of await store.known()) {
    const events = await store.readSealed(taskId)
    const { hash } = events.at(-1)!
    expect(events.length, `the row of ${taskId} and its log`).toBe(seq)
    heads[taskId] = { seq: events.length, hash }
  }
  return heads
}

/** Opens a store as a loss of power has left it; undefined where it refuses, as it may, with a fault of its own. */
async function openAfter(db: Buffer, wal: Buffer, path: string, where: string): Promise<Store | undefined> {
  writeFileSync(path, db)
  writeFileSync(`${path}-wal`, wal)
  try {
    return await openStore(`sqlite:${path}`, { runtime: systemRuntime })
  } catch (thrown) {
    expect(isFault(thrown) && thrown.code, where).toMatch(/^STORE_/)
    return undefined
  }
}

/** Proves a store that was opened: it holds just this, whole, it goes on, and SQLite finds nothing wrong with its file. */
async function prove(store: Store, heads: Heads, path: string, where: string): Promise<void> {
  expect(await headsOf(store), where).toEqual(heads)
  expect((await store.verify()).findings, where).toEqual([])
  await playHistory(store, 'next', {}, [], [])
  expect((await store.verify('next')).findings, where).toEqual([])
  await store.close()
  const db = new DatabaseSync(path, { readOnly: true })
  expect(db.prepare('PRAGMA integrity_check').all(), where).toEqual([{ integrity_check: 'ok' }])
  db.close()
}

const seed = Number(process.env['SIGNALBOX_SEED'] ?? Date.now() % 1_000_000)
const tearsMax = isWhole ? 500 : 150

test(
  `${tearsMax} torn write-ahead logs: a store opens to what was acknowledged before the tear, whole, and goes on; or refuses with a typed fault`,
  { timeout: 300_000 },
  async () => {
    const draw = drawFrom(seed)
    const stores = await moments(draw)
    const path = join(folder(), 'torn.db')
    const told = { opened: 0, refused: 0, empty: 0, behind: 0, kinds: {} as Record<string, number> }
    for (let number = 0; number < tearsMax; number += 1) {
      const moment = stores[number % stores.length]!
      const [what, tear] = tears[draw(tears.length)]!
      const at = placeIn(moment, draw)
      const where = `seed ${seed}, tear ${number}: ${what} at ${at} of ${moment.wal.length}`
      const torn = tear(moment.wal, at, draw)
      const kept = whole(moment.wal, torn)
      const last = moment.acknowledged.findLast(({ length }) => length <= kept) ?? moment.acknowledged[0]!
      const store = await openAfter(moment.db, torn, path, where)
      told.kinds[what] = (told.kinds[what] ?? 0) + 1
      told[store ? 'opened' : 'refused'] += 1
      if (!store) continue
      await prove(store, last.heads, path, where)
      if (Object.keys(last.heads).length === 0) told.empty += 1
      if (last !== moment.acknowledged.at(-1)) told.behind += 1
    }
    const commits = stores.map(({ acknowledged, wal }) => {
      return `${acknowledged.length} commits in ${new Set(acknowledged.map(({ length }) => length)).size} transactions, ${lengthOf(wal)} bytes`
    })
    console.log(`${commits.join('; ')}; ${JSON.stringify(told)}; seed ${seed}`)
    expect(told.behind).toBeGreaterThan(tearsMax / 2)
    // The file itself is whole, and so there is nothing to refuse.
    expect(told.refused).toBe(0)
  },
)

test('a checkpoint that is torn, with pages of the file half written, loses nothing: the write-ahead log has them all', async () => {
  const draw = drawFrom(seed)
  const stores = await moments(draw)
  const path = join(folder(), 'torn.db')
  const sectorBytes = 512
  for (let number = 0; number < 60; number += 1) {
    const { db, wal, acknowledged } = stores[number % stores.length]!
    const pageBytes = wal.readUInt32BE(8)
    const torn = Buffer.from(db)
    // A checkpoint writes pages as they are at the log's end; a disk takes them sector by sector, in any order.
    for (let at = headerBytes; at < lengthOf(wal); at += frameHeaderBytes + pageBytes) {
      const offset = (wal.readUInt32BE(at) - 1) * pageBytes
      for (let sector = 0; sector < pageBytes && offset + pageBytes <= torn.length; sector += sectorBytes) {
        const from = at + frameHeaderBytes + sector
        if (draw(2) === 0) wal.copy(torn, offset + sector, from, from + sectorBytes)
      }
    }
    const where = `seed ${seed}, checkpoint ${number}`
    const store = await openAfter(torn, wal, path, where)
    expect(store, where).toBeDefined()
    await prove(store!, acknowledged.at(-1)!.heads, path, where)
  }
})

test('a file with bytes that nobody wrote: whatever is asked of it is answered, or refused with a typed fault', async () => {
  const draw = drawFrom(seed)
  const path = join(folder(), 'damaged.db')
  const built = await openStore(`sqlite:${path}`, { runtime: systemRuntime })
  for (let number = 0; number < 8; number += 1) {
    const choices = Array.from({ length: 30 }, () => draw(1_000))
    const play = playHistory(built, `t${number}`, { long: 'abc '.repeat(2_000) }, choices, [1, 'x'])
    await play.catch((thrown: Error) => expect(thrown.message).toBe('gates'))
  }
  await built.close()
  const db = readFileSync(path)
  const told: Record<string, number> = {}
  for (let number = 0; number < 150; number += 1) {
    const torn = Buffer.from(db)
    const [at, kind] = [draw(db.length), draw(3)]
    for (let place = at; place < Math.min(db.length, at + 1 + draw(600)); place += 1)
      torn[place] = kind === 0 ? 0 : kind === 1 ? draw(256) : torn[place]! ^ (1 << draw(8))
    const where = `seed ${seed}, file ${number}`
    const ask = async <T>(asked: () => Promise<T>): Promise<T | undefined> => {
      try {
        return await asked()
      } catch (thrown) {
        if (!isFault(thrown)) throw new Error(where, { cause: thrown })
        told[thrown.code] = (told[thrown.code] ?? 0) + 1
        return undefined
      }
    }
    const store = await openAfter(torn, Buffer.alloc(0), path, where)
    if (!store) continue
    for (const { taskId } of (await ask(() => store.known())) ?? []) {
      await ask(() => store.read(taskId))
      await ask(() => store.context(taskId))
      await ask(() => store.takeOut(taskId))
    }
    for (const asked of ['tasks', 'inbox', 'gates', 'schedules', 'workers', 'verify'] as const) {
      await ask(() => store[asked]() as Promise<unknown>)
    }
    await store.close()
  }
  expect(told['STORE_CORRUPT']).toBeGreaterThan(0)
})
