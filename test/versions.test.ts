// One log, several versions: an engine that meets what only a newer one can read, and a worker that meets tasks of another
// definition of its agent.

import { describe, expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent } from '../src/core/agent.ts'
import { compileChecked } from '../src/core/check.ts'
import { defineContext } from '../src/core/context.ts'
import { noTerms } from '../src/core/draft.ts'
import type { Event } from '../src/core/event.ts'
import { isFault, type FaultCode } from '../src/core/fault.ts'
import { Migrator } from '../src/migrator.ts'
import { createOrchestrator, type Orchestrator, type OrchestratorOptions } from '../src/orchestrator.ts'
import { definitionOf } from '../src/outfit.ts'
import { systemRuntime } from '../src/runtime.ts'
import { genesis, hashOf } from '../src/store/log.ts'
import type { Store } from '../src/store/store.ts'
import { signalbox, storeOf, workplace } from './cli/signalbox.ts'
import { address, opened, test } from './engines.ts'
import { until } from './until.ts'

const agent = defineAgent({
  name: 'a',
  version: '1',
  context: defineContext({ note: { schema: z.string(), initial: 'n' } }),
  initial: 'pause',
  states: {
    pause: { wait: { signal: 'go' }, on: { DONE: 'done', $timeout: 'done' } },
    done: { type: 'final' },
  },
})

async function open(options: Partial<OrchestratorOptions> = {}) {
  const faults: { fault: unknown; taskId: string | undefined }[] = []
  const onFault = (fault: unknown, taskId?: string): void => void faults.push({ fault, taskId })
  const store = options.store ?? (await address())
  const box = await createOrchestrator({ store, agents: [agent], env: {}, onFault, ...options })
  onTestFinished(() => box.stop(100))
  return { box, faults }
}

const codeOf = (doing: Promise<unknown>): Promise<FaultCode | undefined> =>
  doing.then(
    () => undefined,
    (thrown: unknown) => {
      if (!isFault(thrown)) throw thrown
      return thrown.code
    },
  )

/** What a newer engine writes to a task: an event of a type of its own, hashed and chained as any, and the task is due. */
async function writeNewer(store: Store, taskId: string): Promise<void> {
  const { task, head } = await store.load(taskId)
  const fact = { type: 'agent.called', data: { child: 'c' }, at: Date.now(), costMicros: 0 }
  const event = { ...fact, taskId, seq: head.seq + 1 } as unknown as Event
  Object.assign(task, { status: 'running', updatedAtMs: Date.now() })
  expect((await store.commit({ point: 'signal', head, events: [event], task })).ok).toBe(true)
}

/** An export whose log says that it is of a later format, from its first event on. */
function inFormat(text: string, format: number): string {
  const file = JSON.parse(text) as { events: any[] }
  let prevHash = genesis.hash
  for (const [index, event] of file.events.entries()) {
    if (index === 0) event.data = event.data.replace('"input":', `"format":${format},"input":`)
    event.prevHash = prevHash
    prevHash = event.hash = hashOf(event)
  }
  return JSON.stringify(file)
}

