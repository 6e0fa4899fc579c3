// Every wait and every loop is finite, also when nobody said how. These are the ceilings; a machine may set its own.

import { sayMs, toMs, type Duration } from './duration.ts'
import { quoted } from './json.ts'
import type { Usd } from './price.ts'

/** The ceilings of one task. Limits count or time; budgets (`tokens`, `cost`) are reserved before they are spent. */
export interface Limits<Target = string> {
  /** Steps (model calls, tool calls, functions). Default 100. Past it: `$limit`. */
  readonly steps?: number
  /** Calls of any one tool. Default 50. Past it: `$limit`. */
  readonly toolCalls?: number
  /** Transitions from one model state, or agent, into another. Default 30. Past it: `$limit`. */
  readonly handovers?: number
  /** How deep below this task children may be. Default 5. Past it: `$limit`. */
  readonly depth?: number
  /** Tasks below the root of a tree; the root's counts. Default 1,000. Past it: `$limit`. */
  readonly descendants?: number
  /** Wall-clock time, waits included. Default 30 days. Past it: `$limit`. */
  readonly duration?: Duration
  /** Tokens, in and out. Default 1,000,000. Where the worst case of a call does not fit: `$limit`. */
  readonly tokens?: number
  /** Money: `usd(0.5)`. Default: none. With one, a model without a price is not called. */
  readonly cost?: Usd
  /** The share of a budget at which `onSoft` happens, above 0 and below 1. Default 0.8. */
  readonly soft?: number
  /** `pause` (default) asks a human, `terminate` ends the task; or the state that the task goes to. */
  readonly onSoft?: 'pause' | 'terminate' | Target
}

/** The ceilings of one task, resolved, as they stand in its log. */
export interface TaskLimits {
  readonly steps: number
  readonly toolCalls: number
  readonly handovers: number
  readonly depth: number
  readonly descendants: number
  readonly durationMs: number
  readonly tokens: number
  /** Millionths of a dollar; null: no ceiling. */
  readonly costMicros: number | null
  readonly soft: number
  readonly onSoft: string
}

/** The field of `TaskLimits` that holds a limit which a human may raise. */
export const raisable = {
  steps: 'steps',
  toolCalls: 'toolCalls',
  handovers: 'handovers',
  duration: 'durationMs',
  tokens: 'tokens',
  cost: 'costMicros',
} as const

/** A limit of the task, which a human may raise. */
export type RaisableLimit = keyof typeof raisable

/** An amount of what a limit counts, for people. */
export function sayAmount(limit: LimitName, amount: number): string {
  if (limit === 'cost') return `$${(amount / 1_000_000).toFixed(6)}`
  return limit === 'duration' ? sayMs(amount) : String(amount)
}

/** The state that a task goes to at its soft line, where it goes to one. */
export function softTarget({ onSoft }: TaskLimits): string | undefined {
  return onSoft === 'pause' || onSoft === 'terminate' ? undefined : onSoft
}

/** What a limit counts. */
export type LimitName =
  | RaisableLimit
  | 'turns'
  | 'visits'
  | 'refusals'
  | 'repeats'
  | 'attempts'
  | 'hops'
  | 'window'
  | 'rollbacks'
  | 'depth'
  | 'descendants'
  | 'deliveries'

