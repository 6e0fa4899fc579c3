// Many workers, each a process, on one store: they are listed, they are fenced, they are not stopped by a task that takes
// its workers down with it, and their own clocks do not count.

import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createOrchestrator } from 'signalbox'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openStore } from '../src/store/open.ts'
import { systemRuntime } from '../src/runtime.ts'
import { defaults } from '../src/core/limits.ts'
import { whole } from './campaign.ts'
import { root, signalbox, start } from './cli/signalbox.ts'
import { engines, postgres } from './engines.ts'
import { folder } from './folder.ts'
import { until } from './until.ts'

const file = join(root, 'test/workers/agents.ts')
// As the worker loads it. What is imported here has another text, and with it another definition.
const { plain, slow, sleeper } = createRequire(import.meta.url)(file) as typeof import('./workers/agents.ts')

async function place(store: string) {
  const cwd = folder()
  const box = await createOrchestrator({ store, agents: [plain, slow, sleeper], work: false })
  onTestFinished(() => box.stop())
  const work = (flags: readonly string[] = [], env: Record<string, string> = {}) => {
    const worker = start(['worker', file, '--json', '--store', store, ...flags], { cwd, env })
    return { ...worker, isUp: worker.said('"started"') }
  }
  /** What the tool that says who called it has been told, as [process, attempt, key]. */
  // What has been written whole: who is stopped meanwhile may have made the file, and written nothing yet.
  const acts = (): string[][] =>
    existsSync(join(cwd, 'acts'))
      ? readFileSync(join(cwd, 'acts'), 'utf8')
          .split('\n')
          .slice(0, -1)
          .map((line) => line.split(' '))
      : []
  return { cwd, box, store, work, acts }
}

describe.each(engines)('$name', (engine) => {
  const many = whole ? 10_000 : 1_000

  test(
    `A46: of ${many} tasks one kills its worker each time: it is parked after some deliveries, and the others are done`,
    { timeout: 180_000 },
    async () => {
      const { box, work } = await place(await engine.address())
      const poison = await box.start(plain, { poison: true }, { id: 'poison' })
      await Promise.all(Array.from({ length: many - 1 }, () => box.start(plain, {})))
      let deaths = 0
      let over = false
      let last: ReturnType<typeof work> | undefined
      const keepOn = async (): Promise<void> => {
        while (!over) {
          last = work(['--lease', '400ms', '--concurrency', '50'])
          const { code } = await last.ended
          if (code === null) deaths += 1
        }
      }
      const keeping = keepOn()
      onTestFinished(() => void (over = true))
      const parked = await poison.rest()
      expect(parked).toMatchObject({ status: 'waiting', waitsFor: 'human' })
      expect(deaths).toBe(defaults.deliveries)
      await until(async () => (await box.tasks({ status: 'done', limit: many })).length === many - 1, 10_000)
      const [item, ...more] = await box.inbox()
      expect(more).toEqual([])
      expect(item).toMatchObject({ taskId: 'poison', kind: 'escalation', options: ['retry', 'end'] })
      expect(item!.question).toContain(`given to a worker ${defaults.deliveries} times`)
      await box.answer(item!.item, { decision: 'end', by: 'ana', reason: 'it is broken' })
      expect((await poison.result()).status).toBe('failed')
      over = true
      last?.child.kill('SIGTERM')
      await keeping
      expect((await box.verify()).findings).toEqual([])
    },
  )

  test('I13: a worker that is stopped past its lease and woken writes nothing, and another has done its task', async () => {
    const { box, work, acts } = await place(await engine.address())
    const first = work(['--lease', '500ms'])
    await first.isUp
    const task = await box.start(slow, { forMs: 700 }, { id: 't' })
    await until(() => acts().length === 1)
    first.child.kill('SIGSTOP')
    onTestFinished(() => void first.child.kill('SIGCONT'))
    const second = work(['--lease', '500ms'])
    expect((await task.result()).outcome).toBe('done')
    const log = await box.store.readSealed('t')
    first.child.kill('SIGCONT')
    await new Promise((wake) => setTimeout(wake, 1_500))
    expect(await box.store.readSealed('t')).toEqual(log)
    expect(acts().map(([pid, attempt]) => [Number(pid), attempt])).toEqual([
      [first.child.pid, '1'],
      [second.child.pid, '2'],
    ])
    expect(new Set(acts().map(([, , key]) => key)).size).toBe(1)
    // And it goes on with others as if nothing had been.
    second.child.kill('SIGTERM')
    await second.ended
    expect((await (await box.start(slow, { forMs: 1 })).result()).outcome).toBe('done')
    expect((await box.verify()).findings).toEqual([])
  })

  test('workers are listed while they are there, with what they work on', async () => {
    const { box, work, store, cwd } = await place(await engine.address())
    expect((await signalbox(['workers', '--store', store])).stderr).toContain('Nobody works on this store.')
    const worker = work(['--concurrency', '7'])
    await worker.isUp
    await until(async () => (await box.workers()).length === 1)
    const { json } = await signalbox(['workers', '--store', store, '--json'], { cwd })
    expect(json).toMatchObject([
      { pid: worker.child.pid, concurrency: 7, held: 0, status: 'working', queues: ['default'] },
    ])
    expect((await signalbox(['workers', '--store', store])).stdout).toMatch(/plain, sleeper, slow/)
    worker.child.kill('SIGTERM')
    expect((await worker.ended).code).toBe(0)
    expect(await box.workers()).toEqual([])
  })

  test('ten workers that start at once on nothing at all make the store once', { timeout: 120_000 }, async () => {
    const { cwd } = { cwd: folder() }
    const store = await engine.address()
    const workers = Array.from({ length: 10 }, () => start(['worker', file, '--json', '--store', store], { cwd }))
    await Promise.all(workers.map((worker) => worker.said('"started"')))
    const opened = await openStore(store, { runtime: systemRuntime, create: false })
    await until(async () => (await opened.workers()).length === 10)
    await opened.close()
    for (const { child } of workers) child.kill('SIGTERM')
    expect(await Promise.all(workers.map(async ({ ended }) => (await ended).code))).toEqual(Array(10).fill(0))
  })
})

