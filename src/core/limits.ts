// Every wait and every loop is finite, also when nobody said how. These are the ceilings; a machine may set its own.

/** The ceilings of one task. */
export interface Limits {
  /** Steps (model calls, tool calls, functions) in one task. Default 100. Past it: `$limit`. */
  readonly steps?: number
}

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
  /** Times that one call in a visit gets one and the same answer: at it, `$stuck`. */
  repeats: 3,
  /** Tries of one step whose outcome was lost with its worker: past it, `$error`. */
  attempts: 5,
  /** Tries of one model call, with each model of a chain. */
  modelAttempts: 4,
  /** Tries of one call of a tool that may be called twice. A tool that may not is tried once. */
  toolAttempts: 3,
  /** The shortest and the longest delay before another try, where the provider asks for none. */
  retryBaseMs: 500,
  retryCapMs: 20_000,
  /** Output tokens of one model call. */
  outputTokens: 4_096,
  /** One model call: past it, `$timeout`. */
  modelTimeoutMs: 60_000,
  /** One tool call: past it, the tool has failed. */
  toolTimeoutMs: 30_000,
  /** One run of a function: past it, `$timeout`. */
  functionTimeoutMs: 10_000,
  /** A wait for a signal: past it, `$timeout`. A question to a human waits in the inbox and needs no other end. */
  waitTimeoutMs: 86_400_000,
} as const

/** A number that a machine may declare as a ceiling: whole, from 1 to a million. */
export function isCeiling(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= 1_000_000
}
