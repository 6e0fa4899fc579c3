// What each turn of a task cost, put together from its log: all attempts of one model call, also those that failed, were
// lost with their worker or answered late. The sums over the turns are what the task used.

import { sayMs } from '../core/duration.ts'
import type { Event } from '../core/event.ts'
import type { Charge } from '../core/ledger.ts'
import { sayCost } from './charge.ts'
import { table } from './terminal.ts'

/** One turn, with everything that was charged for it. */
export interface TurnCost {
  readonly step: number
  readonly state: string
  readonly turn: number
  /** The model that was asked last. */
  model: string
  attempts: number
  inputTokens: number
  cachedInputTokens: number
  cacheWriteTokens: number
  outputTokens: number
  reasoningTokens: number
  costMicros: number
  /** Attempts whose price is not known: what they cost is not in `costMicros`. */
  unpriced: number
  priceSource: Charge['priceSource'] | null
  /** Something in it was charged as it was reserved, and nobody has counted it since. */
  estimated: boolean
  latencyMs: number
}

/** The turns of a task, in the order in which they began. */
export function turnsOf(events: Iterable<Event>): TurnCost[] {
  const turns = new Map<number, TurnCost>()
  const estimates = new Map<number, Set<number>>()
  let state = ''
  for (const { type, data, costMicros } of events) {
    if (type === 'state.entered') state = data.state
    else if (type === 'model.called') {
      const { step, turn, model, attempt } = data
      const known = turns.get(step) ?? begun(step, state, turn)
      turns.set(step, Object.assign(known, { model, attempts: Math.max(known.attempts, attempt) }))
    } else if (type === 'model.answered' || type === 'model.failed' || type === 'step.lost' || type === 'step.late') {
      const turn = turns.get(data.step)
      if (!turn) continue
      if ('latencyMs' in data) turn.latencyMs += data.latencyMs
      if ('usage' in data && data.usage) {
        turn.cachedInputTokens += data.usage.cachedInputTokens ?? 0
        turn.cacheWriteTokens += data.usage.cacheWriteTokens ?? 0
        turn.reasoningTokens += data.usage.reasoningTokens ?? 0
      }
      const open = estimates.get(data.step) ?? new Set()
      estimates.set(data.step, open)
      if (data.charge) book(turn, data.charge, costMicros)
      if (data.charge?.estimated) open.add(data.attempt)
      else if (data.charge) open.delete(data.attempt)
      turn.estimated = open.size > 0
    }
  }
  return [...turns.values()]
}

function begun(step: number, state: string, turn: number): TurnCost {
  const tokens = { inputTokens: 0, cachedInputTokens: 0, cacheWriteTokens: 0, outputTokens: 0, reasoningTokens: 0 }
  const money = { costMicros: 0, unpriced: 0, priceSource: null, estimated: false }
  return { step, state, turn, model: '', attempts: 0, ...tokens, ...money, latencyMs: 0 }
}

function book(turn: TurnCost, { inputTokens, outputTokens, priceSource }: Charge, costMicros: number | null): void {
  turn.inputTokens += inputTokens
  turn.outputTokens += outputTokens
  turn.costMicros += costMicros ?? 0
  if (costMicros === null) turn.unpriced += 1
  turn.priceSource = priceSource ?? turn.priceSource
}

/** The turns as a table; what is charged by estimate has a star. */
export function sayTurns(turns: readonly TurnCost[]): string {
  const heads = ['turn', 'model', 'attempts', 'in', 'cached', 'out', 'reasoning', 'cost', 'price', 'latency']
  const rows = turns.map((turn) => [
    `${turn.state} ${turn.turn}`,
    turn.model,
    String(turn.attempts),
    String(turn.inputTokens),
    String(turn.cachedInputTokens),
    String(turn.outputTokens),
    String(turn.reasoningTokens),
    `${turn.unpriced > 0 ? 'unknown' : sayCost(turn.costMicros)}${turn.estimated ? '*' : ''}`,
    turn.priceSource ?? '-',
    sayMs(turn.latencyMs),
  ])
  const note = turns.some(({ estimated }) => estimated) ? '\n* charged as it was reserved: nobody counted it' : ''
  return table([heads, ...rows]) + note
}
