// A worker that is killed at a write, and a service that writes down what was done at it: together they say whether a tool may
// be called twice that says so.

import { expect, test } from 'vitest'
import { defineAgent, defineContext, defineTool, type Tool } from 'signalbox'
import { actedTwice, ledger, outlive, type Crash, type Ledger } from 'signalbox/testing'
import { z } from 'zod'

function payerOf(bank: Ledger, more: Partial<Tool<any, any>> = {}) {
  const pay = defineTool({
    name: 'pay',
    description: 'Pays.',
    inputSchema: z.object({ cents: z.int() }),
    effect: 'external',
    execute: bank.acts(({ cents }) => ({ paid: cents })),
    ...more,
  })
  return defineAgent({
    name: 'payer',
    version: '1',
    context: defineContext({ cents: z.int() }),
    initial: 'wait',
    states: {
      wait: { wait: { delay: '1h' }, on: { DONE: 'pay' } },
      pay: { tool: pay, args: ({ context }) => ({ cents: context.cents }), on: { DONE: 'ask', $error: 'failed' } },
      ask: { human: { question: 'Is it enough?' }, on: { YES: 'paid', NO: 'failed' } },
      paid: { type: 'final' },
      failed: { type: 'final', failure: true },
    },
  })
}

async function run(bank: Ledger, more: Partial<Tool<any, any>> = {}, crash?: Crash) {
  const agent = payerOf(bank, more)
  const people = ({ kind }: { kind: string }) => {
    return kind === 'question' ? { decision: 'YES', by: 'ana', reason: 'because' } : undefined
  }
  return outlive({ agents: [agent], people }, (box) => box.start(agent, { cents: 5 }, { id: 'p' }), crash)
}

/** What becomes of it, wherever a worker is killed. */
async function everywhere(bankOf: () => Ledger, more: (bank: Ledger) => Partial<Tool<any, any>> = () => ({})) {
  const { crashes } = await run(bankOf())
  const came = []
  for (const crash of crashes) {
    const bank = bankOf()
    const { task, crashed } = await run(bank, more(bank), crash)
    expect([crash, crashed]).toEqual([crash, true])
    came.push({ outcome: task.outcome ?? task.inbox[0]!.kind, effects: bank.effects.length, twice: bank.twice.length })
  }
  expect(came.length).toBeGreaterThan(10)
  return came
}

test('without a crash a task comes to its end by the virtual clock, and says at which writes it could have died', async () => {
  const bank = ledger()
  const { task, events, crashed, crashes } = await run(bank)
  expect([task.outcome, crashed, bank.effects.length]).toEqual(['paid', false, 1])
  expect(events.at(-1)!.at - events[0]!.at).toBeGreaterThanOrEqual(3_600_000)
  const points = [...new Set(crashes.map(({ at }) => at))]
  expect(points).toEqual(expect.arrayContaining(['start', 'claim', 'permit', 'rest', 'answer']))
})

test('a tool that may not be called twice is in doubt where its answer was lost, and never acts twice', async () => {
  const came = await everywhere(() => ledger())
  expect(came.filter(({ twice }) => twice > 0)).toEqual([])
  expect(new Set(came.map(({ outcome }) => outcome))).toEqual(new Set(['paid', 'doubt']))
})

test('one that says wrongly that it may be is found out', async () => {
  const came = await everywhere(
    () => ledger(),
    () => ({ idempotent: true }),
  )
  expect(came.some(({ twice, effects }) => twice === 1 && effects === 2)).toBe(true)
})

test('a service that honours keys is asked again, and does it once', async () => {
  const came = await everywhere(
    () => ledger({ honoursKeys: true }),
    () => ({ idempotent: true }),
  )
  expect(new Set(came.map((one) => JSON.stringify(one)))).toEqual(
    new Set([JSON.stringify({ outcome: 'paid', effects: 1, twice: 0 })]),
  )
})

test('a service that can be asked whether it was done needs no person', async () => {
  const came = await everywhere(
    () => ledger(),
    (bank) => ({ reconcile: bank.reconciles(({ cents }) => ({ paid: cents })) }),
  )
  expect(came.every(({ outcome, effects }) => outcome === 'paid' && effects === 1)).toBe(true)
})

test('an answer that is lost has been acted on all the same; the same key in two kinds is not twice', async () => {
  const bank = ledger()
  const lost = bank.acts(() => {
    throw new Error('socket hang up')
  })
  const call = { idempotencyKey: 'k', taskId: 't', attempt: 1 } as Parameters<typeof lost>[1]
  await expect(lost({}, call)).rejects.toThrow('socket hang up')
  await bank.undoes()({}, null, call)
  expect([bank.effects.map(({ kind }) => kind), bank.twice]).toEqual([['act', 'undo'], []])
  await expect(lost({}, { ...call, attempt: 2 })).rejects.toThrow('socket hang up')
  expect([bank.twice, actedTwice(bank.entries)]).toEqual([['k'], ['k']])
})
