// Finds what a model costs: what the configuration says first, then the price list of `@pydantic/genai-prices` where it
// is installed (an optional peer with its data inside; nothing is fetched). A model that neither knows has no price.

import { Fault } from '../core/fault.ts'
import { costOf, isPrice, type Cost, type Price } from '../core/price.ts'
import type { Answer } from '../core/model.ts'

/** Prices by the name that agents use for a model, or by the provider's own name for it. */
export type PriceTable = Readonly<Record<string, Price>>

/** Says what an answer cost; null when no price or no count of tokens is known. */
export type Pricing = (model: string, answer: Answer) => Cost | null

/** Makes the pricing. Throws CONFIG_INVALID for a price that cannot be counted with. */
export async function loadPrices(configured: PriceTable): Promise<Pricing> {
  for (const [name, price] of Object.entries(configured)) {
    if (isPrice(price)) continue
    throw new Fault(
      'CONFIG_INVALID',
      `The price of ${name} is not one.`,
      'Give { inputUsdPerMillion, outputUsdPerMillion } in dollars for a million tokens.',
    )
  }
  const list = await import('@pydantic/genai-prices').catch(() => undefined)
  return (model, answer) => {
    const own = [model, answer.modelId].find((name) => Object.hasOwn(configured, name))
    if (own !== undefined) {
      const costMicros = costOf(configured[own]!, answer.usage)
      return costMicros === null ? null : { costMicros, source: 'configured' }
    }
    return list ? fromList(list.calcPrice, answer) : null
  }
}

type CalcPrice = (typeof import('@pydantic/genai-prices'))['calcPrice']

function fromList(calcPrice: CalcPrice, { modelId, usage }: Answer): Cost | null {
  const { inputTokens, outputTokens, cachedInputTokens } = usage
  if (inputTokens === null || outputTokens === null) return null
  const counted = { input_tokens: inputTokens, output_tokens: outputTokens }
  const price = calcPrice(cachedInputTokens ? { ...counted, cache_read_tokens: cachedInputTokens } : counted, modelId)
  // The list counts in dollars as floating point: a millionth of a micro-dollar is its noise, not a cost.
  return price ? { costMicros: Math.ceil(price.total_price * 1_000_000 - 1e-6), source: 'genai-prices' } : null
}
