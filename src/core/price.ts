// What a turn costs. Money is counted in whole micro-dollars and never guessed: where a price or a count is not known,
// the cost is unknown, which is not zero.

import type { TokenUsage } from './model.ts'

/** Dollars for a million tokens, as price lists say it. */
export interface Price {
  readonly inputUsdPerMillion: number
  readonly outputUsdPerMillion: number
  /** For input that the provider had in its cache. Default: like other input. */
  readonly cachedInputUsdPerMillion?: number
}

/** What something cost, in millionths of a dollar, and where the price is from. */
export interface Cost {
  readonly costMicros: number
  readonly source: 'configured' | 'genai-prices'
}

/** A price that may be counted with: finite, and not negative. */
export function isPrice(value: unknown): value is Price {
  if (typeof value !== 'object' || value === null) return false
  const { inputUsdPerMillion, outputUsdPerMillion, cachedInputUsdPerMillion = 0 } = value as Partial<Price>
  return [inputUsdPerMillion, outputUsdPerMillion, cachedInputUsdPerMillion].every(
    (usd) => typeof usd === 'number' && Number.isFinite(usd) && usd >= 0,
  )
}

/**
 * The cost of a turn in whole millionths of a dollar, rounded up, or null when the provider did not say what was used.
 * Counted in billionths, so that a price like 0.15 is a whole number and no fraction is lost on the way.
 */
export function costOf(price: Price, usage: TokenUsage): number | null {
  const { inputTokens, outputTokens, cachedInputTokens } = usage
  if (inputTokens === null || outputTokens === null) return null
  const nanos = (usd: number): number => Math.round(usd * 1_000)
  const cached = Math.min(cachedInputTokens ?? 0, inputTokens)
  const input = (inputTokens - cached) * nanos(price.inputUsdPerMillion)
  const fromCache = cached * nanos(price.cachedInputUsdPerMillion ?? price.inputUsdPerMillion)
  return Math.ceil((input + fromCache + outputTokens * nanos(price.outputUsdPerMillion)) / 1_000)
}