// On SQLite all workers are on one machine, and have one clock.
test('C04: a worker whose clock is ten minutes ahead changes nothing where the database has the clock', async () => {
  const { box, work, acts } = await place(await postgres.address())
  const right = work(['--lease', '1s', '--concurrency', '2'])
  const wrong = work(['--lease', '1s', '--concurrency', '2'], {
    NODE_OPTIONS: `--import ${join(root, 'test/workers/other-clock.ts')}`,
  })
  await Promise.all([right.isUp, wrong.isUp])
  const beganMs = Date.now()
  const tasks = await Promise.all([
    ...Array.from({ length: 8 }, () => box.start(sleeper, {})),
    ...Array.from({ length: 8 }, () => box.start(slow, { forMs: 1_300 })),
  ])
  const views = await Promise.all(tasks.map((task) => task.result()))
  const endedMs = Date.now()
  expect(views.map(({ outcome }) => outcome)).toEqual(Array(16).fill('done'))
  // Nobody took a task from whoever had it, and both had some.
  expect(acts().map(([, attempt]) => attempt)).toEqual(Array(8).fill('1'))
  expect(new Set(acts().map(([pid]) => Number(pid)))).toEqual(new Set([right.child.pid, wrong.child.pid]))
  for (const { taskId, agent } of views) {
    const log = await box.store.read(taskId)
    for (const { at } of log) expect(at).toBeGreaterThanOrEqual(beganMs - 50)
    for (const { at } of log) expect(at).toBeLessThanOrEqual(endedMs + 50)
    // Two waits of half a second take no less.
    if (agent === 'sleeper') expect(log.at(-1)!.at - log[0]!.at).toBeGreaterThanOrEqual(1_000)
  }
  expect((await box.verify()).findings).toEqual([])
})
