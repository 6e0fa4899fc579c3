// A Fault is a failure of the world: a store that is locked, an input that is not JSON, a model nobody knows. It
// is not an expected outcome (those are events) and not a broken promise of our own (those are assertions). Code
// decides on `code`; people read the message, which says what happened and what to do next. Nobody parses it.

/** Every code that Signalbox throws. A code is never reused for another meaning. */
export type FaultCode =
  | 'AGENT_UNKNOWN'
  | 'AGENT_UNSOUND'
  | 'ANCHORS_AHEAD'
  | 'ANCHORS_FAILED'
  | 'ANCHORS_INVALID'
  | 'BREAKER_UNKNOWN'
  | 'CALL_REFUSED'
  | 'CONFIG_INVALID'
  | 'COPY_BUSY'
  | 'COPY_CONFLICT'
  | 'COPY_UNFIT'
  | 'COPY_UNPROVED'
  | 'DEFINITION_CHANGED'
  | 'DURATION_INVALID'
  | 'EGRESS_REFUSED'
  | 'EXPORT_INVALID'
  | 'FAULT_UNKNOWN'
  | 'FLAG_INVALID'
  | 'FORK_INVALID'
  | 'GIVEN_INVALID'
  | 'HASH_MISMATCH'
  | 'INPUT_INVALID'
  | 'ITEM_CLOSED'
  | 'ITEM_UNKNOWN'
  | 'DECISION_UNKNOWN'
  | 'KEY_EXISTS'
  | 'KEY_INVALID'
  | 'LOG_CONFLICT'
  | 'LOG_NEWER'
  | 'MIGRATION_UNFIT'
  | 'MODEL_UNKNOWN'
  | 'MODULE_FAILED'
  | 'MODULE_MISSING'
  | 'NODE_TOO_OLD'
  | 'PAYLOAD_UNKNOWN'
  | 'PEER_MISSING'
  | 'PORT_TAKEN'
  | 'PRICE_UNKNOWN'
  | 'ROLLBACK_INVALID'
  | 'SCHEDULE_EXISTS'
  | 'SCHEDULE_INVALID'
  | 'SCHEDULE_UNKNOWN'
  | 'SCHEMA_ASYNC'
  | 'SCHEMA_UNSUPPORTED'
  | 'SCRIPT_INVALID'
  | 'SECRET_REFUSED'
  | 'STORE_CLOSED'
  | 'STORE_CORRUPT'
  | 'STORE_DENIED'
  | 'STORE_FAILED'
  | 'STORE_FULL'
  | 'STORE_LOCKED'
  | 'STORE_MISSING'
  | 'STORE_NEWER'
  | 'STORE_NOT_OURS'
  | 'STORE_READ_ONLY'
  | 'STORE_UNSUPPORTED'
  | 'STORE_ALTERED'
  | 'TASK_ENDED'
  | 'TASK_EXISTS'
  | 'TASK_RUNNING'
  | 'TASK_UNKNOWN'
  | 'TESTIMONY_INVALID'
  | 'TEXT_INVALID'

const brand = Symbol.for('signalbox.fault')

/** A failure of the world, with a code to decide on and a message for people. */
export class Fault extends Error {
  readonly code: FaultCode
  readonly data: Readonly<Record<string, unknown>>

  /**
   * @param code what kind of failure this is
   * @param what what was wrong, with names and numbers
   * @param next what the reader should do now
   */
  constructor(
    code: FaultCode,
    what: string,
    next: string,
    options: { cause?: unknown; data?: Record<string, unknown> } = {},
  ) {
    super(`${code} ${what} ${next}`, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'Fault'
    this.code = code
    this.data = options.data ?? {}
    Object.defineProperty(this, brand, { value: true })
  }
}

/** Tells a Fault from any other thrown value, also across two copies of this package in one process. */
export function isFault(value: unknown, code?: FaultCode): value is Fault {
  if (typeof value !== 'object' || value === null || !(brand in value)) return false
  return code === undefined || (value as { code?: unknown }).code === code
}

/** Stops the process that noticed when a promise of our own is broken. The log is still right. */
export function assert(condition: unknown, promise: string): asserts condition {
  if (!condition) throw new Error(`Broken promise of Signalbox: ${promise}. This is a defect; please report it.`)
}

/** The text of anything that was thrown, for a log: its message, and never a stack. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message || thrown.name
  if (typeof thrown === 'string') return thrown
  try {
    return JSON.stringify(thrown) ?? String(thrown)
  } catch {
    return Object.prototype.toString.call(thrown)
  }
}
