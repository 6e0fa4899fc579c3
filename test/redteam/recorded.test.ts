// What was recorded is what is played with: the same task again, where nothing goes wrong; and what does not fit is made up, and told.

import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import type { Event } from '../../src/core/event.ts'
import { erased } from '../../src/core/erasure.ts'
import { compileChecked } from '../../src/core/check.ts'
import { defineTool } from '../../src/core/tool.ts'
import { createOrchestrator } from '../../src/orchestrator.ts'
import { scriptedModel } from '../../src/providers/scripted.ts'
import { recordedOf } from '../../src/redteam/recorded.ts'
import { play } from '../../src/redteam/world.ts'

const called: string[] = []
const stock = defineTool({
  name: 'stock',
  description: 'Says how many there are.',
  inputSchema: z.object({ item: z.string() }),
  execute: ({ item }) => (called.push(item), { item, left: item === 'tea' ? 3 : 7 }),
})
const shop = defineAgent({
  name: 'shop',
  version: '1',
  context: defineContext({
    order: z.string(),
    sum: z.int().optional(),
    by: z.string().optional(),
    paid: z.int().optional(),
  }),
  signals: { paid: z.object({ paid: z.int() }) },
  initial: 'look',
  on: { $error: 'lost', $timeout: 'lost', $refused: 'lost' },
  states: {
    look: {
      model: 'main',
      prompt: 'How much is it?',
      tools: [stock],
      on: { KNOWN: { target: 'ask', output: z.object({ sum: z.int().min(40) }) } },
    },
    ask: {
      human: { question: 'Sell it?' },
      on: { SELL: { target: 'wait', output: z.object({ by: z.string() }) }, NO: 'lost' },
    },
    wait: { wait: { signal: 'paid' }, on: { DONE: { target: 'sold', output: z.object({ paid: z.int() }) } } },
    sold: { type: 'final' },
    lost: { type: 'final', failure: true },
  },
})

/** The log of a task that went well. */
async function recorded(): Promise<readonly Event[]> {
  const main = scriptedModel([
    { calls: ['tea', 'tin'].map((item) => ({ name: 'stock', arguments: { item } })) },
    { calls: [{ name: 'KNOWN', arguments: { sum: 42 } }] },
  ])
  const box = await createOrchestrator({ store: 'sqlite::memory:', agents: [shop], models: { main } })
  const task = await box.start(shop, { order: 'tea for two' })
  const { inbox } = await task.rest()
  await box.answer(inbox[0]!.item, { decision: 'SELL', by: 'ana', reason: 'why not', data: { by: 'ana' } })
  await box.signal(task.id, { name: 'paid', data: { paid: 42 }, by: 'till' })
  expect((await task.result()).outcome).toBe('sold')
  const log = await box.store.read(task.id)
  await box.stop()
  return log
}

const log = await recorded()
const machine = compileChecked(shop)

test('a play says what was said then: input, answers of tools, what models and people handed over, signals; no body is called', async () => {
  const { outside, tools, exits, signals, left } = recordedOf(machine, [log])
  expect([tools, exits, signals, left]).toEqual([{ stock: 2 }, ['KNOWN', 'SELL'], ['paid'], []])
  expect([
    outside.tools!['stock']!({ item: 'tea' }, {} as never),
    outside.tools!['stock']!({ item: 'jam' }, {} as never),
  ]).toEqual([
    { item: 'tea', left: 3 },
    { item: 'tin', left: 7 },
  ])
  called.length = 0
  const { tasks, acts } = await play({ agent: shop as Agent<any, any>, seed: 3, outside })
  const [{ row, events }] = tasks as [(typeof tasks)[0]]
  const written = events.flatMap(({ type, data }) => (type === 'context.written' ? [[data.key, data.value]] : []))
  expect(row.outcome).toBe('sold')
  expect(Object.fromEntries(written)).toEqual({ order: 'tea for two', sum: 42, by: 'ana', paid: 42 })
  expect(events.flatMap(({ type, data }) => (type === 'tool.answered' ? [data.result] : []))).toEqual([
    { item: 'tin', left: 7 },
  ])
  expect([called, acts.length]).toEqual([[], 1])
})

test('made up by schema it is another task', async () => {
  const { tasks } = await play({ agent: shop as Agent<any, any>, seed: 3 })
  const written = tasks[0]!.events.flatMap(({ type, data }) => (type === 'context.written' ? [data.value] : []))
  expect(written).not.toContain(42)
})

/** The log with the data of its events of a type changed. */
const but = (type: string, change: object): readonly Event[] =>
  log.map((event) => (event.type === type ? ({ ...event, data: { ...event.data, ...change } } as Event) : event))

test.each([
  [
    'what an exit does not take any more',
    but('transition.taken', { output: { sum: 7 } }),
    /KNOWN does not fit shop\.look: sum/,
    'KNOWN',
  ],
  [
    'a signal that does not fit',
    but('signal.received', { data: { paid: 'yes' } }),
    /the signal paid does not fit: paid/,
    'paid',
  ],
  ['an answer that was erased', but('tool.answered', { result: erased }), /an answer of stock was erased/, 'stock'],
  ['an input that was erased', but('task.started', { input: erased }), /the input was erased/, 'input'],
  [
    'a key that is not there any more',
    but('task.started', { input: { order: 'x', rush: 1 } }),
    /the input rush does not fit/,
    undefined,
  ],
])('%s is left out, and told', (_, changed, why, gone) => {
  const { outside, left } = recordedOf(machine, [changed])
  expect(left.join('\n')).toMatch(why)
  const known = [
    ...Object.keys({ ...outside.tools, ...outside.outputs, ...outside.signals }),
    ...(outside.input ? ['input'] : []),
  ]
  expect(known).not.toContain(gone)
  expect(known.length).toBeGreaterThan(2)
})

test('of several tasks the last counts, and one of another agent says nothing', () => {
  const other = but('task.started', { agent: 'elsewhere' })
  expect(recordedOf(machine, [other]).outside).toEqual({ tools: {}, outputs: {}, signals: {} })
  const later = but('transition.taken', { output: { sum: 99, by: 'ben' } })
  expect(recordedOf(machine, [log, later]).outside.outputs).toMatchObject({ KNOWN: { sum: 99 } })
})
