// Schedules end to end: a real store, real workers and a clock in which days pass in milliseconds. Each occurrence's task begins
// once, whoever dies and however many workers there are; what was missed, skipped or could not begin is counted.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent, type State } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { Fault } from '../src/core/fault.ts'
import { usd } from '../src/core/price.ts'
import { createOrchestrator, type Orchestrator, type OrchestratorOptions } from '../src/orchestrator.ts'
import type { ScheduleOptions } from '../src/requests/timetable.ts'
import type { ScheduleRow, Store } from '../src/store/store.ts'
import { VirtualClock } from './clock.ts'
import { address, engine, opened, test } from './engines.ts'
import { asOwner } from './owner.ts'

const agentOf = (name: string, state: State<any, any>, note: z.ZodType = z.string().optional()): Agent<any, any> =>
  defineAgent({
    name,
    version: '1',
    context: defineContext({ note }),
    initial: 'work',
    on: { $error: 'failed', $timeout: 'failed' },
    states: { work: state, done: { type: 'final' }, failed: { type: 'final', failure: true } },
  } as never)
const quick = agentOf('quick', { run: () => 'NEXT', on: { NEXT: 'done' } } as never)
const slow = agentOf('slow', { wait: { signal: 'go' }, on: { DONE: 'done' } } as never)

const secondMs = 1_000
const dayMs = 86_400 * secondMs

/** A clock at a time. */
function clockAt(time: string): VirtualClock {
  const clock = new VirtualClock()
  clock.advance(Date.parse(time) - clock.now())
  return clock
}

/** Lets time pass while everybody works. */
const pass = (clock: VirtualClock, ms: number): Promise<void> =>
  clock.until(new Promise<void>((wake) => void clock.setTimer(ms, wake)))

async function open(
  clock: VirtualClock,
  store: OrchestratorOptions['store'],
  options: Partial<OrchestratorOptions> = {},
): Promise<Orchestrator> {
  const box = await createOrchestrator({
    store: typeof store === 'string' ? await clock.open(store) : store,
    agents: [quick, slow],
    env: {},
    onFault: () => undefined,
    runtime: clock,
    ...options,
  })
  onTestFinished(() => clock.until(box.stop(0)))
  return box
}

const said = { by: 'ana', reason: 'every day anew' }
const daily = (more: Partial<ScheduleOptions> = {}): ScheduleOptions => ({
  agent: 'quick',
  cron: '0 8 * * *',
  ...said,
  ...more,
})
const row = async (box: Orchestrator, name = 'report'): Promise<ScheduleRow> =>
  (await box.schedules()).find((known) => known.name === name)!
const ids = async (box: Orchestrator): Promise<string[]> => (await box.tasks()).map(({ taskId }) => taskId).sort()

test.each<[string, () => string | Promise<string>]>([
  ['in a database', address],
  // There is nothing like it in a server, where it is one in a database once more.
  ['in memory', () => (engine() === 'SQLite' ? 'sqlite::memory:' : address())],
])('a schedule %s starts a task at its time, which says whose it is, and tells what became of it', async (_, place) => {
  const clock = clockAt('2026-11-26T07:59:58Z')
  const box = await open(clock, await place())
  await box.schedule('report', daily({ input: { note: 'n' } }))
  await pass(clock, 1_500)
  expect(await ids(box)).toEqual([])
  await pass(clock, secondMs)
  expect(await box.show('report.20261126T080000Z')).toMatchObject({
    agent: 'quick',
    outcome: 'done',
    context: { note: 'n' },
    startedBy: 'schedule:report',
    startedAtMs: Date.parse('2026-11-26T08:00:00Z'),
  })
  expect(await box.schedules()).toMatchObject([
    {
      name: 'report',
      agent: 'quick',
      cron: '0 8 * * *',
      timezone: 'UTC',
      overlap: 'skip',
      createdBy: 'ana',
      createdAtMs: Date.parse('2026-11-26T07:59:58Z'),
      reason: said.reason,
      input: { note: 'n' },
      nextAtMs: Date.parse('2026-11-27T08:00:00Z'),
      lastAtMs: Date.parse('2026-11-26T08:00:00Z'),
      lastTaskId: 'report.20261126T080000Z',
      started: 1,
      skipped: 0,
      missed: 0,
      failed: 0,
      problem: null,
    },
  ])
  expect(await box.upcoming('report', 2)).toEqual([
    Date.parse('2026-11-27T08:00:00Z'),
    Date.parse('2026-11-28T08:00:00Z'),
  ])
  // Schedules are no part of the log.
  const before = await box.schedules()
  await box.store.rebuild()
  expect(await box.schedules()).toEqual(before)
  expect((await box.verify()).findings).toEqual([])
})

