// Finds what a model costs: what the configuration says first, then the price list of `@pydantic/genai-prices` where it
// is installed (an optional peer with its data inside; nothing is fetched). A model that neither knows has no price.

import { Fault } from '../core/fault.ts'
import { quoted } from '../core/json.ts'
import { defaults } from '../core/limits.ts'
import { costOf, isPrice, type Billed, type Cost, type Price, type Pricing } from '../core/price.ts'

/** Prices by the name that agents use for a model, or by the provider's own name for it. */
export type PriceTable = Readonly<Record<string, Price>>

/**
 * Makes the pricing. `modelIdOf` says by which id a model is asked for. Throws CONFIG_INVALID for a price that cannot be
 * counted with.
 */
export async function loadPrices(
  configured: PriceTable,
  modelIdOf: (model: string) => string | undefined = () => undefined,
): Promise<Pricing> {
  for (const [name, price] of Object.entries(configured)) {
    if (isPrice(price)) continue
    throw new Fault(
      'CONFIG_INVALID',
      `The price of ${name} is not one.`,
      'Give { inputUsdPerMillion, outputUsdPerMillion } in dollars for a million tokens.',
    )
  }
  const list = await import('@pydantic/genai-prices').catch(() => undefined)
  const unlisted = new Set<string>()
  return (model, usage, modelId) => {
    const names = [model, modelId, modelIdOf(model)].filter((name) => name !== undefined)
    const own = names.find((name) => Object.hasOwn(configured, name))
    if (own !== undefined) return { costMicros: costOf(configured[own]!, usage), source: 'configured' }
    if (!list) return null
    for (const name of names) {
      const cost = unlisted.has(name) ? null : fromList(list.calcPrice, name, usage)
      if (cost) return cost
      // To look through the whole list for a name that is not in it takes a while.
      if (cost === null) unlisted.add(name)
    }
    return null
  }
}

type CalcPrice = (typeof import('@pydantic/genai-prices'))['calcPrice']

/** Null: the model is not in the list. Undefined: it is, and the list throws over what is to be paid for. */
function fromList(calcPrice: CalcPrice, modelId: string, usage: Billed): Cost | null | undefined {
  const { inputTokens, outputTokens } = usage
  const cached = Math.min(usage.cachedInputTokens ?? 0, inputTokens)
  const written = Math.min(usage.cacheWriteTokens ?? 0, inputTokens - cached)
  let price: ReturnType<CalcPrice>
  try {
    price = calcPrice(
      {
        input_tokens: inputTokens,
        output_tokens: outputTokens,
        ...(cached > 0 ? { cache_read_tokens: cached } : {}),
        ...(written > 0 ? { cache_write_tokens: written } : {}),
      },
      modelId,
    )
  } catch {
    return undefined
  }
  // The list counts in dollars as floating point: a millionth of a micro-dollar is its noise, not a cost.
  return price ? { costMicros: Math.ceil(price.total_price * 1_000_000 - 1e-6), source: 'genai-prices' } : null
}

/**
 * Finds the windows of models, in tokens: as configured, else from the list of prices, else a cautious default. Throws
 * CONFIG_INVALID.
 */
export async function loadWindows(
  configured: Readonly<Record<string, number>>,
  modelIdOf: (model: string) => string | undefined = () => undefined,
): Promise<(model: string) => number> {
  for (const [name, tokens] of Object.entries(configured)) {
    if (Number.isSafeInteger(tokens) && tokens > 0) continue
    throw new Fault('CONFIG_INVALID', `The window of ${name} is ${quoted(tokens)}.`, 'Give whole tokens.')
  }
  const list = await import('@pydantic/genai-prices').catch(() => undefined)
  const one = { input_tokens: 1, output_tokens: 1 }
  const known = new Map(Object.entries(configured))
  return (model) => {
    const tokens = known.get(model) ?? list?.calcPrice(one, modelIdOf(model) ?? model)?.model.context_window
    known.set(model, tokens ?? defaults.windowTokens)
    return known.get(model)!
  }
}