describe('A13: a log that a newer engine has written to', () => {
  test('is left alone by a worker, which says so once; other tasks go on, and a newer worker can take it at once', async () => {
    const { box, faults } = await open()
    for (const id of ['newer', 'other']) await (await box.start(agent, {}, { id })).rest()
    await writeNewer(box.store, 'newer')
    await until(() => faults.length > 0)
    await box.signal('other', { name: 'go', data: {}, by: 'test' })
    expect((await box.task('other').result()).outcome).toBe('done')
    // Many looks at the queue later.
    await new Promise((wake) => setTimeout(wake, 1_000))
    expect(faults.map(({ fault, taskId }) => [isFault(fault, 'LOG_NEWER'), taskId])).toEqual([[true, 'newer']])
    expect((faults[0]!.fault as Error).message).toMatch(
      /LOG_NEWER Event 5 of task newer is a "agent.called", .*newer Sig/,
    )
    const { definition, seq } = (await box.store.task('newer'))!
    expect(seq).toBe(5)
    const asked = { worker: 'newer', lease: 'l', leaseMs: 1_000, limit: 1, nowMs: Date.now() }
    const [claim] = await box.store.claim({ ...asked, definitions: [definition] })
    expect(claim?.taskId).toBe('newer')
  })

  test('is refused whole by whoever speaks to it or reads it, and nothing is written', async () => {
    const { box } = await open({ work: false })
    await box.start(agent, {}, { id: 't' })
    await writeNewer(box.store, 't')
    const before = await box.store.readSealed('t')
    const by = { by: 'ana', reason: 'r' }
    const said = [
      box.signal('t', { name: 'go', data: {}, by: 'ana' }),
      box.answer('t.3', { decision: 'yes', ...by }),
      box.cancel('t', by),
      box.rollback('t', { to: 3, ...by }),
      box.erase('t', by),
      box.adopt('t'),
      box.store.read('t'),
      box.events('t').next(),
      box.store.rebuild(),
    ]
    expect(await Promise.all(said.map(codeOf))).toEqual(said.map(() => 'LOG_NEWER'))
    expect(await box.store.readSealed('t')).toEqual(before)
  })

  test('verifies as far as this engine can: the chain holds, and the rest is for a newer one to say', async () => {
    const { box } = await open({ work: false })
    await box.start(agent, {}, { id: 't' })
    await writeNewer(box.store, 't')
    const { findings } = await box.verify()
    expect(findings).toMatchObject([{ taskId: 't', seq: 4, kind: 'newer' }])
  })

  test('can be carried out, and is not taken in, even where only its format is newer', async () => {
    const { box } = await open()
    const task = await box.start(agent, {}, { id: 't' })
    await task.rest()
    await box.signal('t', { name: 'go', data: {}, by: 'test' })
    await task.result()
    const text = await box.export('t')
    const [same, other] = [await open(), await open()]
    await same.box.import(inFormat(text, 1))
    expect((await same.box.verify()).findings).toEqual([])
    expect(await codeOf(other.box.import(inFormat(text, 2)))).toBe('LOG_NEWER')
    await writeNewer(box.store, 't')
    expect(await codeOf(other.box.import(await box.export('t')))).toBe('LOG_NEWER')
    expect(await other.box.tasks()).toEqual([])
  })

  test('is refused at the command line with nothing told of it, and can still be seen as it was hashed', async () => {
    const cwd = await workplace()
    const store = await opened(storeOf(cwd))
    const { box } = await open({ store, work: false })
    await box.start(agent, {}, { id: 't' })
    await writeNewer(store, 't')
    for (const args of [
      ['show', 't'],
      ['log', 't'],
      ['log', 't', '--after', '4'],
      ['log', 't', '--follow'],
      ['signal', 't', 'go'],
    ]) {
      const ran = await signalbox(args, { cwd })
      expect([args, ran.code, ran.stderr.split(' ')[0], ran.stdout]).toEqual([args, 1, 'LOG_NEWER', ''])
    }
    expect((await signalbox(['log', 't', '--raw'], { cwd })).json.map(({ type }) => type as string)).toContain(
      'agent.called',
    )
    const verified = await signalbox(['verify', '--json'], { cwd })
    expect([verified.code, verified.json[0].findings[0].kind]).toEqual([1, 'newer'])
  })
})

