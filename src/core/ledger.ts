// The ledger of a task: what its budgets allow, what is spent, and what is set aside for calls that are being made.
// Nothing is called before the worst that it may cost is set aside, so settled plus reserved never passes a ceiling,
// whatever fails, is called off or comes late. All of it is arithmetic over values; the log holds the entries.

import type { TokenUsage } from './model.ts'
import type { Billed, Cost } from './price.ts'

/** One budget. `max` is null where there is none. Tokens, or millionths of a dollar. */
export interface Budget {
  readonly max: number | null
  readonly settled: number
  readonly reserved: number
}

/** The budgets of a task. */
export interface Ledger {
  readonly tokens: Budget
  readonly cost: Budget
}

/** The worst that one call may use. */
export interface Reservation {
  readonly inputTokens: number
  readonly outputTokens: number
  /** How long the answer might have been, where the budgets had too little left for that. */
  readonly outputTokensWanted?: number
  /** Null: no price is known, and no ceiling on money asks for one. */
  readonly costMicros: number | null
  /** Where the price is from, where one is known. */
  readonly priceSource?: Cost['source']
  /** The plain estimate of the input, before it was corrected by what this model counted earlier. */
  readonly estimate: number
}

/** What one call was charged. The money is the event's `costMicros`; null where no price is known. */
export interface Charge {
  readonly inputTokens: number
  readonly outputTokens: number
  readonly priceSource?: Cost['source']
  /** The provider did not say what was used, or said nonsense: charged as reserved. */
  readonly estimated?: true
  /** What the provider counted beyond what was reserved and no budget had room for. Not in the sums; an alarm. */
  readonly excess?: { readonly tokens: number; readonly costMicros: number }
}

/** A charge with its money. */
export interface Charged {
  readonly charge: Charge
  readonly costMicros: number | null
}

/** What a call may be made for. */
export interface Wanted {
  readonly estimate: number
  /** How much more this model counted than was estimated, so far. */
  readonly correction: number
  readonly outputTokensMax: number
  readonly outputTokensMin: number
}

/** The price of one model. Pure. */
export type Priced = (usage: Billed) => Cost | null

/** Estimates err: the reserve for input is this much larger than the corrected estimate. */
const margin = 1.2

/** The correction of a model that has not answered yet: nobody knows which tokenizer it has. */
export const firstCorrection = 1.25

/** The most input that can be reserved where `fitting` tokens fit, by the model's own count. */
export function worstInput(fitting: number): number {
  return Math.ceil(fitting * margin)
}

/** The running correction of a model: it rises at once to what was counted, and comes down by halves. */
export function correct(before: number, estimate: number, counted: number): number {
  const seen = counted / Math.max(1, estimate)
  return Math.max(seen, (before + seen) / 2)
}

/** What is left of a budget. */
export function free({ max, settled, reserved }: Budget): number {
  return max === null ? Infinity : max - settled - reserved
}

/**
 * Sets aside the worst case of a call. Where too little is left the bound on the answer shrinks, but not below its
 * floor; then the budget that is short is named. A ceiling on money without a price fails closed.
 */
export function reserve(ledger: Ledger, wanted: Wanted, priced: Priced): Reservation | 'tokens' | 'cost' | 'price' {
  const { estimate, correction, outputTokensMax, outputTokensMin } = wanted
  // That a model counted less than was estimated says nothing of what the next text is made of.
  const inputTokens = Math.ceil(estimate * Math.max(1, correction) * margin)
  const room = Math.min(outputTokensMax, free(ledger.tokens) - inputTokens)
  if (room < outputTokensMin) return 'tokens'
  const worst = (outputTokens: number): number | null =>
    worstCost(inputTokens, outputTokens, priced)?.costMicros ?? null
  const held = (outputTokens: number): Reservation => {
    const cost = worstCost(inputTokens, outputTokens, priced)
    const source = cost ? { priceSource: cost.source } : {}
    const wished = outputTokens < outputTokensMax ? { outputTokensWanted: outputTokensMax } : {}
    return { inputTokens, outputTokens, ...wished, costMicros: cost?.costMicros ?? null, ...source, estimate }
  }
  if (ledger.cost.max === null) return held(room)
  const affordable = (outputTokens: number): boolean => (worst(outputTokens) ?? Infinity) <= free(ledger.cost)
  if (worst(room) === null) return 'price'
  if (affordable(room)) return held(room)
  if (!affordable(outputTokensMin)) return 'cost'
  // The most that can be afforded: cost rises with the length of the answer.
  let [low, high] = [outputTokensMin, room]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (affordable(middle)) low = middle
    else high = middle
  }
  return held(low)
}

