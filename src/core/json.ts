// Everything that crosses into the log is plain JSON. This file says what that is, and turns what a tool, a model
// or a person handed us into it once, at the boundary, so that nothing behind the boundary has to ask again.

/** A plain JSON value: what the log, the context and every payload are made of. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** A JSON object. */
export type JsonObject = { readonly [key: string]: Json }

/** Is this an object whose fields may be looked at: neither a list nor nothing? */
export function isObject(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** How many lists and objects may stand within each other. Whatever reads or writes JSON by recursion is far from its end there. */
export const depthMax = 1_024

/** What is said of JSON that is deeper. */
export const tooDeep = `more than ${depthMax} lists and objects stand within each other`

/** Do more lists and objects stand within each other than may? So do those of a cycle. */
export function isTooDeep(value: unknown, left = depthMax): boolean {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return false
  if (left === 0) return true
  return Object.values(value).some((inner) => isTooDeep(inner, left - 1))
}

/** What became of a value at the boundary. */
export type Conversion = { ok: true; value: Json } | { ok: false; problem: string }

/**
 * Copies a value into plain JSON as `JSON.stringify` sees it; `undefined` becomes `null`.
 * Refuses what JSON cannot carry back unchanged (cycles, bigints, NaN and infinities, text with lone surrogates), and what
 * is deeper than `depthMax`.
 */
export function toJson(value: unknown): Conversion {
  if (value === undefined || value === null) return { ok: true, value: null }
  if (typeof value === 'boolean') return { ok: true, value }
  const plain = plainCopy(value)
  if (plain !== undefined) return { ok: true, value: plain }
  let problem: string | undefined
  const note = (found: string): null => {
    problem ??= found
    return null
  }
  try {
    const text = JSON.stringify(value, (_key, inner: unknown) => {
      if (typeof inner === 'number' && !Number.isFinite(inner)) return note(`the number ${inner} is not JSON`)
      if (typeof inner === 'string' && !inner.isWellFormed()) return note('a text holds half of a surrogate pair')
      return inner
    })
    if (text === undefined) return { ok: false, problem: `a ${typeof value} is not JSON` }
    if (!text.isWellFormed() || text.includes('\\ud')) {
      if (hasLoneKey(JSON.parse(text) as Json)) note('a key holds half of a surrogate pair')
    }
    if (problem !== undefined) return { ok: false, problem }
    const copy = JSON.parse(text) as Json
    return isTooDeep(copy) ? { ok: false, problem: tooDeep } : { ok: true, value: copy }
  } catch (thrown) {
    // Deeper than the stack is deep enough.
    if (thrown instanceof RangeError) return { ok: false, problem: tooDeep }
    return {
      ok: false,
      problem: thrown instanceof Error ? thrown.message.split('\n')[0]! : 'it could not be read',
    }
  }
}

/** What is larger may not fit into one text, or hold the same thing more often than memory has room for. */
const plainMax = 1_000_000

/** A copy of what is JSON as it stands, as nearly everything is; undefined where only `JSON.stringify` knows what it becomes. */
function plainCopy(value: unknown): Json | undefined {
  try {
    return copyOf(value, depthMax, { chars: plainMax })
  } catch {
    return undefined
  }
}

function copyOf(value: unknown, left: number, room: { chars: number }): Json | undefined {
  room.chars -= typeof value === 'string' ? value.length : 1
  if (room.chars < 0) return undefined
  if (typeof value === 'string') return value.isWellFormed() ? value : undefined
  // There is no -0 in JSON.
  if (typeof value === 'number') return Number.isFinite(value) ? value + 0 : undefined
  if (typeof value === 'boolean' || value === null) return value
  if (typeof value !== 'object' || left === 0) return undefined
  const given = value as { readonly [key: string]: unknown }
  if (typeof given['toJSON'] === 'function') return undefined
  if (Array.isArray(value)) {
    const list: Json[] = []
    const { length } = value
    for (let index = 0; index < length; index += 1) {
      const item = copyOf(value[index], left - 1, room)
      if (item === undefined) return undefined
      list.push(item)
    }
    return list
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) return undefined
  const copy: Record<string, Json> = {}
  for (const key of Object.keys(value)) {
    const inner = copyOf(given[key], left - 1, room)
    // A name that every object has cannot always be set.
    if (inner === undefined || key in copy || !key.isWellFormed()) return undefined
    room.chars -= key.length
    copy[key] = inner
  }
  return copy
}

function hasLoneKey(value: Json): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value)) return value.some(hasLoneKey)
  return Object.entries(value).some(([key, inner]) => !key.isWellFormed() || hasLoneKey(inner))
}

/** A text that two values share exactly when they are the same JSON, whatever the order of their keys. */
export function keyOf(value: Json): string {
  return JSON.stringify(inOrder(value))
}

/**
 * The same JSON with the keys of its objects in the order in which a log has them: whoever goes on from the log sees what
 * whoever wrote it has seen. Answers with what it was given where that is so already.
 */
export function inOrder<Value extends Json>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value
  return (Array.isArray(value) ? eachOf(value, inOrder) : objectInOrder(value as JsonObject)) as Value
}

/** A list with something made of each item; the very same list where that is each item itself. */
export function eachOf(list: readonly Json[], make: (item: Json) => Json): readonly Json[] {
  let changed: Json[] | undefined
  for (let index = 0; index < list.length; index += 1) {
    const made = make(list[index]!)
    if (made !== list[index]) (changed ??= list.slice())[index] = made
  }
  return changed ?? list
}

function objectInOrder(object: JsonObject): JsonObject {
  const keys = Object.keys(object)
  let changed: Map<string, Json> | undefined
  let isSorted = true
  for (let index = 0; index < keys.length; index += 1) {
    const key = keys[index]!
    if (index > 0 && keys[index - 1]! >= key) isSorted = false
    const kept = inOrder(object[key]!)
    if (kept !== object[key]) (changed ??= new Map()).set(key, kept)
  }
  if (isSorted && !changed) return object
  return Object.fromEntries(keysInOrder(object).map((key) => [key, changed?.get(key) ?? object[key]!]))
}

const fewKeys = 32

/** The keys of an object, in the order in which a log has them. Few are put in order by hand: a library's sort makes lists of its own. */
export function keysInOrder(object: JsonObject): readonly string[] {
  const keys = Object.keys(object)
  if (keys.length > fewKeys) return keys.sort()
  for (let index = 1; index < keys.length; index += 1) {
    const key = keys[index]!
    let place = index
    for (; place > 0 && keys[place - 1]! > key; place -= 1) keys[place] = keys[place - 1]!
    keys[place] = key
  }
  return keys
}

/** A value as it is quoted in what is said to people, whatever it is. */
export function quoted(value: unknown): string {
  try {
    return head(JSON.stringify(value) ?? String(value))
  } catch {
    return `a ${typeof value} that is not JSON`
  }
}

/** The head of a text, with a note of how much was cut; no character is taken apart. For people and for corrections, never for the log's facts. */
export function head(text: string, lengthMax = 200): string {
  if (text.length <= lengthMax) return text
  const code = text.charCodeAt(lengthMax)
  const length = code >= 0xdc00 && code <= 0xdfff ? lengthMax - 1 : lengthMax
  return `${text.slice(0, length)}… (${text.length - length} more characters)`
}

/** Makes a value one that nobody changes. */
export function freeze(value: Json): Json {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    for (const inner of Object.values(value)) freeze(inner)
    Object.freeze(value)
  }
  return value
}