describe('a worker that has another definition of an agent', () => {
  const context = defineContext({ goal: { schema: z.string(), initial: 'g' }, grade: z.int().optional() })
  const head = { name: 'clerk', context, initial: 'ask', on: { $timeout: 'failed', $error: 'failed' } } as const
  const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
  const first = defineAgent({
    ...head,
    version: '1',
    states: { ask: { human: { question: 'One?' }, on: { yes: 'done' } }, ...ends },
  })
  const second = defineAgent({
    ...head,
    version: '2',
    states: { ask: { human: { question: 'Two?' }, on: { yes: 'done', no: 'failed' } }, ...ends },
  })
  const taking = (migrate: Agent['migrate']): Agent<any, any> => ({ ...second, migrate }) as never
  const yes = { decision: 'yes', by: 'ana', reason: 'r' }

  async function shared() {
    const store = await opened()
    const worker = async (agents: readonly Agent<any, any>[], more: Partial<OrchestratorOptions> = {}) =>
      open({ store, agents, leaseMs: 60, ...more })
    return { store, worker }
  }

  const answerAll = async (box: Orchestrator): Promise<void> => {
    for (const { item } of await box.inbox()) await box.answer(item, yes)
  }

  test('leaves its tasks alone where nothing says how they would go on; the worker that has theirs goes on', async () => {
    const { store, worker } = await shared()
    const { box: old } = await worker([first])
    const task = await old.start(first, {}, { id: 't' })
    await task.rest()
    await old.drain(100)
    const { box, faults } = await worker([second])
    await answerAll(box)
    await new Promise((wake) => setTimeout(wake, 300))
    expect((await store.task('t'))!.status).toBe('running')
    expect(await codeOf(box.adopt('t'))).toBe('DEFINITION_CHANGED')
    const { box: again } = await worker([first])
    expect((await again.task('t').result()).outcome).toBe('done')
    expect([(await store.task('t'))!.version, faults]).toEqual(['1', []])
  })

  test('moves them with an event where the agent declares migrate, and all that follows from the log follows', async () => {
    const { store, worker } = await shared()
    const { box: old } = await worker([first])
    for (const id of ['a', 'b']) await (await old.start(first, { goal: id }, { id })).rest()
    const before = (await store.task('a'))!
    const { box } = await worker([taking(({ context: { goal } }) => ({ context: { grade: goal.length } }))])
    await until(async () => (await box.inbox()).filter(({ question }) => question === 'Two?').length === 2)
    const after = (await store.task('a'))!
    expect([after.version, after.definition === before.definition, after.status]).toEqual(['2', false, 'waiting'])
    expect(await store.definitions()).toEqual([{ agent: 'clerk', definition: after.definition }])
    expect((await box.show('a')).context).toEqual({ goal: 'a', grade: 1 })
    const moved = (await store.read('a')).find(({ type }) => type === 'task.migrated')
    expect(moved?.data).toMatchObject({
      from: { version: '1', definition: before.definition, state: 'ask' },
      version: '2',
      definition: after.definition,
      state: 'ask',
    })
    // The old question is nobody's any more.
    expect(await codeOf(box.answer('a.4', yes))).toBe('ITEM_CLOSED')
    // Both workers are here; the one that has its definition goes on with it.
    await answerAll(box)
    for (const id of ['a', 'b']) expect((await box.task(id).result()).outcome).toBe('done')
    // Whoever starts it again by its id means the same task, whichever version they have.
    for (const [by, agent] of [
      [old, first],
      [box, second],
    ] as const) {
      expect((await by.start(agent, { goal: 'a' }, { id: 'a' })).id).toBe('a')
    }
    expect((await box.verify()).findings).toEqual([])
    await store.rebuild()
    expect((await box.verify()).findings).toEqual([])
  })

  test('says once why a task cannot be moved, and leaves it to the worker that has its definition', async () => {
    const { store, worker } = await shared()
    const { box: old } = await worker([first])
    await (await old.start(first, {}, { id: 't' })).rest()
    const { box, faults } = await worker([taking(() => ({ context: { grade: 'good' } }))])
    await until(() => faults.length > 0)
    await new Promise((wake) => setTimeout(wake, 300))
    expect(faults.map(({ fault, taskId }) => [isFault(fault, 'MIGRATION_UNFIT'), taskId])).toEqual([[true, 't']])
    expect((await store.task('t'))!.version).toBe('1')
    expect(await codeOf(box.adopt('t'))).toBe('DEFINITION_CHANGED')
    await answerAll(box)
    expect((await old.task('t').result()).outcome).toBe('done')
  })

  test('takes up one task by its id, where it may be moved', async () => {
    const { worker } = await shared()
    const { box: old } = await worker([first])
    await (await old.start(first, {}, { id: 't' })).rest()
    await old.drain(100)
    const { box } = await worker([taking(() => ({}))], { only: 't' })
    await (await box.adopt('t')).rest()
    expect((await box.inbox()).map(({ question }) => question)).toEqual(['Two?'])
  })

  test('takes tasks over from workers that are at work on them: each step is done once, and each task ends', async () => {
    const { store, worker } = await shared()
    const ran = new Map<string, number>()
    const counter = (version: string) =>
      defineAgent({
        name: 'counter',
        version,
        context: defineContext({ id: z.string(), n: { schema: z.int(), initial: 0 } }),
        initial: 'count',
        on: { $error: 'failed', $timeout: 'failed' },
        migrate: version === '2' ? ({ state }) => ({ state: state as 'count' }) : undefined,
        states: {
          count: {
            visits: 50,
            run: ({ context: { id, n } }) => {
              ran.set(`${id} ${n}`, (ran.get(`${id} ${n}`) ?? 0) + 1)
              return { exit: n < 20 ? 'MORE' : 'END', output: { n: n + 1 } }
            },
            on: {
              MORE: { target: 'pause', output: z.object({ n: z.int() }) },
              END: { target: 'done', output: z.object({ n: z.int() }) },
            },
          },
          pause: { visits: 50, wait: { delay: '1ms' }, on: { DONE: 'count' } },
          ...ends,
        },
      })
    // Leases that outlast the test: nothing is done again because a worker was slow.
    const { box: old, faults: one } = await worker([counter('1')], { leaseMs: 60_000 })
    const ids = Array.from({ length: 20 }, (_, index) => `t${index}`)
    for (const id of ids) await old.start('counter', { id } as never, { id })
    const { box, faults: two } = await worker([counter('2')], { leaseMs: 60_000 })
    const to = { definition: definitionOf(counter('2')), machine: compileChecked(counter('2')) }
    const migrator = new Migrator({
      store,
      runtime: systemRuntime,
      terms: noTerms,
      destinations: new Map([['counter', to]]),
      pollMs: 2,
      onFault: (fault) => two.push({ fault, taskId: undefined }),
    })
    migrator.start()
    onTestFinished(() => migrator.stop())
    for (const id of ids) expect((await box.task(id).result()).outcome).toBe('done')
    const versions = (await store.tasks()).map(({ version }) => version)
    expect(versions).toContain('2')
    expect([...ran.values()].filter((times) => times !== 1)).toEqual([])
    expect([one, two]).toEqual([[], []])
    expect((await box.verify()).findings).toEqual([])
  })
})
