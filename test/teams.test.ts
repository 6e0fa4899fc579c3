// Any team, whatever its members do and whenever its workers die: every task comes to its end or is in the inbox, the
// ledger of the tree is never overrun, every log tells what is stored, and no child is without a parent that knows it.

import fc from 'fast-check'
import { expect } from 'vitest'
import { compileChecked } from '../src/core/check.ts'
import type { Event } from '../src/core/event.ts'
import { isFault } from '../src/core/fault.ts'
import { createOrchestrator, type Orchestrator } from '../src/orchestrator.ts'
import type { Store } from '../src/store/store.ts'
import { whole } from './campaign.ts'
import { VirtualClock } from './clock.ts'
import { address, engine, test } from './engines.ts'
import { anyModel, drawFrom, mortal, randomTeam, type Acts } from './team.ts'
import { history, keepOrder, proveBudget } from './tree.ts'

/** A machine of the seed that may run. */
function soundTeam(seed: number, acts: Acts) {
  for (let tries = 0; ; tries += 1) {
    const team = randomTeam(drawFrom(seed + tries * 7_919), acts)
    try {
      compileChecked(team)
      return team
    } catch (thrown) {
      if (!isFault(thrown, 'AGENT_UNSOUND') || tries > 200) throw thrown
    }
  }
}

interface World {
  readonly store: Store
  readonly written: readonly Event[]
  readonly acts: Acts
}

/** Plays a team to where nothing but people could move it; `deaths` are the writes after which each worker dies. */
async function play(seed: number, deaths: readonly number[]): Promise<World> {
  const clock = new VirtualClock()
  const written: Event[] = []
  const acts: Acts = new Map()
  const team = soundTeam(seed, acts)
  const draw = drawFrom(seed ^ 0x55)
  const inMemory = engine() === 'SQLite'
  const at = inMemory ? 'sqlite::memory:' : await address()
  const store = await clock.open(at)
  if (!inMemory) await keepOrder(at)
  const boxes: Orchestrator[] = []
  const begin = async (writes: number) => {
    const { store: seen, isDead } = mortal(store, writes, written)
    const options = { agents: [team], models: { main: anyModel(draw) }, env: {}, runtime: clock, leaseMs: 5_000 }
    const box = await createOrchestrator({ store: seen, ...options, onFault: () => undefined })
    boxes.push(box)
    return { box, isDead }
  }
  const speaker = await createOrchestrator({
    store: mortal(store, Infinity, written).store,
    runtime: clock,
    env: {},
    work: false,
  })
  let [worker, next] = [await begin(deaths[0] ?? Infinity), 1]
  const started = await createOrchestrator({
    store: mortal(store, Infinity, written).store,
    agents: [team],
    models: { main: anyModel(draw) },
    runtime: clock,
    env: {},
    work: false,
  })
  await started.start(team, {}, { id: 't' })
  let steps = 0
  const step = async (over: () => boolean): Promise<void> => {
    steps += 1
    if (steps > 60_000) throw new Error(`seed ${seed}, deaths ${deaths.join()}: it never comes to rest`)
    await clock.step(over)
    if (worker.isDead()) worker = await begin(deaths[next++] ?? Infinity)
  }
  for (let round = 0; round < 30; round += 1) {
    let over = false
    const rested = speaker.task('t').rest()
    rested.then(
      () => (over = true),
      () => (over = true),
    )
    while (!over) await step(() => over)
    // The root may be through with its children before they know.
    while (await store.isRestless('t')) await step(() => false)
    const { inbox } = await rested
    if (inbox.length === 0) break
    for (const { item, options, kind } of inbox) {
      // Who says that a doubted call was not done has it made again.
      const honest = kind === 'doubt' ? options.filter((option) => option !== 'retry') : options
      const decision = honest[draw(honest.length)]!
      const answered = speaker.answer(item, { decision, by: 'ana', reason: 'r' }).catch((thrown: unknown) => {
        if (!isFault(thrown, 'ITEM_CLOSED')) throw thrown
      })
      await clock.until(answered)
    }
  }
  // The answers of a server may overtake each other.
  return { store, written: inMemory ? written : await history({ store }, at), acts }
}

async function prove({ store, written, acts }: World): Promise<void> {
  expect((await store.verify()).findings).toEqual([])
  proveBudget(written)
  for (const [key, times] of acts) expect(times, key).toBe(1)
  const rows = await store.tasks({ limit: 10_000 })
  const logs = new Map(await Promise.all(rows.map(async ({ taskId }) => [taskId, await store.read(taskId)] as const)))
  const started = new Map<string, string>()
  for (const [taskId, events] of logs) {
    for (const { type, data } of events) if (type === 'child.started') started.set(data.child, taskId)
  }
  const over = (status: string): boolean => ['done', 'failed', 'cancelled'].includes(status)
  for (const { taskId, parentId, status, waitsFor, outcome } of rows) {
    expect(started.get(taskId) ?? null, taskId).toBe(parentId)
    started.delete(taskId)
    // Nothing is left that time or a worker would move.
    if (!over(status)) expect(['human', 'signal', 'child'], `${taskId} ${status}`).toContain(waitsFor)
    if (waitsFor === 'child')
      expect(
        rows.some((row) => row.parentId === taskId && !over(row.status)),
        taskId,
      ).toBe(true)
    const parent = parentId === null ? [] : logs.get(parentId)!
    for (const { type, data } of parent) {
      if (type === 'child.ended' && data.child === taskId) expect(data.outcome).toBe(outcome)
      if (type === 'child.calledOff' && data.child === taskId)
        expect(over(status), `${taskId} is called off`).toBe(true)
    }
  }
  expect([...started.keys()]).toEqual([])
  const before = await store.tasks({ limit: 10_000 })
  await store.rebuild()
  expect(await store.tasks({ limit: 10_000 })).toEqual(before)
  expect((await store.verify()).findings).toEqual([])
  await store.close()
}

const runs = Number(process.env['SIGNALBOX_TEAMS'] ?? (whole ? 5_000 : 150))
/** A team in a server takes ten times as long. */
const runsOnPostgres = Math.ceil(runs / 10)

test('any team, any outcome, any death of its workers', { timeout: 600_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.array(fc.integer({ min: 1, max: 25 }), { maxLength: 5 }), async (seed, deaths) =>
      prove(await play(seed, deaths)),
    ),
    { numRuns: engine() === 'SQLite' ? runs : runsOnPostgres },
  )
})
