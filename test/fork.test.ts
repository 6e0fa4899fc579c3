// A fork: a new task where another one was. What the other one did outside stands, and is never done again unasked.

import { describe, expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { compile } from '../src/core/machine.ts'
import { plainRedactor } from '../src/core/redact.ts'
import { replay } from '../src/core/replay.ts'
import { defineTool } from '../src/core/tool.ts'
import { createOrchestrator, type Orchestrator, type OrchestratorOptions } from '../src/orchestrator.ts'
import { definitionOf, readToTell } from '../src/outfit.ts'
import { opened, test } from './engines.ts'
import { until } from './until.ts'

const context = defineContext({
  goal: { schema: z.string(), initial: 'g' },
  list: { schema: z.array(z.string()), initial: [], merge: 'append' },
})
const listed = z.object({ list: z.array(z.string()) })
const by = { by: 'ana', reason: 'what if' }

/** What was done outside, in order. */
type Ledger = string[]

function pay(ledger: Ledger, name = 'pay', more: object = {}) {
  return defineTool({
    name,
    description: `Does ${name}.`,
    inputSchema: z.object({ x: z.string() }),
    effect: 'external',
    idempotent: true,
    undo: ({ x }) => void ledger.push(`un${name} ${x}`),
    ...more,
    execute: ({ x }, { idempotencyKey }) => {
      ledger.push(`${name} ${x} ${idempotencyKey}`)
      return x
    },
  })
}

/** Books, thinks, pays, and asks. */
function trip(ledger: Ledger, change: object = {}, more: object = {}): Agent<any, any> {
  return defineAgent({
    name: 'trip',
    version: '1',
    context,
    initial: 'book',
    on: { $error: 'failed', $timeout: 'failed', $refused: 'failed', $doubt: 'failed' },
    states: {
      book: {
        tool: pay(ledger, 'book'),
        args: () => ({ x: 'hotel' }),
        exit: () => ({ exit: 'DONE', output: { list: ['booked'] } }),
        on: { DONE: { target: 'pay', output: listed } },
      },
      pay: {
        checkpoint: 'booked',
        tool: pay(ledger),
        args: () => ({ x: '5' }),
        exit: () => ({ exit: 'DONE', output: { list: ['paid'] } }),
        on: { DONE: { target: 'ask', output: listed } },
        ...change,
      },
      ask: { human: { question: 'Well?' }, on: { yes: 'done', again: 'book' } },
      done: { type: 'final' },
      failed: { type: 'final', failure: true },
    },
    ...more,
  } as never)
}

async function open(
  agents: readonly Agent<any, any>[],
  options: Partial<OrchestratorOptions> = {},
): Promise<Orchestrator> {
  const box = await createOrchestrator({ store: await opened(), agents, env: {}, ...options })
  onTestFinished(() => box.stop(100))
  return box
}

/** A task of the trip that has booked and paid, and asks. */
async function asked(ledger: Ledger, agent = trip(ledger)): Promise<Orchestrator> {
  const box = await open([agent])
  await box.start(agent, {}, { id: 't' })
  await box.task('t').rest()
  return box
}

describe('A fork', () => {
  test('begins with the context of then, names what it comes from, and leaves that as it is', async () => {
    const ledger: Ledger = []
    const box = await asked(ledger)
    const before = await box.store.read('t')
    const forked = await box.fork('t', { at: 'booked', id: 'f', ...by })
    const entered = before.find(({ type, data }) => type === 'state.entered' && data.state === 'pay')!
    expect(forked).toMatchObject({ taskId: 'f', from: 't', seq: entered.seq, state: 'pay' })
    expect(forked.deeds).toEqual([
      { task: 't', step: 1, tool: 'book', arguments: { x: 'hotel' }, result: 'hotel', since: false },
      { task: 't', step: 2, tool: 'pay', arguments: { x: '5' }, result: '5', since: true },
    ])
    const events = await box.store.read('f', { limit: 5 })
    expect(events.map(({ type }) => type)).toEqual([
      'task.started',
      'task.forked',
      'context.written',
      'context.written',
      'state.entered',
    ])
    expect(events[1]!.data).toEqual({
      from: 't',
      seq: entered.seq,
      asked: 'booked',
      state: 'pay',
      deeds: forked.deeds,
      ...by,
    })
    expect((await box.task('f').rest()).context).toEqual({ goal: 'g', list: ['booked'] })
    expect(await box.store.read('t')).toEqual(before)
    expect((await box.verify()).findings).toEqual([])
  })

  test('does nothing again that was done since, without a human; agreed to, it is done under a key of its own', async () => {
    const ledger: Ledger = []
    const box = await asked(ledger)
    await box.fork('t', { at: 'booked', id: 'f', ...by })
    const [item] = (await box.task('f').rest()).inbox
    expect(item).toMatchObject({
      kind: 'approval',
      show: { reasons: [{ rule: 'fork', reason: 'pay was called by t in step 2, and that stands' }] },
    })
    expect(ledger).toEqual(['book hotel t.1', 'pay 5 t.2'])
    await box.answer(item!.item, { decision: 'approve', ...by })
    const view = await box.task('f').rest()
    expect([view.state, view.context['list']]).toEqual(['ask', ['booked', 'paid']])
    expect(ledger).toEqual(['book hotel t.1', 'pay 5 t.2', 'pay 5 f.1'])
  })

  test('that is told no does not do it, and what it is rolled back by is only its own', async () => {
    const ledger: Ledger = []
    const box = await asked(ledger)
    await box.fork('t', { at: 'booked', id: 'f', ...by })
    await box.task('f').rest()
    const [item] = await box.inbox({ taskId: 'f' })
    await box.answer(item!.item, { decision: 'reject', ...by })
    expect((await box.task('f').result()).outcome).toBe('failed')
    const plan = await box.rollback('f', { to: 'booked', ...by })
    expect([plan.undo, plan.without]).toEqual([[], []])
    expect(ledger).toEqual(['book hotel t.1', 'pay 5 t.2'])
  })

  test('comes upon what was done before it, and asks about the same arguments only', async () => {
    const ledger: Ledger = []
    const box = await asked(ledger)
    await box.fork('t', { at: (await box.show('t')).seq, id: 'f', ...by })
    const [question] = (await box.task('f').rest()).inbox
    await box.answer(question!.item, { decision: 'again', ...by })
    const [item] = (await box.task('f').rest()).inbox
    expect(item).toMatchObject({ kind: 'approval', show: { tool: 'book', reasons: [{ rule: 'fork' }] } })
    expect(ledger).toEqual(['book hotel t.1', 'pay 5 t.2'])

    const other = trip(
      ledger,
      {},
      { states: { ...trip(ledger).states, book: { ...trip(ledger).states['book'], args: () => ({ x: 'hut' }) } } },
    )
    const mended = await open([other], { store: box.store, work: false })
    await mended.fork('t', { at: (await box.show('t')).seq, id: 'g', ...by })
    expect((await mended.store.task('g'))!.definition).toBe(definitionOf(other))
  })

  test('of a task whose call is under way knows of it, and asks', async () => {
    let release = (): void => undefined
    const ledger: Ledger = []
    const slow = { execute: () => new Promise<string>((resolve) => (release = () => resolve('5'))) }
    const agent = trip(ledger, { tool: { ...pay(ledger), ...slow } })
    const box = await open([agent])
    await box.start(agent, {}, { id: 't' })
    await until(async () =>
      (await box.store.read('t')).some(({ type, data }) => type === 'tool.called' && data.tool === 'pay'),
    )
    const { deeds } = await box.fork('t', { at: 'booked', id: 'f', ...by })
    expect(deeds.at(-1)).toEqual({ task: 't', step: 2, tool: 'pay', arguments: { x: '5' }, since: true })
    expect((await box.task('f').rest()).inbox).toMatchObject([{ kind: 'approval' }])
    release()
    await box.task('t').rest()
  })

  test('under the agent of today goes on as that says, and its log is told again by it', async () => {
    const ledger: Ledger = []
    const box = await asked(ledger)
    const agent = trip(ledger, { args: () => ({ x: '6' }) }, { version: '2' })
    const mended = await open([agent], { store: box.store })
    await mended.fork('t', { at: 'booked', id: 'f', ...by })
    const [item] = (await mended.task('f').rest()).inbox
    // Other arguments, and the same tool: since then it may be what was meant.
    expect(item).toMatchObject({ kind: 'approval', show: { arguments: { x: '6' } } })
    await mended.answer(item!.item, { decision: 'approve', ...by })
    await mended.task('f').rest()
    const { terms } = await readToTell({ agents: [agent], env: {} }, plainRedactor)
    const { verdict, from } = replay(compile(agent), await box.store.read('f'), terms)
    expect([verdict, from]).toEqual(['same', 6])
  })

  test('of a tree knows what its children did, and so do its own', async () => {
    const ledger: Ledger = []
    const leaf = defineAgent({
      name: 'leaf',
      version: '1',
      context,
      initial: 'go',
      on: { $error: 'failed', $timeout: 'failed', $refused: 'failed', $doubt: 'failed' },
      states: {
        go: { tool: pay(ledger), args: () => ({ x: '1' }), on: { DONE: 'done' } },
        done: { type: 'final' },
        failed: { type: 'final', failure: true },
      },
    } as never)
    const root = defineAgent({
      name: 'root',
      version: '1',
      context,
      initial: 'go',
      states: {
        go: { agent: leaf, on: { done: 'done', failed: 'failed', $error: 'failed', $timeout: 'failed' } },
        done: { type: 'final' },
        failed: { type: 'final', failure: true },
      },
    } as never)
    const box = await open([root])
    await box.start(root, {}, { id: 't' })
    await box.task('t').result()
    const { deeds } = await box.fork('t', { at: 5, id: 'f', ...by })
    expect(deeds).toEqual([{ task: 't:1', step: 1, tool: 'pay', arguments: { x: '1' }, result: '1', since: true }])
    expect((await box.task('f').rest()).inbox).toMatchObject([{ taskId: 'f:1', kind: 'approval' }])
    expect(ledger).toEqual(['pay 1 t:1.1'])
    expect((await box.verify()).findings).toEqual([])
    await expect(box.fork('t:1', { at: 4, id: 'g', ...by })).rejects.toMatchObject({
      code: 'FORK_INVALID',
      message: expect.stringContaining('Fork the root of its tree: signalbox fork t --at SEQ.'),
    })
  })

  test('that cannot be is refused by name, and nothing is written', async () => {
    const ledger: Ledger = []
    const box = await asked(ledger)
    const refused = async (at: number | string, id = 'f', of = 't', from = box): Promise<string> => {
      const thrown: unknown = await from.fork(of, { at, id, ...by }).catch((error: unknown) => error)
      return (thrown as Error).message.split(' ').slice(0, 9).join(' ')
    }
    expect(await refused(99)).toBe('FORK_INVALID Task t has no event 99. Nothing was')
    expect(await refused(1)).toBe('FORK_INVALID At event 1 task t had not entered')
    expect(await refused('nowhere')).toBe('FORK_INVALID Task t has not passed a checkpoint "nowhere".')
    expect(await refused(5, 't')).toBe('TASK_EXISTS There is a task t here already. Nothing')
    expect(await refused(5, 'a b')).toMatch(/^INPUT_INVALID /)
    expect(await refused(5, 'f', 'nobody')).toMatch(/^TASK_UNKNOWN /)
    const [question] = await box.inbox()
    await box.answer(question!.item, { decision: 'yes', ...by })
    const { seq } = await box.task('t').result()
    expect(await refused(seq)).toBe('FORK_INVALID The state done is final (it ended there:')

    const { pay: _, ...rest } = trip(ledger).states
    const states = { ...rest, book: { ...rest['book'], on: { DONE: 'ask' } } }
    const without = await open([trip(ledger, {}, { states })], { store: box.store, work: false })
    expect(await refused('booked', 'f', 't', without)).toBe('FORK_INVALID Version 1 of trip has no state pay')
    const strict = defineContext({ goal: z.string().min(3), list: context.keys.list })
    const tight = await open([trip(ledger, {}, { context: strict })], { store: box.store, work: false })
    expect(await refused('booked', 'f', 't', tight)).toMatch(/^FORK_INVALID goal does not fit version 1: /)
    await box.erase('t', by)
    expect(await refused('booked')).toBe('FORK_INVALID What goal was at event 9 has been')
    expect(await box.tasks()).toHaveLength(1)
  })
})
