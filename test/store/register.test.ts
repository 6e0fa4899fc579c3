// The register: what is erased is gone and the chain holds; what an attacker with full access to the database does is
// found by anchors kept elsewhere, and is not found without them. Each attack is done on the real database, by who owns it.

import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import type { Audit } from '../../src/requests/audit.ts'
import { createOrchestrator } from '../../src/orchestrator.ts'
import { start } from '../../src/core/start.ts'
import { draft, emit } from '../../src/core/draft.ts'
import { fold } from '../../src/core/fold.ts'
import { emptyTask } from '../../src/core/task.ts'
import { Fault } from '../../src/core/fault.ts'
import { systemRuntime } from '../../src/runtime.ts'
import { createKeys, keysOf, signerOf } from '../../src/store/key.ts'
import { canonical, genesis, hashOf } from '../../src/store/log.ts'
import { anchorLine, nextCheckpoint, readAnchors, type Checkpoint, type TaskHead } from '../../src/store/register.ts'
import { openPostgres } from '../../src/store/postgres/engine.ts'
import { openSqlite } from '../../src/store/sqlite/engine.ts'
import type { SealedEvent, Store } from '../../src/store/store.ts'
import { changedStore } from '../changed-store.ts'
import { address, engine, opened, test } from '../engines.ts'
import { folder } from '../folder.ts'
import { asOwner, withoutTriggers, type Sql } from '../owner.ts'
import { machine } from './history.ts'

const keys = createKeys()
const others = createKeys()

/** A store with its anchors beside it, and a clock that moves by a second whenever it is read. */
interface Place {
  readonly address: string
  readonly anchors: string
  nowMs: number
}

async function place(): Promise<Place> {
  return { address: await address(), anchors: join(folder(), 'anchors.jsonl'), nowMs: 1_000_000 }
}

/** The file of a store that is in one. */
const pathOf = (at: Place): string => at.address.slice('sqlite:'.length)

async function within<T>(at: Place, act: (box: Awaited<ReturnType<typeof open>>) => Promise<T>): Promise<T> {
  const box = await open(at)
  try {
    return await act(box)
  } finally {
    await box.stop()
  }
}

function open(at: Place) {
  const runtime = { ...systemRuntime, now: () => (at.nowMs += 1_000) }
  return createOrchestrator({ store: at.address, work: false, runtime })
}

async function begin(store: Store, taskId: string, secret: string, nowMs = 1_000_000): Promise<void> {
  const input = { goal: secret }
  const { events, task } = start(machine, { taskId, definition: 'd', input, by: 'test', seed: 1 }, nowMs)
  expect((await store.commit({ point: 'start', head: genesis, events, task })).ok).toBe(true)
}

async function say(store: Store, taskId: string, facts: (work: ReturnType<typeof draft>) => void, nowMs: number) {
  const events = await store.read(taskId)
  const { seq, hash } = events.at(-1)!
  const work = draft(fold(emptyTask(taskId), events), nowMs)
  facts(work)
  expect((await store.commit({ point: 'settle', head: { seq, hash }, events: work.events, task: work.task })).ok).toBe(
    true,
  )
}

const signal = (data: string) => (work: ReturnType<typeof draft>) =>
  emit(work, 'signal.received', { name: 'go', data, by: 'test' })
const end = (work: ReturnType<typeof draft>): void =>
  emit(work, 'task.ended', { outcome: 'cancelled', status: 'cancelled' })

const verify = (at: Place, publicKey = keys.publicKey): Promise<Audit> =>
  within(at, (box) => box.verify(undefined, { anchors: at.anchors, publicKeys: [publicKey] }))
const verifyAlone = (at: Place): Promise<Audit> => within(at, (box) => box.verify())
const checkpoint = (at: Place) => within(at, (box) => box.checkpoint({ key: keys.privateKey, anchors: at.anchors }))
const signals = (at: Place, taskId: string, count: number): Promise<void> =>
  within(at, async (box) => {
    for (let number = 0; number < count; number += 1)
      await box.signal(taskId, { name: 'go', data: `${taskId} ${number} ${at.nowMs}`, by: 'test' })
  })