describe('while the task before goes on', () => {
  const everySecond = (overlap: ScheduleOptions['overlap']): ScheduleOptions =>
    daily({ agent: 'slow', cron: '* * * * * *', ...(overlap ? { overlap } : {}) })
  const go = async (box: Orchestrator, second: number): Promise<void> =>
    box.signal(`report.20261126T08000${second}Z`, { name: 'go', data: {}, by: 'test' })

  test('an occurrence is skipped, and counted', async () => {
    const clock = clockAt('2026-11-26T08:00:00Z')
    const box = await open(clock, await address())
    await box.schedule('report', everySecond(undefined))
    await pass(clock, 3_500)
    expect(await ids(box)).toEqual(['report.20261126T080001Z'])
    await go(box, 1)
    await pass(clock, secondMs)
    expect(await ids(box)).toEqual(['report.20261126T080001Z', 'report.20261126T080004Z'])
    expect(await row(box)).toMatchObject({ started: 2, skipped: 2, missed: 0, waiting: [] })
  })

  test('each waits for its turn', async () => {
    const clock = clockAt('2026-11-26T08:00:00Z')
    const store = await address()
    const box = await open(clock, store)
    await box.schedule('report', everySecond('queue'))
    await pass(clock, 3_500)
    expect(await ids(box)).toEqual(['report.20261126T080001Z'])
    expect((await row(box)).waiting).toEqual([2, 3].map((n) => Date.parse(`2026-11-26T08:00:0${n}Z`)))
    // Who waits is remembered by the store, not by the process.
    await clock.until(box.stop(0))
    const again = await open(clock, store)
    await go(again, 1)
    await pass(clock, 300)
    expect(await ids(again)).toEqual(['report.20261126T080001Z', 'report.20261126T080002Z'])
    await go(again, 2)
    await pass(clock, 400)
    expect((await ids(again)).at(-1)).toBe('report.20261126T080003Z')
    expect(await row(again)).toMatchObject({ started: 3, skipped: 0, missed: 0 })
  })

  test('another is started all the same', async () => {
    const clock = clockAt('2026-11-26T08:00:00Z')
    const box = await open(clock, await address())
    await box.schedule('report', everySecond('allow'))
    await pass(clock, 3_500)
    expect(await ids(box)).toEqual([1, 2, 3].map((n) => `report.20261126T08000${n}Z`))
    expect((await box.tasks({ status: 'waiting' })).length).toBe(3)
  })
})

test('of what came while nobody was there only the latest is made up for, and the others are counted', async () => {
  const store = await address()
  const clock = clockAt('2026-11-26T12:00:00Z')
  const desk = await open(clock, store, { work: false })
  await desk.schedule('report', daily())
  await desk.schedule('often', daily({ cron: '* * * * *' }))
  await pass(clock, secondMs)
  clock.advance(3 * dayMs)
  const box = await open(clock, store)
  await pass(clock, secondMs)
  expect(await ids(box)).toEqual(['often.20261129T120000Z', 'report.20261129T080000Z'])
  expect(await row(box)).toMatchObject({ started: 1, missed: 2, nextAtMs: Date.parse('2026-11-30T08:00:00Z') })
  expect(await row(box, 'often')).toMatchObject({ started: 1, missed: 3 * 1_440 - 1 })
  await pass(clock, 60 * secondMs)
  expect(await row(box, 'often')).toMatchObject({ started: 2, missed: 3 * 1_440 - 1 })
})

