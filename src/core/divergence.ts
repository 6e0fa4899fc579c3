// Whether an event that was decided anew is the one that a log holds. Held against each other is what was decided, and not
// what came from outside with it: amounts of money, which hang on a price list; what models and tools said was used; which
// definition a task is pinned to. What was erased says nothing.

import { isErased } from './erasure.ts'
import type { Event, EventType } from './event.ts'
import { keyOf, type Json, type JsonObject } from './json.ts'

/** An event as it is in a log, or as it would be. */
export interface Side {
  readonly type: EventType
  /** In ms since 1970. */
  readonly at: number
  readonly data: JsonObject
}

/** A value that is not the same, and where it is in the data of its event. */
export interface Difference {
  readonly path: string
  /** Undefined: there is none. */
  readonly logged: Json | undefined
  readonly decided: Json | undefined
}

/** Where a log and what is decided anew part. */
export interface Divergence {
  /** The number of the event. */
  readonly seq: number
  readonly state: string
  /** The step that it is about, and which try of it, where it is about one. */
  readonly step?: number
  readonly attempt?: number
  /** What the log holds; null: it ends before. */
  readonly logged: Side | null
  /** What is decided anew; null: nothing is. */
  readonly decided: Side | null
  readonly differences: readonly Difference[]
  /** Why nothing is decided, where that was said. */
  readonly why?: string
}

/** The two sides of a divergence, in a state. */
export function diverging(
  seq: number,
  state: string,
  logged: Event | undefined,
  decided: Event | undefined,
  why?: string,
): Divergence {
  const [ours, theirs] = [sideOf(logged), sideOf(decided)]
  const { step, attempt } = (ours?.data.step === undefined ? theirs : ours)?.data ?? {}
  return {
    seq,
    state,
    ...(typeof step === 'number' ? { step } : {}),
    ...(typeof attempt === 'number' ? { attempt } : {}),
    logged: ours,
    decided: theirs,
    differences: logged && decided && logged.type === decided.type ? differencesOf(logged, decided) : [],
    ...(why === undefined ? {} : { why }),
  }
}

function sideOf(event: Event | undefined): Side | null {
  return event === undefined ? null : { type: event.type, at: event.at, data: event.data as unknown as JsonObject }
}

/** Is an event that was decided anew the one that the log holds? */
export function isSame(logged: Event, decided: Event): boolean {
  return logged.type === decided.type && differencesOf(logged, decided).length === 0
}

// What is held against nothing: it is not for the definition of the agent to say.
const given: { readonly [Type in EventType]?: readonly string[] } = {
  'task.started': ['version', 'definition', 'format', 'given'],
  'task.migrated': ['version'],
  'model.called': ['outputTokensMax'],
}

// What the first logs of a type did not say yet: that it is missing there says nothing.
const later: { readonly [Type in EventType]?: readonly string[] } = {
  'task.started': ['limits.depth', 'limits.descendants'],
  'budget.awaited': ['max'],
}

function differencesOf(logged: Event, decided: Event): readonly Difference[] {
  const time = logged.at === decided.at ? [] : [{ path: 'at', logged: logged.at, decided: decided.at }]
  const found = compare('', judged(logged, logged), judged(decided, logged))
  const isLater = (path: string): boolean => later[logged.type]?.includes(path) === true
  return [...time, ...found.filter(({ path, logged: said }) => said !== undefined || !isLater(path))]
}

/** The data of an event as far as it is held against another. */
function judged({ type, data }: Event, logged: Event): JsonObject {
  const left = Object.entries(data as unknown as JsonObject).filter(([field, value]) => {
    return value !== undefined && field !== 'charge' && !given[type]?.includes(field)
  })
  const fields: Record<string, Json> = Object.fromEntries(left)
  // A place of which nobody knows any more what was there.
  for (const [field, value] of Object.entries(logged.data)) if (isErased(value)) delete fields[field]
  const { reserved } = fields
  if (isBranch(reserved) && !Array.isArray(reserved)) fields['reserved'] = reservedOf(reserved as JsonObject, logged)
  // The failure that an escalation shows is in the log as such.
  if (fields['kind'] === 'escalation') delete fields['show']
  // When another model or tool may be asked is for its gate to say.
  if (fields['class'] === 'unavailable') delete fields['message']
  return fields
}

/** How long an answer may be, where the budgets have enough: what is left of them a tree knows, and not each of its logs. */
function reservedOf(reserved: JsonObject, logged: Event): JsonObject {
  const { inputTokens = null, estimate = null, outputTokens = null, outputTokensWanted = outputTokens } = reserved
  const wants = logged.type === 'model.called' && logged.data.reserved.outputTokensWanted !== undefined
  const isFull = outputTokensWanted === outputTokens
  return { inputTokens, estimate, outputTokens: wants || isFull ? outputTokensWanted : outputTokens }
}

function compare(path: string, logged: Json | undefined, decided: Json | undefined): readonly Difference[] {
  if (logged === decided) return []
  if (isBranch(logged) && isBranch(decided) && Array.isArray(logged) === Array.isArray(decided)) {
    const [ours, theirs] = [new Map(Object.entries(logged)), new Map(Object.entries(decided))]
    return [...new Set([...ours.keys(), ...theirs.keys()])].flatMap((key) =>
      compare(path === '' ? key : `${path}.${key}`, ours.get(key), theirs.get(key)),
    )
  }
  if (logged !== undefined && decided !== undefined && keyOf(logged) === keyOf(decided)) return []
  return [{ path, logged, decided }]
}

function isBranch(value: Json | undefined): value is readonly Json[] | JsonObject {
  return typeof value === 'object' && value !== null
}