/** Two tasks; a checkpoint; `a` goes on by three events and `b` by one; a checkpoint. */
async function anchored(): Promise<Place> {
  const at = await place()
  await within(at, async ({ store }) => {
    await begin(store, 'a', 'one')
    await begin(store, 'b', 'two')
  })
  await checkpoint(at)
  await backUp(at)
  await signals(at, 'a', 3)
  await signals(at, 'b', 1)
  await checkpoint(at)
  return at
}

/** Copies of all tables, beside them; of a file, of all of it. */
async function backUp(at: Place): Promise<void> {
  if (engine() === 'SQLite') return copyFileSync(pathOf(at), `${pathOf(at)}.backup`)
  await asOwner(at.address, async (sql) => {
    for (const table of await tablesOf(sql)) await sql(`CREATE TABLE "backup_${table}" AS TABLE "${table}"`)
  })
}

async function restore(at: Place): Promise<void> {
  if (engine() === 'SQLite') {
    for (const end of ['-wal', '-shm']) rmSync(pathOf(at) + end, { force: true })
    return copyFileSync(`${pathOf(at)}.backup`, pathOf(at))
  }
  await attack(at, async (sql) => {
    for (const table of await tablesOf(sql))
      await sql(`DELETE FROM "${table}"; INSERT INTO "${table}" SELECT * FROM "backup_${table}"`)
  })
}

async function tablesOf(sql: Sql): Promise<string[]> {
  const tables = await sql('SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()')
  return tables.map(({ name }) => String(name)).filter((name) => !name.startsWith('backup_'))
}

const attack = (at: Place, change: (sql: Sql) => Promise<unknown>): Promise<unknown> =>
  withoutTriggers(at.address, change)

/** Hashes a task's chain anew, from an event on, and makes its row fit: what somebody who knows the form can do. */
async function rehash(sql: Sql, taskId: string): Promise<void> {
  const rows = (await sql(
    `SELECT taskId, seq, atMs AS at, type, data, costMicros, prevHash, hash FROM events WHERE taskId = '${taskId}' ORDER BY seq`,
  )) as unknown as SealedEvent[]
  let { hash } = genesis
  for (const row of rows) {
    const prevHash = hash
    hash = hashOf({ ...row, prevHash })
    await sql(
      `UPDATE events SET prevHash = '${prevHash}', hash = '${hash}' WHERE taskId = '${taskId}' AND seq = ${row.seq}`,
    )
  }
  const { seq, at } = rows.at(-1)!
  await sql(`UPDATE tasks SET seq = ${seq}, hash = '${hash}', updatedAtMs = ${at} WHERE taskId = '${taskId}'`)
}

/** Makes every checkpoint fit the log as it is now; signed with a key, if there is one. */
async function recheckpoint(sql: Sql, key = others.privateKey): Promise<void> {
  await sql(
    `UPDATE checkpointHeads SET hash = coalesce((SELECT hash FROM events WHERE events.taskId = checkpointHeads.taskId AND events.seq = checkpointHeads.seq), hash)`,
  )
  let last: Checkpoint | undefined
  for (const row of await sql('SELECT number, atMs AS at, tasks, events FROM checkpoints ORDER BY number')) {
    const { number, at, tasks, events } = row as unknown as Checkpoint
    const heads = await sql(`SELECT taskId, seq, hash FROM checkpointHeads WHERE number = ${number}`)
    last = nextCheckpoint(last, { at, tasks, events, heads: heads as unknown as TaskHead[] }, signerOf(key))
    const { prevRoot, root, signature } = last
    await sql(
      `UPDATE checkpoints SET prevRoot = '${prevRoot}', root = '${root}', signature = '${signature}' WHERE number = ${number}`,
    )
  }
}

const edit = (sql: Sql): Promise<unknown> =>
  sql(
    `UPDATE events SET data = replace(data, '"by":"test"', '"by":"boss"') WHERE taskId = 'a' AND type = 'signal.received'`,
  )