test.each([
  ['does not exist', '30 2 * * *', '2026-03-28T20:00:00Z', ['20260329T010000Z']],
  [
    'does not exist, every half hour',
    '*/30 1-3 * * *',
    '2026-03-29T00:15:00Z',
    ['20260329T003000Z', '20260329T010000Z'],
  ],
  ['comes twice', '30 2 * * *', '2026-10-24T20:00:00Z', ['20261025T003000Z']],
  ['comes twice, every half hour', '*/30 2 * * *', '2026-10-25T00:15:00Z', ['20261025T003000Z', '20261025T010000Z']],
])('in the night whose hour %s, tasks begin as often as the hour is there', async (_, cron, from, begun) => {
  const clock = clockAt(from)
  const box = await open(clock, await address())
  await box.schedule('night', daily({ cron, timezone: 'Europe/Berlin' }))
  for (const _of of begun) {
    clock.advance((await row(box, 'night')).nextAtMs! - clock.now() - secondMs)
    await pass(clock, 2 * secondMs)
  }
  expect(await ids(box)).toEqual(begun.map((time) => `night.${time}`))
  expect(await row(box, 'night')).toMatchObject({ started: begun.length, missed: 0, skipped: 0 })
})

test('two workers on one file start no occurrence twice, and none is lost', async () => {
  const store = await address()
  const clock = clockAt('2026-11-26T08:00:00Z')
  const boxes = [await open(clock, store), await open(clock, store), await open(clock, store)]
  await boxes[0]!.schedule('a', daily({ cron: '* * * * * *', overlap: 'allow' }))
  await boxes[1]!.schedule('b', daily({ cron: '*/2 * * * * *' }))
  await pass(clock, 20_500)
  const begun = await ids(boxes[2]!)
  expect([begun.filter((id) => id.startsWith('a.')).length, begun.filter((id) => id.startsWith('b.')).length]).toEqual([
    20, 10,
  ])
  for (const [name, count] of [
    ['a', 20],
    ['b', 10],
  ] as const) {
    expect(await row(boxes[2]!, name)).toMatchObject({ started: count, skipped: 0, missed: 0, failed: 0 })
  }
  for (const id of begun) {
    const events = await boxes[2]!.store.read(id)
    expect([events.filter(({ type }) => type === 'task.started').length, events.at(-1)!.type]).toEqual([
      1,
      'task.ended',
    ])
  }
})

describe('a worker that dies when it starts an occurrence', () => {
  /** A store whose commit of a start fails once: before it is written, or after. */
  function failing(store: Store, when: 'before' | 'after'): Store {
    let fails = true
    return new Proxy(store, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        if (name !== 'commit') return value.bind(target) as unknown
        return async (commit: Parameters<Store['commit']>[0]) => {
          if (commit.point !== 'start' || !fails) return target.commit(commit)
          fails = false
          if (when === 'after') await target.commit(commit)
          throw new Fault('STORE_FULL', 'The disk is full.', 'Make room.')
        }
      },
    })
  }

  test.each(['before', 'after'] as const)('%s it was written is replaced: it begins once', async (when) => {
    const clock = clockAt('2026-11-26T07:59:59Z')
    const real = await clock.open(await address())
    const faults: unknown[] = []
    const box = await open(clock, failing(real, when), { onFault: (fault) => faults.push(fault) })
    await box.schedule('report', daily())
    await pass(clock, 3 * secondMs)
    expect(await ids(box)).toEqual(['report.20261126T080000Z'])
    expect(await row(box)).toMatchObject({ started: 1, missed: 0, failed: 0 })
    // News that was lost is found in the log.
    expect(faults.length).toBe(when === 'before' ? 1 : 0)
  })

  test('by SIGKILL, before, inside or after the transaction, is replaced by another process: each begins once', async () => {
    const run = (at: string, killAt: string): Promise<string> => {
      const child = spawn(process.execPath, [join(import.meta.dirname, 'crash/schedule-child.ts'), at, killAt])
      let errors = ''
      child.stderr.on('data', (chunk: Buffer) => (errors += String(chunk)))
      return new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? `${code} ${errors}`)))
    }
    const killAndGoOn = async (killAt: string): Promise<void> => {
      const at = await address()
      expect(await run(at, killAt), killAt).toBe('SIGKILL')
      expect(await run(at, ''), killAt).toBe('0 ')
      const store = await opened(at)
      const [schedule] = await store.schedules({ removed: true })
      const tasks = await store.tasks()
      expect(tasks.length, killAt).toBe(schedule!.started)
      expect(tasks.every(({ status, startedBy }) => status === 'done' && startedBy === 'schedule:often')).toBe(true)
      expect((await store.verify()).findings).toEqual([])
      await store.close()
    }
    await Promise.all(['start before 1', 'start inside 1', 'start after 1', 'start inside 2'].map(killAndGoOn))
  })
})

