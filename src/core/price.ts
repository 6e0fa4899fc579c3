// What a turn costs. Money is counted in whole micro-dollars and never guessed: where a price or a count is not known,
// the cost is unknown, which is not zero.

import type { TokenUsage } from './model.ts'

declare const unit: unique symbol

/** Money as a ceiling, in millionths of a dollar: what `usd` makes. A bare number is not one. */
export type Usd = number & { readonly [unit]: 'micro-dollars' }

/** Dollars as a ceiling: `cost: usd(0.5)`. Rounded to a millionth of a dollar. */
export function usd(dollars: number): Usd {
  return Math.round(dollars * 1_000_000) as Usd
}

/** Dollars for a million tokens, as price lists say it. */
export interface Price {
  readonly inputUsdPerMillion: number
  readonly outputUsdPerMillion: number
  /** For input that the provider had in its cache. Default: like other input. */
  readonly cachedInputUsdPerMillion?: number
  /** For input that the provider wrote into its cache. Default: like other input. */
  readonly cacheWriteUsdPerMillion?: number
}

/** Tokens that are to be paid for. */
export type Billed = {
  readonly [Count in keyof TokenUsage]: Count extends 'inputTokens' | 'outputTokens' ? number : TokenUsage[Count]
}

/**
 * Says what tokens cost, by the name that agents use for a model and, where it is known, the provider's own. Null when
 * no price is known. Pure.
 */
export type Pricing = (model: string, usage: Billed, modelId?: string) => Cost | null

/** What something cost, in millionths of a dollar, and where the price is from. */
export interface Cost {
  readonly costMicros: number
  readonly source: 'configured' | 'genai-prices'
}

/** A price that may be counted with: finite, and not negative. */
export function isPrice(value: unknown): value is Price {
  if (typeof value !== 'object' || value === null) return false
  const { inputUsdPerMillion: input, outputUsdPerMillion: output } = value as Partial<Price>
  const { cachedInputUsdPerMillion: cached = 0, cacheWriteUsdPerMillion: written = 0 } = value as Partial<Price>
  return [input, output, cached, written].every((usd) => typeof usd === 'number' && Number.isFinite(usd) && usd >= 0)
}

/**
 * The cost of a turn in whole millionths of a dollar, rounded up. Counted in billionths, so that a price like 0.15 is a
 * whole number and no fraction is lost on the way.
 */
export function costOf(price: Price, usage: Billed): number {
  const nanos = (usd: number): number => Math.round(usd * 1_000)
  const cached = Math.min(usage.cachedInputTokens ?? 0, usage.inputTokens)
  const written = Math.min(usage.cacheWriteTokens ?? 0, usage.inputTokens - cached)
  const { inputUsdPerMillion, cachedInputUsdPerMillion, cacheWriteUsdPerMillion, outputUsdPerMillion } = price
  const input = (usage.inputTokens - cached - written) * nanos(inputUsdPerMillion)
  const fromCache = cached * nanos(cachedInputUsdPerMillion ?? inputUsdPerMillion)
  const intoCache = written * nanos(cacheWriteUsdPerMillion ?? inputUsdPerMillion)
  return Math.ceil((input + fromCache + intoCache + usage.outputTokens * nanos(outputUsdPerMillion)) / 1_000)
}
