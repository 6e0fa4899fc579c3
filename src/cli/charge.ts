// What one attempt was charged, told to a person: the same words wherever a charge stands in a log, so that the lines of a
// task add up to what it used.

import type { Charge } from '../core/ledger.ts'
import type { TokenUsage } from '../core/model.ts'

/** Tokens, money, where the price is from, and whether somebody counted it or it was only estimated. */
export function sayCharge(charge: Charge, costMicros: number | null, usage?: TokenUsage): string {
  const { inputTokens, outputTokens, priceSource, estimated, excess } = charge
  const { cachedInputTokens: cached, cacheWriteTokens: written, reasoningTokens: reasoning } = usage ?? {}
  const input = [cached ? `${cached} cached` : '', written ? `${written} into the cache` : '']
  const output = [reasoning ? `${reasoning} reasoning` : '']
  return [
    `${inputTokens} in${beside(input)}`,
    `${outputTokens} out${beside(output)}`,
    `${sayCost(costMicros)}${beside([priceSource ?? ''])}`,
    estimated ? 'estimated' : '',
    excess ? `and ${excess.tokens} tokens that no budget had room for` : '',
  ]
    .filter((part) => part !== '')
    .join(', ')
}

function beside(parts: readonly string[]): string {
  const said = parts.filter((part) => part !== '')
  return said.length === 0 ? '' : ` (${said.join(', ')})`
}

/** Money to the millionth of a dollar. */
export function sayCost(costMicros: number | null): string {
  if (costMicros === null) return 'cost unknown'
  return `${costMicros < 0 ? '-' : ''}$${(Math.abs(costMicros) / 1_000_000).toFixed(6)}`
}