describe('an occurrence that cannot begin', () => {
  test('because the agent takes other input by now is counted and told once, and the next one is to come', async () => {
    const store = await address()
    const clock = clockAt('2026-11-26T07:59:59Z')
    const before = await open(clock, store, { work: false })
    await before.schedule('report', daily({ input: { note: 'n' } }))
    const faults: unknown[] = []
    const changed = agentOf('quick', { run: () => 'NEXT', on: { NEXT: 'done' } } as never, z.number())
    const box = await open(clock, store, { agents: [changed], onFault: (fault) => faults.push(fault) })
    await pass(clock, 2 * secondMs)
    const after = await row(box)
    expect(after).toMatchObject({ started: 0, failed: 1, nextAtMs: Date.parse('2026-11-27T08:00:00Z') })
    expect(after.problem).toMatch(/^INPUT_INVALID The input of agent quick: note/)
    expect(faults).toMatchObject([{ code: 'INPUT_INVALID' }])
    await clock.until(box.stop(0))
    clock.advance(dayMs)
    const cured = await open(clock, store)
    await pass(clock, secondMs)
    expect(await row(cured)).toMatchObject({ started: 1, failed: 1, missed: 0, problem: null })
  })

  test('because this process cannot read when, is told, and keeps no other from its time', async () => {
    const at = await address()
    const clock = clockAt('2026-11-26T07:59:59Z')
    const faults: unknown[] = []
    const box = await open(clock, at, { onFault: (fault) => faults.push(fault) })
    await box.schedule('a', daily())
    await box.schedule('b', daily())
    await asOwner(at, (sql) => sql(`UPDATE schedules SET timezone = 'Mars/Base' WHERE name = 'a'`))
    await pass(clock, 2 * secondMs)
    expect(await ids(box)).toEqual(['b.20261126T080000Z'])
    expect(faults[0]).toMatchObject({ code: 'SCHEDULE_INVALID' })
  })

  test('because somebody has taken the id of its task is counted, and theirs is left alone', async () => {
    const clock = clockAt('2026-11-26T07:59:59Z')
    const box = await open(clock, await address())
    await box.start('slow', {}, { id: 'report.20261126T080000Z', by: 'ben' })
    await box.schedule('report', daily())
    await pass(clock, 2 * secondMs)
    expect((await row(box)).problem).toContain('TASK_EXISTS Task report.20261126T080000Z exists, started by ben')
    expect(await box.tasks()).toMatchObject([{ agent: 'slow', startedBy: 'ben', status: 'waiting' }])
  })
})

test('only who works on any task of the agent starts its tasks', async () => {
  const store = await address()
  const clock = clockAt('2026-11-26T07:59:59Z')
  const box = await open(clock, store, { work: false })
  await box.schedule('report', daily())
  await open(clock, store, { agents: [slow] })
  await open(clock, store, { only: 'one' })
  await pass(clock, 2 * secondMs)
  expect(await ids(box)).toEqual([])
  await open(clock, store)
  await pass(clock, secondMs)
  expect(await ids(box)).toEqual(['report.20261126T080000Z'])
})

