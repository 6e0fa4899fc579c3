// What every store must do, as one suite: an engine is what this suite says.

import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { start } from '../../src/core/start.ts'
import { closedBreaker } from '../../src/core/breaker.ts'
import { draft, emit, type Draft } from '../../src/core/draft.ts'
import { erase } from '../../src/core/erasure.ts'
import type { Json } from '../../src/core/json.ts'
import { draw } from '../../src/core/resilience.ts'
import { fold } from '../../src/core/fold.ts'
import { emptyTask } from '../../src/core/task.ts'
import { erasable } from '../../src/store/erasable.ts'
import { genesis } from '../../src/store/log.ts'
import type { Commit, NewSchedule, ScheduleChange, ScheduleRow, Store, TaskFilter } from '../../src/store/store.ts'
import { until } from '../until.ts'
import { machine, playHistory } from './history.ts'

/** A store that a test opened, and a dump of every row of every table that follows from the log. */
export interface Opened {
  readonly store: Store
  readonly dump: () => unknown
}

export function contract(engine: string, openStore: () => Promise<Opened>): void {
  const open = async (): Promise<Opened> => {
    const opened = await openStore()
    onTestFinished(() => opened.store.close())
    return opened
  }
  const begin = (taskId = 't', nowMs = 1_000): Draft =>
    start(machine, { taskId, definition: 'd', input: { goal: 'x' }, by: 'test', seed: 1 }, nowMs)
  const first = ({ events, task }: Draft): Commit => ({ point: 'start', head: genesis, events, task })
  const claim = { worker: 'w', lease: 'l1', leaseMs: 1_000, limit: 10, definitions: ['d'], nowMs: 2_000 }
  /** A task as its log says, ready to be decided on. */
  const loaded = async (store: Store, taskId = 't'): Promise<{ work: Draft; head: { seq: number; hash: string } }> => {
    const events = await store.read(taskId)
    const { seq, hash } = events.at(-1)!
    return { work: draft(fold(emptyTask(taskId), events), 5_000), head: { seq, hash } }
  }
  /** Erases what an event carries, or all payloads of a task that has ended. */
  const eraseIn = async (store: Store, taskId = 't', seq?: number): Promise<number> => {
    const { work, head } = await loaded(store, taskId)
    const places = erasable(taskId, await store.readSealed(taskId), await store.read(taskId), seq)
    erase(work, places, { by: 'ana', reason: 'asked for' })
    expect((await store.commit({ point: 'erase', head, events: work.events, task: work.task })).ok).toBe(true)
    return places.length
  }
  const poke = (work: Draft): Draft => {
    emit(work, 'signal.received', { name: 'go', data: {}, by: 'test' })
    return work
  }

  describe(`${engine}: a commit`, () => {
    test('on the head it was decided on is there whole: events, task, context, job', async () => {
      const { store } = await open()
      const begun = begin()
      expect(await store.commit(first(begun))).toMatchObject({ ok: true, head: { seq: begun.events.length } })
      expect((await store.read('t')).map(({ type, data, seq }) => ({ type, data, seq }))).toEqual(
        begun.events.map(({ type, data, seq }) => ({ type, data, seq })),
      )
      expect(await store.task('t')).toMatchObject({
        agent: 'every-kind',
        status: 'running',
        state: 'think',
        seq: begun.events.length,
      })
      expect(await store.context('t')).toMatchObject([
        { key: 'goal', version: 1, value: 'x' },
        { key: 'list', version: 1, value: [] },
      ])
      expect(await store.nextDueMs(['d'])).toBe(1_000)
    })

    test('on another head writes nothing', async () => {
      const { store, dump } = await open()
      await store.commit(first(begin()))
      const before = await dump()
      expect(await store.commit(first(begin()))).toEqual({ ok: false, reason: 'conflict' })
      const { work, head } = await loaded(store)
      poke(work)
      expect(
        await store.commit({
          point: 'signal',
          head: { ...head, hash: 'f'.repeat(64) },
          events: work.events,
          task: work.task,
        }),
      ).toEqual({ ok: false, reason: 'conflict' })
      expect(await dump()).toEqual(before)
      expect((await store.verify()).findings).toEqual([])
    })

    test('of many at once on one head has one winner, and the others are told', async () => {
      const { store } = await open()
      await store.commit(first(begin()))
      const { head } = await loaded(store)
      const works = await Promise.all(Array.from({ length: 20 }, async () => poke((await loaded(store)).work)))
      const results = await Promise.all(
        works.map(({ events, task }) => store.commit({ point: 'signal', head, events, task })),
      )
      expect(results.filter(({ ok }) => ok).length).toBe(1)
      expect((await store.read('t')).length).toBe(head.seq + 1)
    })

    test('that fails leaves the commits beside it alone', async () => {
      const { store } = await open()
      const broken = begin('broken')
      const commit = first(broken)
      const spoilt = { ...commit, task: { ...broken.task, agent: undefined as never } }
      const results = await Promise.allSettled([
        store.commit(first(begin('a'))),
        store.commit(spoilt),
        store.commit(first(begin('b'))),
      ])
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
      expect((await store.tasks()).map(({ taskId }) => taskId).sort()).toEqual(['a', 'b'])
      expect(await store.read('broken')).toEqual([])
    })

    test('that counts on a gate is refused where somebody else has shut it meanwhile', async () => {
      const { store, dump } = await open()
      for (const taskId of ['a', 'b']) await store.commit(first(begin(taskId)))
      const shuts = await loaded(store, 'b')
      const opened = { ...closedBreaker, status: 'open', failures: 5, untilMs: 35_000 } as const
      emit(shuts.work, 'breaker.changed', { key: 'model:m', version: 1, ...opened })
      const { events, task } = shuts.work
      expect((await store.commit({ point: 'settle', head: shuts.head, events, task })).ok).toBe(true)
      const before = await dump()
      const { work, head } = await loaded(store, 'a')
      poke(work)
      const late: Commit = { point: 'permit', head, events: work.events, task: work.task }
      const counting = (nowMs: number): Commit => ({ ...late, gates: { admits: ['model:m'], takes: [], nowMs } })
      expect(await store.commit(counting(5_000))).toMatchObject({ ok: false, reason: 'gates' })
      // Also when it has cooled down: who probes it says so.
      expect(await store.commit(counting(40_000))).toMatchObject({ ok: false, reason: 'gates' })
      expect(await dump()).toEqual(before)
      expect((await store.commit(late)).ok).toBe(true)
    })

    test('of a task alone makes it the root of a tree of one', async () => {
      const { store } = await open()
      for (const id of ['a', 'b']) await store.commit(first(begin(id)))
      const ids = async (filter: TaskFilter): Promise<string[]> =>
        (await store.tasks(filter)).map(({ taskId }) => taskId).sort()
      expect(await ids({ rootId: 'a' })).toEqual(['a'])
      expect(await ids({ roots: true })).toEqual(['a', 'b'])
      expect(await ids({ rootId: 'a', parentId: 'b' })).toEqual([])
      expect(await ids({ parentId: 'a' })).toEqual([])
    })

    test('is told to whoever watches, with its last event', async () => {
      const { store } = await open()
      const told: unknown[] = []
      const stop = store.watch(({ taskId, seq }) => told.push([taskId, seq]))
      const begun = begin()
      await store.commit(first(begun))
      stop()
      await store.commit(first(begin('u')))
      expect(told).toEqual([['t', begun.events.length]])
    })
  })

  describe(`${engine}: the queue`, () => {
    test('gives a due task to one worker, and not again until its lease has run out', async () => {
      const { store } = await open()
      await store.commit(first(begin()))
      expect(await store.claim({ ...claim, nowMs: 999 })).toEqual([])
      expect(await store.claim(claim)).toEqual([{ taskId: 't', lease: 'l1', deliveries: 1 }])
      expect(await store.claim({ ...claim, lease: 'l2', nowMs: 2_999 })).toEqual([])
      expect(await store.claim({ ...claim, lease: 'l2', nowMs: 3_000 })).toEqual([
        { taskId: 't', lease: 'l2', deliveries: 2 },
      ])
    })

    test('gives only tasks of the definitions that are asked for, at most as many as asked, oldest first', async () => {
      const { store } = await open()
      for (const [index, id] of ['c', 'a', 'b'].entries()) await store.commit(first(begin(id, 1_000 + index)))
      expect(await store.claim({ ...claim, definitions: ['other'] })).toEqual([])
      expect((await store.claim({ ...claim, limit: 2 })).map(({ taskId }) => taskId)).toEqual(['c', 'a'])
      expect((await store.claim({ ...claim, lease: 'l2', taskId: 'a' })).length).toBe(0)
      expect((await store.claim({ ...claim, lease: 'l2' })).map(({ taskId }) => taskId)).toEqual(['b'])
    })

    test('I13: a worker whose lease was taken over writes nothing', async () => {
      const { store, dump } = await open()
      await store.commit(first(begin()))
      await store.claim(claim)
      const { work, head } = await loaded(store)
      await store.claim({ ...claim, lease: 'l2', nowMs: 3_000 })
      const before = await dump()
      poke(work)
      expect(
        await store.commit({ point: 'settle', head, events: work.events, task: work.task, lease: 'l1', keep: true }),
      ).toEqual({ ok: false, reason: 'lease-lost' })
      expect(await store.renew([{ taskId: 't', lease: 'l1' }], 1_000, 3_000)).toEqual([
        { taskId: 't', held: false, untilMs: 4_000, seq: head.seq, news: 0 },
      ])
      await store.release([{ taskId: 't', lease: 'l1' }], 3_000)
      expect(await dump()).toEqual(before)
    })

    test('keeps a task with its worker while the lease is renewed, and hands it on when it is released', async () => {
      const { store } = await open()
      await store.commit(first(begin()))
      await store.claim(claim)
      const [renewed] = await store.renew([{ taskId: 't', lease: 'l1' }], 1_000, 2_900)
      expect(renewed).toMatchObject({ held: true, untilMs: 3_900 })
      expect(await store.claim({ ...claim, lease: 'l2', nowMs: 3_500 })).toEqual([])
      await store.release([{ taskId: 't', lease: 'l1' }], 3_500)
      expect(await store.claim({ ...claim, lease: 'l2', nowMs: 3_500 })).toEqual([
        { taskId: 't', lease: 'l2', deliveries: 1 },
      ])
    })

    test('leaves a task with its worker when somebody outside writes to it', async () => {
      const { store } = await open()
      await store.commit(first(begin()))
      await store.claim(claim)
      const { work, head } = await loaded(store)
      poke(work)
      expect((await store.commit({ point: 'signal', head, events: work.events, task: work.task })).ok).toBe(true)
      expect(await store.claim({ ...claim, lease: 'l2', nowMs: 2_500 })).toEqual([])
    })

    test('forgets a task that was ended, also while a worker holds it', async () => {
      const { store } = await open()
      await store.commit(first(begin()))
      await store.claim(claim)
      const { work, head } = await loaded(store)
      emit(work, 'task.ended', { outcome: 'cancelled', status: 'cancelled' })
      await store.commit({ point: 'cancel', head, events: work.events, task: work.task })
      expect(await store.nextDueMs(['d'])).toBe(null)
      expect(await store.claim({ ...claim, nowMs: 1e12 })).toEqual([])
    })
  })

  describe(`${engine}: what is stored`, () => {
    const hostile: readonly Json[] = [
      '\u0000 NUL',
      "'; DROP TABLE events; --",
      '"quotes" and \\ and \u2028',
      'right\u202Eto left',
      '🚂 é 漢字',
      '',
      ' ',
      2 ** 53 - 1,
      -(2 ** 53 - 1),
      1e308,
      5e-324,
      0,
      true,
      null,
      [],
      {},
      [[[[[[[[]]]]]]]],
      JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1, "toString": "x", "$payload": "0"}') as Json,
      JSON.parse(`${'['.repeat(200)}1${']'.repeat(200)}`) as Json,
    ]

    test.each(hostile.map((value) => [JSON.stringify(value).slice(0, 40), value]))(
      'A56: %s comes back as it was',
      async (_, value) => {
        const { store } = await open()
        const begun = start(
          machine,
          { taskId: 't', definition: 'd', input: { goal: value }, by: JSON.stringify(value), seed: 1 },
          1,
        )
        await store.commit(first(begun))
        expect((await store.context('t')).find(({ key }) => key === 'goal')!.value).toEqual(value)
        expect((await store.read('t')).map(({ data }) => data)).toEqual(begun.events.map(({ data }) => data))
        expect((await store.verify()).findings).toEqual([])
        expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
      },
    )

    test.each(["x' OR '1'='1", '%', '_', '"; --'])('A56: %s as an id finds nothing but itself', async (id) => {
      const { store } = await open()
      await store.commit(first(begin('real')))
      expect(await store.task(id)).toBeUndefined()
      expect(await store.read(id)).toEqual([])
      expect(await store.tasks({ agent: id })).toEqual([])
      expect(await store.tasks({ rootId: id })).toEqual([])
      expect(await store.tasks({ parentId: id })).toEqual([])
      expect(await store.inbox({ taskId: id })).toEqual([])
      expect(await store.claim({ ...claim, taskId: id })).toEqual([])
    })

    test('of the inbox follows the events: open, answered, expired, withdrawn', async () => {
      const { store } = await open()
      await store.commit(first(begin()))
      const { work, head } = await loaded(store)
      const ask = (item: string): void =>
        emit(work, 'human.asked', {
          item,
          kind: 'question',
          state: 'ask',
          question: 'q',
          options: ['yes'],
          expiresAtMs: 9_000,
        })
      ask('t.1')
      emit(work, 'human.answered', { item: 't.1', decision: 'yes', by: 'ana', reason: 'r' })
      emit(work, 'transition.taken', { source: 'ask', exit: 'yes', target: 'ask' })
      ask('t.2')
      emit(work, 'deadline.passed', { of: 'question', state: 'ask', deadlineAtMs: 9_000 })
      ask('t.3')
      await store.commit({ point: 'settle', head, events: work.events, task: work.task })
      expect((await store.inbox({ status: 'open' })).map(({ item }) => item)).toEqual(['t.3'])
      const again = await loaded(store)
      emit(again.work, 'task.ended', { outcome: 'cancelled', status: 'cancelled' })
      await store.commit({ point: 'cancel', head: again.head, events: again.work.events, task: again.work.task })
      expect((await store.inbox()).map(({ item, status, decidedBy }) => [item, status, decidedBy])).toEqual([
        ['t.1', 'answered', 'ana'],
        ['t.2', 'expired', null],
        ['t.3', 'withdrawn', null],
      ])
    })

    test(
      'Promise 2, I2: for random histories, everything but the log can be dropped and is written again as it was',
      { timeout: 240_000 },
      async () => {
        const { store, dump } = await open()
        let number = 0
        const values: readonly Json[] = [...hostile, { a: [1, 2, { b: 'c' }] }]
        // Some are always the same, so that every kind of event is among them: they come first, before the gates are what chance has
        // made of them.
        for (let round = 0; round < 150; round += 1) {
          const choices = Array.from({ length: 300 }, (_, index) => Math.floor(draw(round, index, 0) * 10_000))
          await playHistory(store, `s${round}`, null, choices, values)
        }
        await fc.assert(
          fc.asyncProperty(fc.array(fc.nat(10_000), { minLength: 5, maxLength: 200, size: 'max' }), async (choices) => {
            number += 1
            const { events, task } = await playHistory(store, `h${number}`, choices, choices, values)
            const logged = await store.read(task.id)
            expect(logged.map(({ seq, type, data }) => ({ seq, type, data }))).toEqual(
              events.map(({ seq, type, data }) => ({ seq, type, data })),
            )
            expect(fold(emptyTask(task.id), logged)).toEqual(task)
          }),
          { numRuns: engine === 'SQLite' ? 300 : 75 },
        )
        // What is erased stays so, and changes nothing else that follows.
        let erasures = 0
        for (const { taskId, status } of await store.tasks({ limit: 10_000 })) {
          if (status === 'running' || status === 'waiting' || (erasures += 1) % 3 !== 0) continue
          await eraseIn(store, taskId, erasures % 2 === 0 ? undefined : 1)
        }
        const before = await dump()
        await store.rebuild()
        expect(await dump()).toEqual(before)
        expect(await store.verify()).toMatchObject({ tasks: number + 150, findings: [] })
        const kinds = new Set<string>()
        for (const { taskId } of await store.tasks({ limit: 10_000 }))
          for (const { type } of await store.read(taskId)) kinds.add(type)
        expect([...kinds].sort()).toEqual([
          'answer.refused',
          'breaker.changed',
          'context.removed',
          'context.written',
          'deadline.passed',
          'effect.kept',
          'function.called',
          'function.failed',
          'function.returned',
          'human.answered',
          'human.asked',
          'human.escalated',
          'item.closed',
          'label.weakened',
          'limit.neared',
          'limit.raised',
          'limit.reached',
          'links.removed',
          'model.answered',
          'model.called',
          'model.failed',
          'notice.failed',
          'notice.sent',
          'payload.erased',
          'rollback.started',
          'rollback.stopped',
          'signal.consumed',
          'signal.received',
          'slot.freed',
          'slot.taken',
          'state.entered',
          'step.late',
          'step.lost',
          'step.queued',
          'step.refused',
          'task.cancelled',
          'task.ended',
          'task.rolledBack',
          'task.started',
          'tool.answered',
          'tool.called',
          'tool.doubted',
          'tool.failed',
          'transition.taken',
          'wait.started',
          'window.cut',
        ])
      },
    )
  })

  describe(`${engine}: the register`, () => {
    const ended = async (store: Store): Promise<void> => {
      await store.commit(first(begin()))
      const { work, head } = await loaded(store)
      emit(work, 'task.ended', { outcome: 'cancelled', status: 'cancelled' })
      await store.commit({ point: 'cancel', head, events: work.events, task: work.task })
    }
    const signer = { keyId: 'k', sign: (text: string) => `signed ${text}` }

    test('an erased payload is read as erased wherever it was; the chain, the rows and the other task hold', async () => {
      const { store, dump } = await open()
      await ended(store)
      await store.commit(first(begin('u')))
      expect(await eraseIn(store)).toBeGreaterThan(1)
      expect(await store.wipe()).toBe(true)
      const events = await store.read('t')
      expect(events[0]!.data).toMatchObject({ agent: 'every-kind', input: { $erased: true } })
      expect(events.at(-1)).toMatchObject({ type: 'payload.erased', data: { by: 'ana', reason: 'asked for' } })
      expect((await store.context('t')).map(({ value }) => value)).toEqual([{ $erased: true }, { $erased: true }])
      expect((await store.context('u')).map(({ value }) => value)).toEqual(['x', []])
      const { erased } = (await store.task('t'))!
      expect(await store.verify()).toMatchObject({ erased, findings: [] })
      const before = await dump()
      await store.rebuild()
      expect(await dump()).toEqual(before)
      expect(await eraseIn(store)).toBe(0)
    })

    test('a payload is erased with the event that says so, or not at all', async () => {
      const { store } = await open()
      await ended(store)
      const { work, head } = await loaded(store)
      erase(work, erasable('t', await store.readSealed('t'), await store.read('t')), { by: 'ana', reason: 'r' })
      const commit = {
        point: 'erase',
        head: { ...head, hash: 'f'.repeat(64) },
        events: work.events,
        task: work.task,
      } as const
      expect(await store.commit(commit)).toEqual({ ok: false, reason: 'conflict' })
      expect((await store.read('t'))[0]!.data).toMatchObject({ input: { goal: 'x' } })
    })

    test('a checkpoint signs what is new since the one before, and nothing when nothing is', async () => {
      const { store } = await open()
      expect(await store.checkpoint(signer, 1)).toBeUndefined()
      await ended(store)
      await store.commit(first(begin('u')))
      const one = (await store.checkpoint(signer, 2))!
      expect(one).toMatchObject({ number: 1, at: 2, tasks: 2, prevRoot: '0'.repeat(64), keyId: 'k' })
      expect(one.signature).toContain(one.root)
      expect(await store.checkpoint(signer, 3)).toBeUndefined()
      const { work, head } = await loaded(store, 'u')
      poke(work)
      await store.commit({ point: 'signal', head, events: work.events, task: work.task })
      const two = (await store.checkpoint(signer, 4))!
      expect(two).toMatchObject({ number: 2, tasks: 2, events: one.events + 1, prevRoot: one.root })
      expect(await store.checkpoints()).toEqual([one, two])
      expect(await store.checkpoints({ after: 1 })).toEqual([two])
      const headOf = async (taskId: string) => {
        const { seq, hash } = (await store.task(taskId))!
        return { taskId, seq, hash, found: hash, last: seq }
      }
      expect(await store.heads(2)).toEqual([await headOf('u')])
      expect((await store.heads(1)).map(({ taskId, found, hash }) => `${taskId} ${found === hash}`).sort()).toEqual([
        't true',
        'u true',
      ])
      await store.rebuild()
      expect(await store.checkpoints()).toEqual([one, two])
    })
  })

  describe(`${engine}: a schedule`, () => {
    const given: NewSchedule = {
      name: 's',
      agent: 'every-kind',
      cron: '* * * * *',
      timezone: 'UTC',
      overlap: 'skip',
      input: { goal: 'x' },
      createdBy: 'ana',
      createdAtMs: 1,
      reason: 'r',
      nextAtMs: 60_000,
    }
    const none = { lastAtMs: null, lastTaskId: null, problem: null, removedBy: null, removedAtMs: null }
    const counts = { started: 0, skipped: 0, missed: 0, failed: 0, waiting: [] }
    const removal = { by: 'ben', reason: 'enough', nowMs: 2 }
    const only = async (store: Store): Promise<ScheduleRow> => (await store.schedules({ removed: true }))[0]!
    const moved = async (store: Store, change: Partial<ScheduleRow> = {}): Promise<ScheduleChange> => {
      const row = await only(store)
      return { id: row.id, version: row.version, progress: { ...row, nextAtMs: 120_000, ...change } }
    }

    test('is kept as it was given, once under its name, and found when it is due or something of it waits', async () => {
      const { store } = await open()
      expect(await store.schedule(given)).toBe(true)
      expect(await store.schedule({ ...given, cron: '@daily' })).toBe(false)
      expect(await only(store)).toEqual({ ...given, ...none, ...counts, id: 1, version: 1, removedReason: null })
      expect(await store.schedules({ dueMs: 59_999 })).toEqual([])
      expect(await store.schedules({ dueMs: 60_000 })).toEqual([await only(store)])
      expect(await store.advanceSchedule(await moved(store, { waiting: [60_000] }))).toBe(true)
      expect(await store.schedules({ dueMs: 0 })).toMatchObject([{ waiting: [60_000], version: 2 }])
    })

    test('is moved on with the task that it starts, or neither is written', async () => {
      const { store } = await open()
      await store.schedule(given)
      const stale = await moved(store, { started: 1, lastTaskId: 't', lastAtMs: 60_000 })
      expect(await store.commit({ ...first(begin('t')), schedule: stale })).toMatchObject({ ok: true })
      expect(await only(store)).toMatchObject({ ...stale.progress, version: 2 })
      // Another who decided on what was before: neither its task nor its count is there.
      expect(await store.commit({ ...first(begin('u')), schedule: stale })).toEqual({ ok: false, reason: 'conflict' })
      expect(await store.advanceSchedule(stale)).toBe(false)
      expect(await store.task('u')).toBeUndefined()
      // A task that is there already moves nothing on.
      const next = await moved(store, { started: 2 })
      expect(await store.commit({ ...first(begin('t')), schedule: next })).toEqual({ ok: false, reason: 'conflict' })
      expect(await only(store)).toMatchObject({ started: 1, version: 2 })
      const before = await only(store)
      await store.rebuild()
      expect(await only(store)).toEqual(before)
      expect((await store.verify()).findings).toEqual([])
    })

    test('of many who move it on at once, one does', async () => {
      const { store } = await open()
      await store.schedule(given)
      const change = await moved(store)
      const tries = Array.from({ length: 8 }, (_, number) =>
        store.commit({ ...first(begin(`t${number}`)), schedule: change }),
      )
      expect((await Promise.all(tries)).filter(({ ok }) => ok).length).toBe(1)
      expect((await store.tasks()).length).toBe(1)
    })

    test('that is removed stays with who and why, without its input, and is never moved on; its name is free', async () => {
      const { store } = await open()
      await store.schedule(given)
      const change = await moved(store)
      expect(await store.unschedule('s', removal)).toBe(true)
      expect(await store.unschedule('s', removal)).toBe(false)
      expect(await store.commit({ ...first(begin()), schedule: change })).toEqual({ ok: false, reason: 'conflict' })
      expect(await store.advanceSchedule(await moved(store))).toBe(false)
      expect(await store.schedules()).toEqual([])
      const removed = await only(store)
      expect(removed).toMatchObject({ removedBy: 'ben', removedAtMs: 2, removedReason: 'enough' })
      expect(removed).toMatchObject({ createdBy: 'ana', input: null, nextAtMs: null })
      expect(await store.schedule(given)).toBe(true)
      expect((await store.schedules({ removed: true })).map(({ removedBy }) => removedBy)).toEqual(['ben', null])
    })
  })

  describe(`${engine}: workers`, () => {
    test('say that they are there, and are listed as they said it last, until they say that they go', async () => {
      const { store } = await open()
      const worker = { worker: 'w', host: 'h', pid: 1, agents: ['a', 'b'], queues: ['default'], concurrency: 4 }
      const beat = { ...worker, held: 0, status: 'working', startedAtMs: 1_000, beatAtMs: 1_000 } as const
      await store.beat(beat)
      await store.beat({ ...beat, worker: 'v', startedAtMs: 2_000, beatAtMs: 2_000 })
      await store.beat({ ...beat, held: 3, status: 'draining', beatAtMs: 6_000 })
      expect(await store.workers()).toEqual([
        { ...beat, held: 3, status: 'draining', beatAtMs: 6_000 },
        { ...beat, worker: 'v', startedAtMs: 2_000, beatAtMs: 2_000 },
      ])
      await store.leave('w')
      await store.beat({ ...beat, worker: 'u', startedAtMs: 90_000_000, beatAtMs: 90_000_000 })
      expect((await store.workers()).map((row) => row.worker)).toEqual(['u'])
    })
  })

  describe(`${engine}: the feed`, () => {
    test('tells the events of all tasks, page by page, each task in order, none twice and none left out', async () => {
      const { store } = await open()
      const told: string[] = []
      let place: string | undefined
      // What is told waits until whatever was begun before it in the same server is over.
      const readOn = (last: string): Promise<void> =>
        until(async () => {
          const { events, next } = await store.feed(place, 3)
          told.push(...events.map(({ taskId, seq }) => `${taskId} ${seq}`))
          place = next
          return events.length === 0 && told.includes(last)
        })
      await Promise.all(['a', 'b', 'c'].map((id) => store.commit(first(begin(id)))))
      for (const id of ['a', 'b', 'c']) await readOn(`${id} ${(await store.readSealed(id)).length}`)
      const { work, head } = await loaded(store, 'b')
      poke(work)
      await store.commit({ point: 'signal', head, events: work.events, task: work.task })
      await readOn(`b ${head.seq + 1}`)
      const meant = (await Promise.all(['a', 'b', 'c'].map((id) => store.readSealed(id)))).flat()
      expect(told.toSorted()).toEqual(meant.map(({ taskId, seq }) => `${taskId} ${seq}`).sort())
      expect(told.at(-1)).toBe(`b ${head.seq + 1}`)
      for (const id of ['a', 'b', 'c']) {
        const seqs = told.filter((line) => line.startsWith(`${id} `))
        expect(seqs).toEqual(seqs.map((_, index) => `${id} ${index + 1}`))
      }
    })
  })
}
