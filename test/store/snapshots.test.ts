// Snapshots in a store: what is opened by one, what is not read then, and when there is none any more. On each engine.

import { expect, onTestFinished } from 'vitest'
import { draft } from '../../src/core/draft.ts'
import { cancel } from '../../src/core/command.ts'
import { fold } from '../../src/core/fold.ts'
import { emptyTask } from '../../src/core/task.ts'
import { createOrchestrator, type Orchestrator } from '../../src/orchestrator.ts'
import { address, engine, test } from '../engines.ts'
import { asOwner } from '../owner.ts'
import { counter } from '../size/counter.ts'
import { grow } from '../size/grow.ts'

type Row = { taskId: string; seq: number; hash: string; form: string; body: string }

interface World {
  readonly at: string
  readonly box: Orchestrator
  /** Whoever has never seen the task. */
  stranger(work?: boolean): Promise<Orchestrator>
  rows(): Promise<Row[]>
}

/** A task that rests behind so many steps of five events each. */
async function rested(steps: number): Promise<World> {
  const at = await address()
  const stranger = async (work = false): Promise<Orchestrator> => {
    const box = await createOrchestrator({ store: at, agents: [counter as never], env: {}, work })
    onTestFinished(() => box.stop())
    return box
  }
  const box = await stranger()
  await box.start('counter', { upTo: steps } as never, { id: 't' })
  await grow(box.store, 't', counter as never)
  const rows = async (): Promise<Row[]> => (await asOwner(at, (sql) => sql('SELECT * FROM snapshots'))) as Row[]
  return { at, box, stranger, rows }
}

/** Changes an event behind the back of whoever keeps the log. */
async function damage(at: string, seq: number): Promise<void> {
  await asOwner(at, async (sql) => {
    await sql(
      engine() === 'SQLite' ? 'DROP TRIGGER events_no_update' : 'ALTER TABLE events DISABLE TRIGGER events_kept',
    )
    await sql(`UPDATE events SET data = 'damaged' WHERE seq = ${seq}`)
  })
}

test('I2: a long log has one snapshot, and the task that is loaded by it is the fold of all events, with their head', async () => {
  const { stranger, rows } = await rested(900)
  const { store } = await stranger()
  const [row, ...more] = await rows()
  expect(more).toEqual([])
  expect(row!.seq).toBeGreaterThan(4_000)
  const log = await store.read('t')
  expect(log.length).toBeGreaterThan(row!.seq)
  const { task, head } = await store.load('t')
  expect(task).toEqual(fold(emptyTask('t'), log))
  expect(head).toEqual({ seq: log.at(-1)!.seq, hash: log.at(-1)!.hash })
  expect((await store.verify()).findings).toEqual([])
})

test('a log of fewer than a thousand events has none', async () => {
  const { rows, box } = await rested(190)
  expect((await box.show('t')).seq).toBeGreaterThan(900)
  expect(await rows()).toEqual([])
})

test('what is before the snapshot is not read: damage there is found by whoever verifies, and the task goes on', async () => {
  const { at, stranger } = await rested(400)
  await damage(at, 500)
  const box = await stranger(true)
  await box.signal('t', { name: 'go', data: { upTo: 405 }, by: 'test' })
  expect(await box.task('t').rest()).toMatchObject({ waitsFor: 'signal', context: { n: 405 } })
  expect((await box.verify()).findings).toMatchObject([{ taskId: 't', seq: 500 }])
})

test.each([
  [
    'its task was changed',
    `UPDATE snapshots SET body = replace(body, '"handovers":0', '"handovers":1')`,
    /not what events/,
  ],
  ['its place was changed', 'UPDATE snapshots SET seq = seq - 1', /an event \d+ that the log does not have/],
  [
    'it is of a task that is not there',
    `INSERT INTO snapshots SELECT 'nobody', seq, hash, form, body FROM snapshots`,
    /snapshots nobody/,
  ],
])('a snapshot is found to be wrong by whoever verifies: %s', async (_, change, says) => {
  const { at, box } = await rested(250)
  expect((await box.verify()).findings).toEqual([])
  await asOwner(at, (sql) => sql(change))
  expect((await box.verify()).findings).toMatchObject([{ kind: 'derived', problem: expect.stringMatching(says) }])
})

test('a snapshot that another engine has written is not read, and replaced in time', async () => {
  const { at, box, stranger, rows } = await rested(250)
  const { task } = await box.store.load('t')
  await asOwner(at, (sql) => sql(`UPDATE snapshots SET form = 'another', body = 'unreadable'`))
  const { store } = await stranger()
  expect((await store.load('t')).task).toEqual(task)
  await box.signal('t', { name: 'go', data: { upTo: 500 }, by: 'test' })
  await grow(store, 't', counter as never)
  expect((await rows())[0]!.form).not.toBe('another')
  expect((await store.verify()).findings).toEqual([])
})

test('a store that is written again from its logs has none, and comes by one with the next commit', async () => {
  const { box, stranger, rows } = await rested(250)
  await box.store.rebuild()
  expect(await rows()).toEqual([])
  const other = await stranger()
  await other.signal('t', { name: 'go', data: { upTo: 260 }, by: 'test' })
  expect((await rows()).map(({ seq }) => seq)).toEqual([(await other.show('t')).seq])
})

test('a task that has ended has none: what is erased then is nowhere any more', async () => {
  const { box, rows } = await rested(250)
  expect((await rows()).length).toBe(1)
  const { task, head } = await box.store.load('t')
  const work = draft(task, Date.now())
  cancel(work, { by: 'ana', reason: 'enough' })
  await box.store.commit({ point: 'cancel', head, events: work.events, task })
  expect((await box.show('t')).status).toBe('cancelled')
  expect(await rows()).toEqual([])
})

test('a commit that was refused leaves the snapshot that is there', async () => {
  const { box, rows } = await rested(250)
  const before = await rows()
  const { task, head } = await box.store.load('t')
  const work = draft(task, Date.now())
  cancel(work, { by: 'ana', reason: 'enough' })
  const stale = { ...head, seq: head.seq - 1 }
  const events = work.events.map((event) => ({ ...event, seq: event.seq - 1 }))
  expect(await box.store.commit({ point: 'cancel', head: stale, events, task })).toMatchObject({ ok: false })
  expect(await rows()).toEqual(before)
})