test('a schedule that is removed starts nothing more; who ended it and why stays, and its name is free', async () => {
  const clock = clockAt('2026-11-26T07:59:59Z')
  const box = await open(clock, await address())
  await box.schedule('report', daily({ agent: slow, input: { note: 'private' } }))
  await pass(clock, 2 * secondMs)
  await box.unschedule('report', { by: 'ben', reason: 'enough' })
  clock.advance(dayMs)
  await pass(clock, secondMs)
  expect(await ids(box)).toEqual(['report.20261126T080000Z'])
  expect(await box.schedules()).toEqual([])
  await box.schedule('report', daily({ cron: '0 9 * * *' }))
  expect(await box.schedules({ removed: true })).toMatchObject([
    { cron: '0 8 * * *', removedBy: 'ben', removedReason: 'enough', nextAtMs: null, input: null, started: 1 },
    { cron: '0 9 * * *', removedBy: null, removedAtMs: null, started: 0 },
  ])
  await expect(box.unschedule('other', said)).rejects.toThrow('SCHEDULE_UNKNOWN There is no schedule other')
  await expect(box.upcoming('other')).rejects.toThrow('SCHEDULE_UNKNOWN')
})

describe('refused before anything is written:', () => {
  test.each<[string, string, Partial<ScheduleOptions>, string]>([
    ['a name that no id could begin with', 'a b', {}, 'SCHEDULE_INVALID "a b" cannot be a schedule\'s name.'],
    ['an expression that is none', 'x', { cron: '* * *' }, 'SCHEDULE_INVALID "* * *" is not a cron expression'],
    ['a day that never comes', 'x', { cron: '0 0 30 2 *' }, 'SCHEDULE_INVALID "0 0 30 2 *" never comes round.'],
    ['a timezone that there is not', 'x', { timezone: 'Mars/Base' }, 'SCHEDULE_INVALID "Mars/Base" is not a timezone.'],
    ['a rule that there is not', 'x', { overlap: 'kill' as never }, 'SCHEDULE_INVALID There is no overlap "kill".'],
    ['an agent that is not here', 'x', { agent: 'nobody' }, 'AGENT_UNKNOWN'],
    ['input with a key too many', 'x', { input: { more: 1 } }, 'INPUT_INVALID'],
    ['input of the wrong type', 'x', { input: { note: 1 } }, 'INPUT_INVALID'],
    ['input that is no object', 'x', { input: [] }, 'INPUT_INVALID'],
    ['input that is not JSON', 'x', { input: { note: 1n } }, 'INPUT_INVALID'],
  ])('%s', async (_, name, change, says) => {
    const box = await open(clockAt('2026-11-26T08:00:00Z'), await address(), { work: false })
    await expect(box.schedule(name, daily(change))).rejects.toThrow(says)
    expect(await box.schedules({ removed: true })).toEqual([])
  })

  test('a name that is taken, with the schedule that has it as it was', async () => {
    const box = await open(clockAt('2026-11-26T08:00:00Z'), await address(), { work: false })
    await box.schedule('report', daily())
    const before = await box.schedules()
    await expect(box.schedule('report', daily({ cron: '@hourly' }))).rejects.toThrow('SCHEDULE_EXISTS')
    expect(await box.schedules()).toEqual(before)
  })
})

test('no secret is in a schedule', async () => {
  const secret = 'hunter2-hunter2-hunter2'
  const clock = clockAt('2026-11-26T07:59:59Z')
  const box = await open(clock, await address(), { secrets: { PASSWORD: secret } })
  const says = { by: secret, reason: `because ${secret}` }
  await box.schedule('report', daily({ ...says, input: { note: `it is ${secret}` } }))
  await pass(clock, 2 * secondMs)
  expect((await box.show('report.20261126T080000Z')).context).toEqual({ note: 'it is secret://PASSWORD' })
  await expect(box.schedule(secret, daily())).rejects.not.toThrow(secret)
  await box.unschedule('report', says)
  expect(JSON.stringify(await box.schedules({ removed: true }))).not.toContain('hunter2')
})

test('an agent with a ceiling on money is scheduled where no price is known, since no work is done there', async () => {
  const dear = { ...quick, name: 'dear', limits: { cost: usd(1) } } as Agent<any, any>
  const box = await open(clockAt('2026-11-26T08:00:00Z'), await address(), { agents: [dear], work: false })
  await box.schedule('report', daily({ agent: dear }))
  expect(await row(box)).toMatchObject({ agent: 'dear' })
})
