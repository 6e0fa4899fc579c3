// What every store must do for a family of tasks: children begin with their parent's word, nobody spends what another has
// taken or writes over what another has written, and whoever has news is due.

import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { cancel } from '../../src/core/command.ts'
import { proceed, settle } from '../../src/core/decide.ts'
import { draft, noTerms, type Draft } from '../../src/core/draft.ts'
import { hear, heed, read, type Kin } from '../../src/core/kin.ts'
import { compile, type Machine } from '../../src/core/machine.ts'
import { pastAt } from '../../src/core/past.ts'
import { rollbackTo } from '../../src/core/rollback.ts'
import { start } from '../../src/core/start.ts'
import { genesis } from '../../src/store/log.ts'
import type { Commit, Committed, Head, Store } from '../../src/store/store.ts'

const context = defineContext({
  note: { schema: z.string(), initial: '' },
  list: { schema: z.array(z.string()), initial: [], merge: 'append' },
})
const on = { $error: 'failed', $timeout: 'failed' } as const
const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const asker = defineAgent({
  name: 'asker',
  version: '1',
  context,
  initial: 'think',
  on,
  states: {
    think: {
      model: 'main',
      prompt: 'p',
      outputTokens: 300,
      on: { OK: { target: 'done', output: z.object({ note: z.string() }) }, ASK: 'ask' },
    },
    ask: { human: { question: 'q' }, on: { YES: 'done' } },
    ...ends,
  },
})
const pair = defineAgent({
  name: 'pair',
  version: '1',
  context,
  limits: { tokens: 800, soft: 0.99 },
  initial: 'fan',
  on,
  states: { fan: { agent: asker, each: () => [{}, {}], on: { DONE: 'done', FAILED: 'failed' } }, ...ends },
})
const [parent, child] = [compile(pair as never), compile(asker as never)]
const usage = {
  inputTokens: 50,
  outputTokens: 20,
  cachedInputTokens: null,
  cacheWriteTokens: null,
  reasoningTokens: null,
}

/** What was decided on a task, and what it was decided on. */
interface Decided {
  readonly work: Draft
  readonly head: Head
  readonly kin: Kin | undefined
}