const cut = async (sql: Sql): Promise<void> => {
  await sql(`DELETE FROM events WHERE taskId = 'a' AND seq > 5`)
  await rehash(sql, 'a')
}
const removed = async (sql: Sql): Promise<void> => {
  for (const table of ['events', 'payloads', 'tasks', 'context', 'jobs'])
    await sql(`DELETE FROM ${table} WHERE taskId = 'b'`)
}

describe('anchors', () => {
  test('that fit say so, and say what is newer than the last of them', async () => {
    const at = await anchored()
    const whole = await verify(at)
    expect(whole).toMatchObject({ tasks: 2, findings: [], anchors: 2, notProved: [] })
    await signals(at, 'a', 2)
    const { findings, notProved } = await verify(at)
    expect(findings).toEqual([])
    expect(notProved).toEqual([expect.stringContaining('that 2 events')])
    const { notProved: unsigned } = await within(at, (box) => box.verify(undefined, { anchors: at.anchors }))
    expect(unsigned).toEqual([expect.stringContaining('signed'), expect.stringContaining('2 events')])
  })

  // Each of these leaves a chain, a head and rows that fit, so that without anchors nothing is found.
  test.each<[string, (at: Place) => Promise<unknown>, object]>([
    [
      'a tail that was cut together with its head',
      (at) => attack(at, cut),
      { kind: 'cut', taskId: 'a', seq: 6, anchor: 2 },
    ],
    [
      'a task that was removed with all its rows',
      (at) => attack(at, removed),
      { kind: 'removed', taskId: 'b', seq: 1, anchor: 1 },
    ],
    [
      'a task that was removed, and from what was signed, too',
      (at) =>
        attack(at, async (sql) => {
          await removed(sql)
          await sql(`DELETE FROM checkpointHeads WHERE taskId = 'b'`)
          await recheckpoint(sql)
        }),
      { kind: 'removed', anchor: 1 },
    ],
    [
      'a chain that was computed anew after an edit',
      (at) =>
        attack(at, async (sql) => {
          await edit(sql)
          await rehash(sql, 'a')
        }),
      { kind: 'rewritten', taskId: 'a', seq: 5, anchor: 2 },
    ],
    [
      'a chain that was computed anew with every checkpoint, by one without the key',
      (at) =>
        attack(at, async (sql) => {
          await edit(sql)
          await sql(`DELETE FROM checkpointHeads WHERE taskId = 'b' AND number = 2`)
          await rehash(sql, 'a')
          await recheckpoint(sql)
        }),
      { kind: 'rewritten', taskId: 'a', seq: 5, anchor: 2 },
    ],
    [
      'checkpoints that were thrown away',
      (at) => attack(at, (sql) => sql('DELETE FROM checkpoints; DELETE FROM checkpointHeads')),
      { kind: 'forked', anchor: 1 },
    ],
    ['an older backup that was put back', restore, { kind: 'restored', taskId: null, anchor: 2 }],
    [
      'an older backup that was put back and has gone on',
      async (at) => {
        await restore(at)
        await signals(at, 'b', 1)
      },
      { kind: 'forked', taskId: 'b', seq: 5, anchor: 2 },
    ],
    [
      'an older backup that has gone on and was signed with the same key, to another file',
      async (at) => {
        await restore(at)
        await signals(at, 'b', 1)
        await checkpoint({ ...at, anchors: `${at.anchors}.other` })
      },
      { kind: 'forked', taskId: 'b', seq: 5, anchor: 2 },
    ],
  ])('find %s, which nothing else does', async (_, act, finding) => {
    const at = await anchored()
    await act(at)
    expect((await verifyAlone(at)).findings).toEqual([])
    const { findings } = await verify(at)
    expect(findings).toMatchObject([finding])
    expect(findings[0]!.problem).toContain(`anchor ${findings[0]!.anchor}`)
  })

  test('also find it when only the last of them was kept', async () => {
    const at = await anchored()
    writeFileSync(at.anchors, readFileSync(at.anchors, 'utf8').split('\n')[1]!)
    expect((await verify(at)).findings).toEqual([])
    await attack(at, removed)
    expect((await verify(at)).findings).toMatchObject([{ kind: 'removed', taskId: 'b', anchor: 2 }])
  })

  test('of many tasks name each one that was touched, and no other', async () => {
    const at = await place()
    await within(at, async ({ store }) => {
      for (let number = 0; number < 30; number += 1) await begin(store, `t${number}`, 'x')
    })
    await checkpoint(at)
    await attack(at, async (sql) => {
      await sql(`UPDATE events SET atMs = atMs - 5 WHERE taskId IN ('t3', 't17') AND seq = 4`)
      for (const id of ['t3', 't17']) await rehash(sql, id)
    })
    const { findings } = await verify(at)
    expect(findings.map(({ taskId, kind }) => `${taskId} ${kind}`).sort()).toEqual(['t17 rewritten', 't3 rewritten'])
  })

  test('an anchor that was changed, or signed by somebody else, does not count and is named', async () => {
    const at = await anchored()
    const [first, second] = readFileSync(at.anchors, 'utf8').trim().split('\n') as [string, string]
    const findings = async (text: string) => {
      writeFileSync(at.anchors, text)
      return (await verify(at)).findings
    }
    const read = readAnchors(second)
    const forged = (read.ok ? read.anchors : [])[0]!
    const by = signerOf(others.privateKey)
    for (const [line, problem] of [
      [second.replace(/"root":"../, '"root":"zz'), 'not what was signed'],
      [second.replace('"events":12', '"events":13'), 'not as it was written'],
      [anchorLine({ ...forged, keyId: by.keyId, signature: by.sign('x') }), 'another key'],
      [anchorLine({ ...forged, signature: by.sign(`signalbox checkpoint ${forged.root}`) }), 'not what was signed'],
    ] as const) {
      expect(line).not.toBe(second)
      expect(await findings(`${first}\n${line}\n`)).toMatchObject([
        { kind: 'anchor', anchor: 2, problem: expect.stringContaining(problem) as string },
      ])
    }
    expect(await findings(`${first}\n${second}\n`)).toEqual([])
  })

  test('a file that is not there, empty, or holds something else is a fault, and a line that broke off is not', async () => {
    const at = await anchored()
    const text = readFileSync(at.anchors, 'utf8')
    const [first, second] = text.split('\n') as [string, string]
    for (const wrong of ['', 'hello\nworld\n', `${first.slice(0, 40)}\n${second}\n`, `{"number":1}\n${second}\n`]) {
      writeFileSync(at.anchors, wrong)
      await expect(verify(at)).rejects.toMatchObject({ code: 'ANCHORS_INVALID' })
    }
    writeFileSync(at.anchors, `${first}\n${second.slice(0, 80)}`)
    expect((await verify(at)).findings).toEqual([])
    // The next run ends the line and writes it whole.
    expect(await checkpoint(at)).toMatchObject({ made: false, written: 1 })
    expect(readFileSync(at.anchors, 'utf8')).toBe(`${first}\n${second.slice(0, 80)}\n${second}\n`)
    expect(await verify(at)).toMatchObject({ findings: [], anchors: 2 })
    rmSync(at.anchors)
    await expect(verify(at)).rejects.toMatchObject({ code: 'ANCHORS_INVALID' })
    // A new file gets all of them.
    expect(await checkpoint(at)).toMatchObject({ made: false, written: 2 })
    expect(readFileSync(at.anchors, 'utf8')).toBe(text)
  })
})

describe('a checkpoint', () => {
  test('whose line did not get out is written out by the next run', async () => {
    const at = await anchored()
    await signals(at, 'a', 1)
    await within(at, ({ store }) => store.checkpoint(signerOf(keys.privateKey), 9_000_000))
    expect((await verify(at)).notProved).toEqual([expect.stringContaining('1 events')])
    await signals(at, 'a', 1)
    expect(await checkpoint(at)).toMatchObject({ made: true, written: 2, checkpoint: { number: 4 } })
    expect(await verify(at)).toMatchObject({ findings: [], anchors: 4, notProved: [] })
  })

  test('of an older copy is refused beside the anchors of the newer one, and nothing is signed', async () => {
    const at = await anchored()
    await restore(at)
    await signals(at, 'a', 1)
    await expect(checkpoint(at)).rejects.toMatchObject({ code: 'ANCHORS_AHEAD' })
    await checkpoint({ ...at, anchors: `${at.anchors}.other` })
    await expect(checkpoint(at)).rejects.toMatchObject({ code: 'ANCHORS_AHEAD' })
    expect(readFileSync(at.anchors, 'utf8').trim().split('\n').length).toBe(2)
  })

  test('the database refuses to change or remove one', async () => {
    const at = await anchored()
    for (const sql of [
      `UPDATE checkpoints SET root = 'x'`,
      'DELETE FROM checkpoints',
      `UPDATE checkpointHeads SET hash = 'x'`,
      'DELETE FROM checkpointHeads',
    ])
      await expect(asOwner(at.address, (run) => run(sql))).rejects.toThrow(/never|append-only/)
  })

  test('a key that is not a private Ed25519 key is a fault by name', async () => {
    const at = await anchored()
    for (const key of ['', 'hello', keys.publicKey]) {
      const signed = within(at, (box) => box.checkpoint({ key, anchors: at.anchors }))
      await expect(signed).rejects.toMatchObject({ code: 'KEY_INVALID' })
    }
    for (const key of ['', keys.privateKey]) expect(() => keysOf([key])).toThrow('KEY_INVALID')
  })
})

describe('an erased payload', () => {
  const secret = 'Zdenka-Novakova-1979'

  /** A task that has ended, whose secret is in its input, its context, a signal, a question and what was shown with it. */
  async function told(at: Place, taskId = 't'): Promise<void> {
    await within(at, async ({ store }) => {
      await begin(store, taskId, secret)
      await begin(store, `${taskId}-beside`, 'else')
      await say(store, taskId, signal(`${secret} again`), 2)
      const asked = { item: `${taskId}.q`, kind: 'question', state: 'ask', options: ['yes'] } as const
      await say(
        store,
        taskId,
        (work) => emit(work, 'human.asked', { ...asked, question: `Is it ${secret}?`, show: { secret } }),
        3,
      )
    })
    await within(at, async ({ store }) => say(store, taskId, signal(secret), 4))
    await within(at, ({ store }) => say(store, taskId, end, 5))
  }

  /** Where a text is: in which files of a store, '' for the first; in a server, in which tables, '' for those of the log. */
  const holds = async (at: Place, text = secret): Promise<string[]> => {
    if (engine() === 'SQLite') {
      const path = pathOf(at)
      return ['', '-wal', '-shm'].filter((end) => existsSync(path + end) && readFileSync(path + end).includes(text))
    }
    const found = await asOwner(at.address, async (sql) => {
      const names: string[] = []
      for (const name of await tablesOf(sql))
        if (JSON.stringify(await sql(`TABLE "${name}"`)).includes(text)) names.push(name)
      return names
    })
    return [...new Set(found.map((name) => (['events', 'payloads'].includes(name) ? '' : name)))]
  }
  const erase = (at: Place, taskId: string, seq?: number) =>
    within(at, (box) => box.erase(taskId, { by: 'ana', reason: 'asked for', ...(seq === undefined ? {} : { seq }) }))

  test('is gone from every file of the store, is read as erased, and the chain and every row hold', async () => {
    const at = await place()
    await told(at)
    expect(await holds(at)).toEqual([''])
    await checkpoint(at)
    const { erased } = await erase(at, 't')
    expect(erased).toBeGreaterThan(5)
    expect(await holds(at)).toEqual([])
    expect(await holds(at, 'asked for')).toEqual([''])
    await within(at, async (box) => {
      const { store } = box
      const events = await store.read('t')
      expect(events[0]!.data).toMatchObject({ input: { $erased: true }, by: 'test' })
      expect(events.filter(({ type }) => type === 'payload.erased').length).toBe(erased)
      expect((await store.context('t')).every(({ value }) => canonical(value) === '{"$erased":true}')).toBe(true)
      expect(await store.inbox({ taskId: 't' })).toMatchObject([{ question: '(erased)', show: { $erased: true } }])
      expect(await box.show('t')).toMatchObject({ erased, context: { goal: { $erased: true } } })
      expect((await store.context('t-beside'))[0]!.value).toBe('else')
      await store.rebuild()
      expect(await box.verify(undefined, { anchors: at.anchors })).toMatchObject({ erased, findings: [] })
    })
    expect(await erase(at, 't')).toEqual({ erased: 0, wiped: true })
  })

  test('is erased, and its bytes are said to be there, where the disk has no room for the files to be written anew', async () => {
    const at = await place()
    await told(at)
    const full = new Fault('STORE_FULL', 'The disk is full.', 'Make room.')
    const store = changedStore(await opened(at.address), { wipe: () => Promise.reject(full) })
    const box = await createOrchestrator({ store, agents: [], models: {}, work: false })
    const { erased, wiped } = await box.erase('t', { by: 'ana', reason: 'asked for' })
    expect([erased > 5, wiped]).toEqual([true, false])
    expect((await store.read('t'))[0]!.data).toMatchObject({ input: { $erased: true } })
    expect(await erase(at, 't')).toEqual({ erased: 0, wiped: true })
    expect(await holds(at)).toEqual([])
  })

  test('is also gone while others use the store', async () => {
    const at = await place()
    await told(at)
    const other = await opened(at.address)
    await other.read('t')
    expect(await erase(at, 't')).toMatchObject({ wiped: true })
    expect(await holds(at)).toEqual([])
    await begin(other, 'later', 'more')
    expect((await other.verify()).findings).toEqual([])
  })

  test('is gone wherever pages were split, spilled and filled again around it, large and small', async () => {
    const at = await place()
    const store = await opened(at.address)
    const canary = (task: number, number: number): string => `canary-${task}-${number}-`
    for (let task = 0; task < 6; task += 1) await begin(store, `t${task}`, canary(task, 0))
    for (let number = 1; number < 40; number += 1) {
      await Promise.all(
        Array.from({ length: 6 }, (_, task) =>
          say(store, `t${task}`, signal(canary(task, number).repeat(1 + ((number * 37 + task * 11) % 9) ** 3)), number),
        ),
      )
    }
    for (let task = 0; task < 6; task += 1) await say(store, `t${task}`, end, 50)
    await store.close()
    for (const task of [0, 3, 5]) await erase(at, `t${task}`)
    for (const task of [0, 1, 3, 5]) expect(await holds(at, `canary-${task}-`)).toEqual(task === 1 ? [''] : [])
    expect((await verifyAlone(at)).findings).toEqual([])
  })

  test('of one event takes its equals in the same task with it, and leaves the others', async () => {
    const at = await place()
    await told(at)
    const { erased } = await erase(at, 't', 1)
    // The input; the goal and a signal hold the same text, not the same value.
    expect(erased).toBe(1)
    const goal = await within(at, async ({ store }) =>
      (await store.read('t')).find(({ type }) => type === 'context.written')!,
    )
    // The goal, and the signal of a later process, which stored it once more.
    expect(await erase(at, 't', goal.seq)).toMatchObject({ erased: 2 })
    await within(at, async ({ store }) => {
      const data = (await store.read('t')).filter(({ type }) => type === 'signal.received').map((event) => event.data)
      expect(data).toMatchObject([{ data: `${secret} again` }, { data: { $erased: true } }])
    })
    await expect(erase(at, 't', 9_999)).rejects.toMatchObject({ code: 'PAYLOAD_UNKNOWN' })
  })

  test('what comes late and is the same again is stored again, and not taken for known', async () => {
    const at = await place()
    const store = await opened(at.address)
    await begin(store, 't', 'x')
    await say(store, 't', signal(secret), 2)
    await say(store, 't', end, 3)
    const box = await createOrchestrator({ store, work: false })
    await box.erase('t', { by: 'ana', reason: 'r' })
    await say(store, 't', signal(secret), 4)
    expect((await store.read('t')).at(-1)!.data).toMatchObject({ data: secret })
    expect((await store.verify()).findings).toEqual([])
  })

  test('the hash that is left says nothing about it: the same value never has the same', async () => {
    const at = await place()
    await within(at, async ({ store }) => {
      for (const id of ['a', 'b']) await begin(store, id, 'yes')
    })
    const rows = await asOwner(at.address, (sql) => sql(`SELECT hash, salt FROM payloads WHERE body = '"yes"'`))
    expect(rows.length).toBe(2)
    expect(new Set(rows.map(({ hash }) => hash)).size).toBe(2)
    expect(rows.every(({ salt }) => /^[0-9a-f]{32}$/.test(salt as string))).toBe(true)
  })

  test('the salts of a simulated world come from it, and so do its hashes', async () => {
    const head = async (): Promise<string> => {
      let number = 0
      const salt = (): string => String((number += 1))
      const at = await place()
      const store = await (engine() === 'SQLite'
        ? openSqlite(pathOf(at), { salt })
        : openPostgres(at.address, { salt }))
      onTestFinished(() => store.close())
      await begin(store, 't', 'x')
      return (await store.task('t'))!.hash
    }
    expect(await head()).toBe(await head())
  })

  test('is no input for another task, and does not make the same start a different one', async () => {
    const at = await place()
    const store = await opened(at.address)
    const ask = defineAgent({
      name: 'ask',
      version: '1',
      context: defineContext({ goal: z.string() }),
      initial: 'end',
      states: { end: { type: 'final' } },
    })
    const box = await createOrchestrator({ store, agents: [ask] })
    onTestFinished(() => box.stop())
    await (await box.start(ask, { goal: secret }, { id: 't' })).result()
    await box.erase('t', { by: 'ana', reason: 'r' })
    const from = { taskId: 't', keys: ['goal'] }
    await expect(box.start(ask, {} as never, { id: 'u', from })).rejects.toMatchObject({ code: 'INPUT_INVALID' })
    expect((await box.start(ask, { goal: secret }, { id: 't' })).id).toBe('t')
  })

  test('is found by its hash also where hashes look like what is to be redacted', async () => {
    const at = await place()
    await told(at)
    const redact = { patterns: [/[0-9a-f]{64}/] }
    const box = await createOrchestrator({ store: at.address, work: false, redact })
    onTestFinished(() => box.stop())
    await box.erase('t', { by: 'ana', reason: `not ${'a'.repeat(64)}` })
    expect((await box.store.read('t')).at(-1)!.data).toMatchObject({ reason: 'not [redacted: pattern-1]' })
    expect((await box.verify()).findings).toEqual([])
    expect(await holds(at)).toEqual([])
  })

  test('of a task that has not ended stays, and nothing is written', async () => {
    const at = await place()
    await within(at, ({ store }) => begin(store, 't', secret))
    await expect(erase(at, 't')).rejects.toMatchObject({ code: 'TASK_RUNNING' })
    await expect(erase(at, 'nobody')).rejects.toMatchObject({ code: 'TASK_UNKNOWN' })
    expect((await within(at, (box) => box.store.read('t'))).length).toBe(4)
  })

  test.each([
    ['one that no event erases', 'UPDATE payloads SET body = NULL, salt = NULL', 'never changed'],
    ['half of one', `UPDATE payloads SET body = NULL WHERE taskId = 't'`, 'never changed'],
    [
      'a change of one that is erased',
      `UPDATE payloads SET body = '1', salt = '1' WHERE taskId = 'gone'`,
      'never changed',
    ],
    [
      'another in the place of one',
      `INSERT INTO payloads SELECT taskId, seq, hash, salt, '"other"' FROM payloads WHERE true ON CONFLICT (taskId, seq, hash) DO UPDATE SET body = excluded.body`,
      'never changed',
    ],
  ])('the database itself refuses %s', async (_, sql, says) => {
    const at = await place()
    await told(at, 't')
    await told(at, 'gone')
    await erase(at, 'gone')
    await expect(asOwner(at.address, (run) => run(sql))).rejects.toThrow(says)
  })

  test.each<[string, (sql: Sql) => Promise<unknown>, string]>([
    [
      'a payload that was taken out without a word',
      (sql) => sql(`UPDATE payloads SET body = NULL, salt = NULL WHERE taskId = 't-beside' AND seq = 1`),
      'no event says',
    ],
    [
      'a payload that is there although it was erased',
      (sql) => sql(`UPDATE payloads SET body = '"x"', salt = '00' WHERE taskId = 't' AND seq = 1`),
      'though event',
    ],
    [
      'a salt that was changed',
      (sql) => sql(`UPDATE payloads SET salt = '00' WHERE taskId = 't-beside' AND seq = 1`),
      'was edited',
    ],
  ])('verify names %s', async (_, change, says) => {
    const at = await place()
    await told(at)
    await erase(at, 't')
    await attack(at, change)
    const { findings } = await verifyAlone(at)
    expect(findings).toMatchObject([{ kind: 'payload', seq: 1, problem: expect.stringContaining(says) as string }])
  })
})

describe('a row that does not follow from the log is named', () => {
  test.each<[string, string, string]>([
    ['who decided', `UPDATE inbox SET decidedBy = 'bob'`, 'decidedBy is "bob", but the log says "ana"'],
    ['an open item that is gone', 'DELETE FROM inbox', 'inbox has no row'],
    [
      'a forged item',
      `INSERT INTO inbox SELECT 'x', taskId, kind, state, questionSeq, questionHash, showSeq, showHash, options, assignee, openedAtMs, expiresAtMs, status, decision, decidedBy, reason, hash, agreed, noticeAtMs, noticeAttempts, noticeDelayMs, noticeId FROM inbox`,
      'knows nothing of',
    ],
    ['a status', `UPDATE tasks SET status = 'done'`, 'status is "done"'],
    ['a cost', 'UPDATE tasks SET costMicros = 0, steps = 99', 'steps is 99'],
    ['a version of a key', 'UPDATE context SET version = 7', 'version is 7'],
    ['a label', `UPDATE context SET trust = 'untrusted'`, 'trust is "untrusted"'],
    ['the value of a key', `UPDATE context SET payloadSeq = 1`, 'payloadSeq is 1'],
    ['a breaker', `UPDATE breakers SET status = 'closed'`, 'status is "closed", but the log says "open"'],
    ['a breaker that is gone', 'DELETE FROM breakers', 'older than the log'],
    ['a job that is gone', 'DELETE FROM jobs', 'jobs has no row d'],
  ])('%s', async (_, sql, says) => {
    const at = await place()
    await within(at, async ({ store }) => {
      await begin(store, 't', 'x')
      await say(
        store,
        't',
        (work) => {
          emit(work, 'human.asked', { item: 't.q', kind: 'question', state: 'ask', question: 'q', options: ['yes'] })
          emit(work, 'human.answered', { item: 't.q', decision: 'yes', by: 'ana', reason: 'r' })
          const breaker = { status: 'open', failures: 5, untilMs: 9, probe: null, pausedUntilMs: 0 } as const
          emit(work, 'breaker.changed', { key: 'model:main', version: 1, ...breaker })
        },
        2,
      )
    })
    expect((await verifyAlone(at)).findings).toEqual([])
    await attack(at, (run) => run(sql))
    const { findings } = await verifyAlone(at)
    expect(findings).toMatchObject([{ taskId: 't', kind: 'derived' }])
    expect(findings[0]!.problem).toContain(says)
  })

  test.each(['ghost', 't'])('also of a task that has no log at all, as if %s had written it', async (writer) => {
    const at = await place()
    await within(at, ({ store }) => begin(store, 't', 'x'))
    await attack(at, (sql) =>
      sql(
        `INSERT INTO context SELECT 'ghost', key, version, '${writer}', payloadSeq, payloadHash, trust, privacy FROM context`,
      ),
    )
    expect((await verifyAlone(at)).findings).toMatchObject([{ taskId: writer, kind: 'derived' }])
  })
})
