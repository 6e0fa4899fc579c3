// What a turn costs: exact to the micro-dollar, and unknown where it is not known.

import fc from 'fast-check'
import { describe, expect, onTestFinished, test as once } from 'vitest'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { costOf, type Billed } from '../../src/core/price.ts'
import { createOrchestrator } from '../../src/orchestrator.ts'
import { loadPrices } from '../../src/providers/prices.ts'
import { scriptedModel } from '../../src/providers/scripted.ts'
import { address, test } from '../engines.ts'

const usage = (
  inputTokens: number,
  outputTokens: number,
  cachedInputTokens: number | null = null,
  cacheWriteTokens: number | null = null,
): Billed => ({ inputTokens, outputTokens, cachedInputTokens, cacheWriteTokens, reasoningTokens: null })

once.each<[Billed, number]>([
  [usage(1_000, 500), 3 * 1_000 + 15 * 500],
  [usage(1_000, 500, 400), 3 * 600 + 120 + 15 * 500],
  [usage(1_000, 0, 5_000), 300],
  [usage(0, 0), 0],
  [usage(1, 0, 1), 1],
  [usage(1_000, 0, 400, 100), 3 * 500 + 120 + 375],
  [usage(1_000, 0, 400, 9_999), 120 + 600 * 3.75],
])(
  '%j at $3 in, $0.30 cached, $3.75 cached anew and $15 out for a million costs %s micro-dollars',
  (used, expected) => {
    const cache = { cachedInputUsdPerMillion: 0.3, cacheWriteUsdPerMillion: 3.75 }
    expect(costOf({ inputUsdPerMillion: 3, outputUsdPerMillion: 15, ...cache }, used)).toBe(expected)
  },
)

once('no fraction is lost or made by floating point: a price in whole thousandths of a dollar is exact', () => {
  fc.assert(
    fc.property(
      fc.nat(10_000_000),
      fc.nat(1_000_000),
      fc.nat(100_000),
      fc.nat(100_000),
      (input, output, inPrice, outPrice) => {
        const exact = (BigInt(input) * BigInt(inPrice) + BigInt(output) * BigInt(outPrice) + 999n) / 1_000n
        expect(
          costOf({ inputUsdPerMillion: inPrice / 1_000, outputUsdPerMillion: outPrice / 1_000 }, usage(input, output)),
        ).toBe(Number(exact))
      },
    ),
  )
})

once(
  'A24: counts that the list throws over are paid for as far as they can be, and no model is taken for unlisted',
  async () => {
    const price = await loadPrices({})
    for (const model of ['gpt-4o', 'claude-sonnet-4-5', 'gemini-2.5-pro']) {
      const plain = price(model, usage(10, 5))!
      for (const [cached, written] of [
        [50, null],
        [null, 50],
        [8, 8],
        [50, 50],
      ] as const) {
        const cost = price(model, usage(10, 5, cached, written))
        expect(cost).toMatchObject({ source: 'genai-prices' })
        expect(cost!.costMicros).toBeGreaterThan(0)
      }
      expect(price(model, { ...usage(10, 5), inputTokens: -1 })).toBe(null)
      expect(price(model, usage(10, 5))).toEqual(plain)
    }
  },
)

describe('a price is found', () => {
  const own = { inputUsdPerMillion: 1, outputUsdPerMillion: 2 }

  once(
    "in the configuration first, by the agents' name or the provider's; else in the list; else nowhere",
    async () => {
      const price = await loadPrices({ main: own, 'gpt-4o-mini': own }, (name) =>
        name === 'alias' ? 'gpt-4o' : undefined,
      )
      const listed = { costMicros: 7_250, source: 'genai-prices' }
      expect(price('main', usage(10, 10), 'gpt-4o')).toEqual({ costMicros: 30, source: 'configured' })
      expect(price('other', usage(10, 10), 'gpt-4o-mini')).toEqual({ costMicros: 30, source: 'configured' })
      expect(price('other', usage(1_000, 500, 200), 'gpt-4o')).toEqual(listed)
      expect(price('alias', usage(1_000, 500, 200))).toEqual(listed)
      expect(price('alias', usage(1_000, 500, 200), 'a-model-nobody-knows')).toEqual(listed)
      expect(price('other', usage(1_000, 500), 'claude-sonnet-4-5')).toMatchObject({ costMicros: 10_500 })
      // What is written into the cache of this provider costs a quarter more.
      expect(price('other', usage(1_000, 0, null, 1_000), 'claude-sonnet-4-5')).toMatchObject({ costMicros: 3_750 })
      expect(price('other', usage(10, 10), 'a-model-nobody-knows')).toBe(null)
      expect(price('toString', usage(10, 10), 'constructor')).toBe(null)
    },
  )

  once.each([
    { inputUsdPerMillion: -1, outputUsdPerMillion: 1 },
    { inputUsdPerMillion: '3', outputUsdPerMillion: 1 },
    { inputUsdPerMillion: Infinity, outputUsdPerMillion: 1 },
    {},
    null,
  ])('and %j is none', async (price) => {
    await expect(loadPrices({ main: price as never })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  })
})

test('A60 in small: the sum over the events is what the task says it cost, and an unknown price is null', async () => {
  const agent = defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({}),
    initial: 'one',
    on: { $error: 'end', $timeout: 'end' },
    states: {
      one: { model: 'known', prompt: 'p', on: { NEXT: 'two' } },
      two: { model: 'unknown', prompt: 'p', on: { NEXT: 'three' } },
      three: { model: 'known', prompt: 'p', on: { NEXT: 'end' } },
      end: { type: 'final' },
    },
  })
  const script = () => ({ calls: [{ name: 'NEXT' }], usage: { inputTokens: 100, outputTokens: 10 } })
  const box = await createOrchestrator({
    store: await address(),
    agents: [agent],
    models: { known: scriptedModel(script), unknown: scriptedModel(script) },
    prices: { known: { inputUsdPerMillion: 2, outputUsdPerMillion: 8 } },
  })
  onTestFinished(() => box.stop())
  const task = await box.start(agent, {})
  const { usage: used } = await task.result()
  const costs = (await box.store.read(task.id))
    .filter(({ type }) => type === 'model.answered')
    .map(({ costMicros }) => costMicros)
  expect(costs).toEqual([280, null, 280])
  expect(used).toMatchObject({ costMicros: 560, unpriced: 1 })
})
