// What a test says of an event: its type, and of its data those fields that matter to it. A pattern finds its event among
// those that were decided; where there is none, it says which came nearest, and what was otherwise.

import type { Event, EventData, EventType } from '../core/event.ts'
import { isObject, keyOf, quoted, type Json } from '../core/json.ts'

/** Some of a value: an object by the fields that are named, a list whole, a text also by an expression. */
export type Some<Value> =
  | (Value extends string ? RegExp : never)
  | (Value extends readonly (infer One)[]
      ? readonly Some<One>[]
      : Value extends object
        ? { readonly [Key in keyof Value]?: Some<Value[Key]> }
        : Value)

/** An event as it is expected, or as it must not be. */
export interface Pattern {
  readonly type: EventType
  readonly data: unknown
  /** There is to be none like it. */
  readonly never?: true
}

/** An event of this type, with at least these fields. One that is `undefined` is not there. */
export function event<Type extends EventType>(type: Type, data: Some<EventData[Type]> | {} = {}): Pattern {
  return { type, data }
}

/** No event of this type, or none with these fields. */
export function no<Type extends EventType>(type: Type, data: Some<EventData[Type]> | {} = {}): Pattern {
  return { type, data, never: true }
}

/** What is wrong with events, in words: what is missing, out of order, or was not to be. `only`: these and no others. */
export function problemIn(
  events: readonly Event[],
  expected: readonly Pattern[],
  { only = false } = {},
): string | undefined {
  for (const pattern of expected.filter(({ never }) => never)) {
    const found = events.find((one) => fits(pattern, one))
    if (found) return `There was to be ${sayPattern(pattern)}, and there is ${sayEvent(found)}.`
  }
  let next = 0
  for (const pattern of expected.filter(({ never }) => !never)) {
    const place = events.findIndex((one, index) => index >= next && fits(pattern, one))
    if (place < 0) return missing(events, pattern, next)
    if (only && place > next) return unexpected(events[next]!)
    next = place + 1
  }
  const more = events[next]
  return only && more ? unexpected(more) : undefined
}

function unexpected(event: Event): string {
  return `There is ${sayEvent(event)}, which nobody expected.`
}

function missing(events: readonly Event[], pattern: Pattern, next: number): string {
  const before = events[next - 1]
  const what = `There is no ${sayPattern(pattern)}${before ? ` after event #${before.seq}` : ''}`
  const alike = events.filter(({ type }) => type === pattern.type)
  const early = alike.find((one) => fits(pattern, one))
  if (early) return `${what}; there is one before it, #${early.seq}.`
  const ranked = alike.map((one) => ({ one, wrong: compare('', pattern.data, one.data) }))
  const [nearest] = ranked.sort((a, b) => a.wrong.length - b.wrong.length)
  if (!nearest) return `${what}.`
  return [`${what}. The nearest is #${nearest.one.seq}:`, ...nearest.wrong.map((one) => `  ${sayMismatch(one)}`)].join(
    '\n',
  )
}

function fits(pattern: Pattern, event: Event): boolean {
  return event.type === pattern.type && compare('', pattern.data, event.data).length === 0
}

// Where a value is not what a pattern says, by path.
interface Mismatch {
  readonly path: string
  readonly expected: unknown
  readonly found: unknown
}

function compare(path: string, expected: unknown, found: unknown): readonly Mismatch[] {
  const differs = [{ path, expected, found }]
  if (expected instanceof RegExp) {
    expected.lastIndex = 0
    return typeof found === 'string' && expected.test(found) ? [] : differs
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(found) || found.length !== expected.length) return differs
    return expected.flatMap((one, index) => compare(`${path}[${index}]`, one, found[index]))
  }
  if (isObject(expected)) {
    if (!isObject(found)) return differs
    return Object.entries(expected).flatMap(([key, value]) =>
      compare(path === '' ? key : `${path}.${key}`, value, Object.hasOwn(found, key) ? found[key] : undefined),
    )
  }
  if (expected === undefined || found === undefined) return expected === found ? [] : differs
  return keyOf(expected as Json) === keyOf(found as Json) ? [] : differs
}

/** A pattern in a line. */
export function sayPattern({ type, data, never }: Pattern): string {
  const fields = isObject(data) && Object.keys(data).length > 0 ? ` ${sayValue(data)}` : ''
  return `${never ? 'no ' : ''}${type}${fields}`
}

/** An event in a line. */
export function sayEvent({ seq, type, data }: Event): string {
  return `#${seq} ${type} ${sayValue(data)}`
}

function sayMismatch({ path, expected, found }: Mismatch): string {
  return `${path}: expected ${sayValue(expected)}, and it is ${sayValue(found)}`
}

function sayValue(value: unknown): string {
  if (value === undefined) return 'not there'
  if (value instanceof RegExp) return String(value)
  return quoted(expressionsAsText(value))
}

/** JSON says nothing of an expression. */
function expressionsAsText(value: unknown): unknown {
  if (value instanceof RegExp) return String(value)
  if (Array.isArray(value)) return value.map(expressionsAsText)
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, expressionsAsText(one)]))
}