/** What a call can cost at most. Input may be dearer when the provider writes it into its cache. */
export function worstCost(inputTokens: number, outputTokens: number, priced: Priced): Cost | null {
  const usage = { inputTokens, outputTokens, cachedInputTokens: null, cacheWriteTokens: null, reasoningTokens: null }
  const [plain, written] = [priced(usage), priced({ ...usage, cacheWriteTokens: inputTokens })]
  return plain && written && written.costMicros > plain.costMicros ? written : plain
}

/**
 * Charges a call for what the provider says it used, or, where it does not say, for what was `held` for it. What it
 * counts beyond that is taken from what is left of the budgets; beyond those it is told apart as `excess`.
 */
export function charge(
  ledger: Ledger,
  held: Pick<Reservation, 'inputTokens' | 'outputTokens' | 'costMicros' | 'priceSource'>,
  usage: TokenUsage | undefined,
  priced: Priced,
): Charged {
  const used = usage ?? unknownUsage
  const billed = {
    ...used,
    inputTokens: used.inputTokens ?? held.inputTokens,
    outputTokens: used.outputTokens ?? held.outputTokens,
  }
  const cost = usage === undefined ? null : priced(billed)
  const costMicros = cost?.costMicros ?? held.costMicros
  const priceSource = cost ? cost.source : held.priceSource
  // As it was reserved: tokens that nobody counted, or money that could not be counted although there is a price.
  const estimated =
    used.inputTokens === null || used.outputTokens === null || (cost === null && held.costMicros !== null)
  const tokensMax = held.inputTokens + held.outputTokens + free(ledger.tokens)
  const inputTokens = Math.min(billed.inputTokens, tokensMax)
  const outputTokens = Math.min(billed.outputTokens, tokensMax - inputTokens)
  const charged = costMicros === null ? null : Math.min(costMicros, (held.costMicros ?? 0) + free(ledger.cost))
  const excess = {
    tokens: billed.inputTokens + billed.outputTokens - inputTokens - outputTokens,
    costMicros: (costMicros ?? 0) - (charged ?? 0),
  }
  return {
    costMicros: charged,
    charge: {
      inputTokens,
      outputTokens,
      ...(priceSource ? { priceSource } : {}),
      ...(estimated ? { estimated } : {}),
      ...(excess.tokens > 0 || excess.costMicros > 0 ? { excess } : {}),
    },
  }
}

/**
 * What a provider said, as counts: anything else than a whole, non-negative number is not said. No input is not said
 * either: there is no call without any, and some adapters make a 0 of what is missing. Nor are parts of the input that
 * are more than the whole.
 */
export function countable(usage: Readonly<Record<keyof TokenUsage, unknown>>): TokenUsage {
  const count = (value: unknown): number | null =>
    Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null
  const inputTokens = count(usage.inputTokens) || null
  const [cached, written] = [count(usage.cachedInputTokens), count(usage.cacheWriteTokens)]
  const fits = (cached ?? 0) + (written ?? 0) <= (inputTokens ?? 0)
  return {
    inputTokens,
    outputTokens: inputTokens === null ? count(usage.outputTokens) || null : count(usage.outputTokens),
    cachedInputTokens: fits ? cached : null,
    cacheWriteTokens: fits ? written : null,
    reasoningTokens: count(usage.reasoningTokens),
  }
}

const unknownUsage: TokenUsage = {
  inputTokens: null,
  outputTokens: null,
  cachedInputTokens: null,
  cacheWriteTokens: null,
  reasoningTokens: null,
}