export function familyContract(engine: string, openStore: () => Promise<Store>): void {
  const open = async (): Promise<Store> => {
    const store = await openStore()
    onTestFinished(() => store.close())
    return store
  }
  let nowMs = 1_000

  /** Decides on a task as a worker would, and writes nothing yet. */
  async function decide(
    store: Store,
    taskId: string,
    machine: Machine,
    act: (work: Draft) => void = () => undefined,
  ): Promise<Decided> {
    const { task, head } = await store.load(taskId)
    const kin = task.tree && (await store.kin(task))
    const work = draft(task, (nowMs += 10), { ...noTerms, tree: kin?.tree })
    if (kin) hear(machine, work, kin)
    act(work)
    if (kin) heed(work, kin)
    proceed(machine, work)
    return { work, head, kin }
  }

  function write(store: Store, { work, head, kin }: Decided, more: Partial<Commit> = {}): Promise<Committed> {
    const { events, task, children } = work
    return store.commit({ point: 'settle', head, events, task, children, kin, ...more })
  }

  const go = async (store: Store, taskId: string, machine: Machine, act?: (work: Draft) => void): Promise<Committed> =>
    write(store, await decide(store, taskId, machine, act))
  const answer =
    (name: string, input: object = {}) =>
    (work: Draft): void => {
      const [step] = work.task.open.values()
      const content = [{ type: 'call' as const, id: '', name, arguments: input as never }]
      const said = { provider: 'p', modelId: 'm', content, finish: 'tool-calls' as const, usage }
      settle(child, work, { kind: 'model', answer: said, step: step!.step, attempt: 1, latencyMs: 1 })
    }

  /** A parent with two children, none of which has done anything yet. */
  async function begin(store: Store): Promise<void> {
    const begun = start(parent, { taskId: 't', definition: 'pair', input: {}, by: 'test', seed: 1 }, nowMs)
    await store.commit({ point: 'start', head: genesis, events: begun.events, task: begun.task })
    expect(await go(store, 't', parent)).toMatchObject({ ok: true })
  }

  describe(`${engine}: a family`, () => {
    test('children begin in the commit in which their parent says so, or not at all', async () => {
      const store = await open()
      await begin(store)
      expect(await store.tasks({ parentId: 't' })).toMatchObject([{ rootId: 't' }, { rootId: 't' }])
      expect(await store.nextDueMs(['asker'])).not.toBeNull()
      expect(await store.task('t')).toMatchObject({ status: 'waiting', waitsFor: 'child', rootId: 't' })
      const other = await open()
      const begun = start(parent, { taskId: 't', definition: 'pair', input: {}, by: 'test', seed: 1 }, nowMs)
      await other.commit({ point: 'start', head: genesis, events: begun.events, task: begun.task })
      const decided = await decide(other, 't', parent)
      expect(await write(other, { ...decided, head: { ...decided.head, hash: genesis.hash } })).toMatchObject({
        ok: false,
        reason: 'conflict',
      })
      expect(await other.tasks()).toHaveLength(1)
      expect((await other.verify()).findings).toEqual([])
    })

    test('I6: what two decide to spend at once, of which there is room for one, one of them may', async () => {
      const store = await open()
      await begin(store)
      const both = [await decide(store, 't:1', child), await decide(store, 't:2', child)] as const
      for (const { work } of both) expect(work.events.at(-1)!.type).toBe('model.called')
      expect(await write(store, both[0])).toMatchObject({ ok: true })
      expect(await write(store, both[1])).toEqual({ ok: false, reason: 'kin' })
      expect((await store.read('t:2')).at(-1)!.type).toBe('state.entered')
      // On what is known now there is less room, and it is waited for.
      const again = await decide(store, 't:2', child)
      expect(again.work.events.at(-1)).toMatchObject({ type: 'budget.awaited', data: { why: 'reserved' } })
      expect(await write(store, again)).toMatchObject({ ok: true })
      expect((await store.verify()).findings).toEqual([])
    })

    test('who would wait for room that has come free since it looked does not wait', async () => {
      const store = await open()
      await begin(store)
      await go(store, 't:1', child)
      const waits = await decide(store, 't:2', child)
      expect(waits.work.task.awaits).toMatchObject({ limit: 'tokens', why: 'reserved' })
      expect(await go(store, 't:1', child, answer('OK', { note: 'x' }))).toMatchObject({ ok: true })
      expect(await write(store, waits)).toEqual({ ok: false, reason: 'kin' })
      expect((await decide(store, 't:2', child)).work.events.at(-1)!.type).toBe('model.called')
    })

    test('who waits for room is due when there is some', async () => {
      const store = await open()
      await begin(store)
      await go(store, 't:1', child)
      await go(store, 't:2', child)
      const dueMs = (await store.nextDueMs(['asker'], 't:2'))!
      expect(dueMs).toBeGreaterThan(nowMs + 1_000)
      await go(store, 't:1', child, answer('OK', { note: 'x' }))
      expect(await store.nextDueMs(['asker'], 't:2')).toBeLessThanOrEqual(nowMs)
    })

    test('a shared key is written on top of what is there, or not at all', async () => {
      const store = await open()
      await begin(store)
      await go(store, 't:1', child)
      await go(store, 't:1', child, answer('OK', { note: 'first' }))
      await go(store, 't:2', child)
      // As it was before it heard of the first.
      const { task, head } = await store.load('t:2')
      task.versions.set('note', 1)
      const kin = await store.kin(task)
      const late = draft(task, (nowMs += 10), { ...noTerms, tree: kin.tree })
      answer('OK', { note: 'second' })(late)
      proceed(child, late)
      expect(late.events.some(({ type }) => type === 'context.written')).toBe(true)
      expect(await write(store, { work: late, head, kin })).toEqual({ ok: false, reason: 'kin' })
      expect(await store.context('t')).toMatchObject([{ key: 'list' }, { key: 'note', value: 'first' }])
    })

    test('who goes back on what it knows, while a child writes to its context, looks again, and sets that back too', async () => {
      const store = await open()
      await begin(store)
      await go(store, 't:1', child)
      const log = await store.read('t')
      const back = async (): Promise<Decided> => {
        const { task, head } = await store.load('t')
        const kin = await store.kin(task)
        const work = draft(task, (nowMs += 10), { ...noTerms, tree: kin.tree })
        read(work, kin)
        rollbackTo(work, pastAt('t', log, log.length), { asked: log.length, by: 'ana', reason: 'r' })
        return { work, head, kin }
      }
      const early = await back()
      await go(store, 't:1', child, answer('OK', { note: 'by a child' }))
      expect(await write(store, early)).toEqual({ ok: false, reason: 'kin' })
      expect(await write(store, await back())).toMatchObject({ ok: true })
      expect(await go(store, 't', parent)).toMatchObject({ ok: true })
      expect(await store.context('t')).toMatchObject([{ key: 'list' }, { key: 'note', value: '' }])
      expect((await store.verify()).findings).toEqual([])
    })

    test('the end of a child makes its parent due, also when it comes while the parent lays itself down', async () => {
      const store = await open()
      await begin(store)
      await go(store, 't:1', child)
      const request = { worker: 'w', lease: 'l', leaseMs: 60_000, limit: 1, definitions: ['pair'] }
      const { task } = await store.load('t')
      const dueMs = (await store.nextDueMs(['pair']))!
      expect(dueMs).toBeGreaterThan(nowMs + 1_000)
      expect(await store.claim({ ...request, nowMs: dueMs })).toHaveLength(1)
      const looked = await decide(store, 't', parent)
      await go(store, 't:1', child, answer('OK', { note: 'x' }))
      expect(
        await write(store, { ...looked, work: { ...looked.work, task } }, { lease: 'l', keep: false }),
      ).toMatchObject({
        ok: true,
      })
      expect(await store.nextDueMs(['pair'])).toBeLessThanOrEqual(nowMs)
      const heard = await decide(store, 't', parent)
      expect(heard.work.events).toMatchObject([
        { type: 'context.synced' },
        { type: 'child.ended', data: { child: 't:1' } },
      ])
    })

    test('a child that waits for a human only is due when it is called off, and told by whom', async () => {
      const store = await open()
      await begin(store)
      await go(store, 't:1', child)
      await go(store, 't:1', child, answer('ASK'))
      expect(await store.nextDueMs(['asker'], 't:1')).toBeGreaterThan(nowMs + 1_000)
      await go(store, 't', parent, (work) => cancel(work, { by: 'ana', reason: 'enough' }))
      expect(await store.nextDueMs(['asker'], 't:1')).toBeLessThanOrEqual(nowMs)
      const { work } = await decide(store, 't:1', child)
      expect(work.events.find(({ type }) => type === 'task.cancelled')).toMatchObject({ data: { by: 'ana' } })
      await go(store, 't:1', child)
      await go(store, 't:2', child)
      expect(await store.isRestless('t')).toBe(false)
      expect((await store.verify()).findings).toEqual([])
      await store.rebuild()
      expect((await store.verify()).findings).toEqual([])
    })
  })
}