/** The ceilings where nobody said otherwise. Durations are in milliseconds. */
export const defaults = {
  /** Steps of one task: past it, `$limit`. */
  steps: 100,
  /** Model turns in one visit of a state: past it, `$turns`. */
  turns: 20,
  /** Entries into one state: past it, `$visits`. */
  visits: 10,
  /** Answers with something refused in them, in one visit of a state: at it, `$refused`. */
  refusals: 5,
  /** Times that one call in a visit gets the same answer, or a cycle of states changes nothing: at it, `$stuck`. */
  repeats: 3,
  /** Calls of any one tool in a task: past it, `$limit`. */
  toolCalls: 50,
  /** Transitions from one model state, or agent, into another: past it, `$limit`. */
  handovers: 30,
  /** Children of children of a task: past it, `$limit`. */
  depth: 5,
  /** Tasks below the root of a tree: past it, `$limit`. */
  descendants: 1_000,
  /** Children of one fan-out at a time. */
  childConcurrency: 8,
  /** A task, from its start to its end: past it, `$limit`. */
  durationMs: 30 * 86_400_000,
  /** Tokens of a task, in and out: where the worst case of a call does not fit, `$limit`. */
  tokens: 1_000_000,
  /** The share of a budget at which a human is asked. */
  soft: 0.8,
  /** Tries of one step whose outcome was lost with its worker: past it, `$error`. */
  attempts: 5,
  /** Times that a task is given to a worker which goes away before anything comes of it: past it, the inbox. */
  deliveries: 10,
  /** Tries of one model call, with each model of a chain. */
  modelAttempts: 4,
  /** Tries of one call of a tool that may be called twice. A tool that may not is tried once. */
  toolAttempts: 3,
  /** The shortest and the longest delay before another try, where the provider asks for none. */
  retryBaseMs: 500,
  retryCapMs: 20_000,
  /** The shortest and the longest delay before a function runs again because another task was first to write. */
  clashBaseMs: 2,
  clashCapMs: 250,
  /** Failures in a row that open the breaker of a model or tool, and how long it stays open. */
  breakerFailures: 5,
  breakerCoolDownMs: 30_000,
  /** The longest that one Retry-After keeps all tasks from a model or tool. */
  pauseMaxMs: 3_600_000,
  /** Tokens of a model's window, in and out, where neither the state nor the configuration nor the price list says. */
  windowTokens: 100_000,
  /** Output tokens of one model call, and the least that it is worth making for. */
  outputTokens: 4_096,
  outputTokensMin: 256,
  /** One model call: past it, `$timeout`. */
  modelTimeoutMs: 60_000,
  /** One tool call: past it, the tool has failed. */
  toolTimeoutMs: 30_000,
  /** One run of a function: past it, `$timeout`. */
  functionTimeoutMs: 10_000,
  /** A wait for a signal: past it, `$timeout`. A question to a human waits in the inbox and needs no other end. */
  waitTimeoutMs: 86_400_000,
  /** A wait for a human's yes to a call: past it, the call is refused. */
  approvalMs: 86_400_000,
  /** Tries of telling a webhook that something waits, and the shortest and the longest delay between them. */
  noticeAttempts: 12,
  noticeBaseMs: 500,
  noticeCapMs: 600_000,
  /** Rollbacks that the machine itself asks for, in one task: past it, a human is asked. */
  rollbacks: 3,
} as const

/** The ceilings that hold: as given, else as `before`. Throws DURATION_INVALID. */
export function resolveLimits(given: Limits, before: TaskLimits = defaultLimits): TaskLimits {
  return {
    steps: given.steps ?? before.steps,
    toolCalls: given.toolCalls ?? before.toolCalls,
    handovers: given.handovers ?? before.handovers,
    depth: given.depth ?? before.depth,
    descendants: given.descendants ?? before.descendants,
    durationMs: given.duration === undefined ? before.durationMs : toMs(given.duration),
    tokens: given.tokens ?? before.tokens,
    costMicros: given.cost ?? before.costMicros,
    soft: given.soft ?? before.soft,
    onSoft: given.onSoft ?? before.onSoft,
  }
}

const limitFields: Readonly<Record<keyof Limits, true>> = {
  steps: true,
  toolCalls: true,
  handovers: true,
  depth: true,
  descendants: true,
  duration: true,
  tokens: true,
  cost: true,
  soft: true,
  onSoft: true,
}

/** What is wrong with limits as they are written: fields and why. One that is misspelt would limit nothing, in silence. `states` are the names that `onSoft` may have. */
export function limitProblems(
  limits: Limits,
  states: readonly string[],
): { field: string; problem: string; cure: string }[] {
  const found: { field: string; problem: string; cure: string }[] = []
  for (const field of Object.keys(limits)) {
    if (Object.hasOwn(limitFields, field)) continue
    found.push({ field, problem: 'There is no such limit.', cure: `Use ${Object.keys(limitFields).join(', ')}.` })
  }
  const prove = (field: keyof Limits, holds: (value: any) => boolean, cure: string): void => {
    const value: unknown = limits[field]
    if (value === undefined || holds(value)) return
    found.push({ field, problem: `${quoted(value)} is not a limit.`, cure })
  }
  for (const field of ['steps', 'toolCalls', 'handovers', 'depth', 'descendants'] as const) {
    prove(field, isCeiling, 'Use a whole number from 1 to 1,000,000.')
  }
  const isAmount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 1
  prove('tokens', isAmount, 'Use a whole, positive number of tokens.')
  prove('cost', isAmount, 'Use usd(…) with a positive number of dollars.')
  prove('duration', isDuration, 'Use a duration such as 5m or 2h, at most 366d.')
  prove('soft', (value) => typeof value === 'number' && value > 0 && value < 1, 'Use a share such as 0.8.')
  const ways = ['pause', 'terminate', ...states]
  prove('onSoft', (value) => ways.includes(value as string), `Use one of: ${ways.join(', ')}.`)
  return found
}

function isDuration(value: Duration): boolean {
  try {
    return toMs(value) > 0
  } catch {
    return false
  }
}

/** A number that a machine may declare as a ceiling: whole, from 1 to a million. */
export function isCeiling(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= 1_000_000
}

const defaultLimits: TaskLimits = {
  steps: defaults.steps,
  toolCalls: defaults.toolCalls,
  handovers: defaults.handovers,
  depth: defaults.depth,
  descendants: defaults.descendants,
  durationMs: defaults.durationMs,
  tokens: defaults.tokens,
  costMicros: null,
  soft: defaults.soft,
  onSoft: 'pause',
}
