// The testing kit, as somebody else's suite has it: from the package, by its side door.

import { expect, test } from 'vitest'
import { defineAgent, defineContext, defineTool } from 'signalbox'
import { defineFault, fault, invariants, play, state, tool, VirtualClock } from 'signalbox/testing'
import { z } from 'zod'

const send = defineTool({
  name: 'send',
  description: 'Sends.',
  inputSchema: z.object({ text: z.string() }),
  effect: 'external',
  execute: () => ({ sent: true }),
})
const sender = defineAgent({
  name: 'sender',
  version: '1',
  context: defineContext({ text: z.string() }),
  initial: 'send',
  states: {
    send: { tool: send, args: ({ context }) => ({ text: context.text }), on: { DONE: 'sent', $error: 'failed' } },
    sent: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

test('a machine is played with a fault of your own, and what was done outside is in the ledger', async () => {
  const full = defineFault({
    id: 'MY2',
    what: 'the mailbox is full',
    layer: 'tool',
    act: () => {
      throw new Error('552 mailbox full')
    },
  })
  const aim = fault(full).at(state('send')).at(tool('send'))
  const outside = { input: { text: 'hello' } }
  const well = await play({ agent: sender, seed: 1, outside })
  const badly = await play({ agent: sender, seed: 1, outside, faults: [aim] })
  expect([well, badly].map(({ tasks }) => tasks[0]!.row.outcome)).toEqual(['sent', 'failed'])
  expect([well, badly].map(({ acts }) => acts.map(({ arguments: input }) => input))).toEqual([[{ text: 'hello' }], []])
  expect([well, badly].flatMap((evidence) => invariants.flatMap(({ breaks }) => breaks(evidence)))).toEqual([])
})

test('hours pass in no time on a virtual clock, and each timer at its own', async () => {
  const clock = new VirtualClock()
  const started = clock.now()
  const rung: number[] = []
  clock.setTimer(7_200_000, () => rung.push(clock.now() - started))
  clock.setTimer(1_000, () => rung.push(clock.now() - started))
  await clock.step()
  await clock.step()
  expect(rung).toEqual([1_000, 7_200_000])
})
