// A redactor stands before the log: whatever is to be kept, shown or sent to a model passes it, and comes out without
// secrets. A known secret becomes its handle, `secret://NAME`; what has the shape of a key, or matches a pattern of the
// user's, becomes `[redacted: NAME]`. What is clean comes back as it is, the very same value. It is pure and may be
// applied again: what it has put in place it leaves alone. It does not find a secret in pieces of fewer than twelve
// characters, encrypted, compressed, or in an alphabet of somebody's own.

import { Fault } from './fault.ts'
import { eachOf, type Json } from './json.ts'
import { keyShapes, type KeyShape } from './key-shapes.ts'
import { handleOf, knownSecrets, type Found, type KnownValues } from './known-secrets.ts'

/** Takes secrets out. */
export interface Redactor {
  /** A value without them: texts and keys. The same value when there was nothing to take out. */
  value(given: Json): Json
  text(given: string): string
}

/** What must not be kept. */
export interface Redacted {
  /** Values by name. */
  readonly secrets?: KnownValues
  /**
   * What else is to go. *Contract*: a pattern takes time in proportion to the text; one with a repetition inside of a
   * repetition, `(a+)+`, may never end. It is run over 20,000 characters at a time, so it sees no more of a match.
   */
  readonly patterns?: readonly RegExp[]
}

const windowChars = 20_000
const overlapChars = 1_000
const passesMax = 8
/** No key of a known shape is shorter. */
const shortestChars = 8

// Stands for what was taken out already while the rest is looked at: no shape holds it.
const mask = '\uFFFC'

/** Makes a redactor. */
export function redactor({ secrets = {}, patterns = [] }: Redacted = {}): Redactor {
  const known = knownSecrets(secrets)
  if (!Array.isArray(patterns))
    throw new Fault('CONFIG_INVALID', 'The patterns to redact are no list.', 'Give patterns: [/…/].')
  const own = (patterns as readonly RegExp[]).map((pattern, index) => ({
    label: `[redacted: pattern-${index + 1}]`,
    pattern: global(pattern),
  }))
  const marks = marksOf(Object.keys(secrets), own.length)

  const once = (given: string): string => {
    let kept = given
    if (known) kept = replace(kept, marks, known)
    for (const { name, pattern } of shapesIn(kept)) {
      const label = `[redacted: ${name}]`
      kept = replace(kept, marks, (masked) => matches(masked, pattern, label))
    }
    for (const { label, pattern } of own) kept = replace(kept, marks, (masked) => matchesOf(masked, pattern, label))
    return kept
  }

  const text = (given: string): string => {
    // Most texts are names and words of ours.
    if (given.length < shortestChars && !known && own.length === 0) return given
    let kept = once(given)
    if (kept === given) return given
    // Where one key stood right before another, the other can be told only now.
    for (let pass = 1; pass < passesMax; pass += 1) {
      const next = once(kept)
      if (next === kept) return kept
      kept = next
    }
    return kept
  }

  const value = (given: Json): Json => {
    if (typeof given === 'string') return text(given)
    if (typeof given !== 'object' || given === null) return given
    return isList(given) ? eachOf(given, value) : object(given)
  }

  // Each value is looked at once, however deep it lies: twice at every level would be without end.
  const object = (given: { readonly [key: string]: Json }): Json => {
    const keys = Object.keys(given)
    let changed: [string, Json][] | undefined
    for (let index = 0; index < keys.length; index += 1) {
      const key = keys[index]!
      const kept: [string, Json] = [text(key), value(given[key]!)]
      if (!changed && kept[0] === key && kept[1] === given[key]) continue
      changed ??= keys.slice(0, index).map((clean) => [clean, given[clean]!])
      changed.push(kept)
    }
    return changed ? Object.fromEntries(distinct(changed)) : given
  }

  return { value, text }
}

/** A redactor that knows no secrets by name, only the shapes of keys. */
export const plainRedactor: Redactor = redactor()

function isList(value: object): value is readonly Json[] {
  return Array.isArray(value)
}

/** Two keys may have become the same; nothing that stands under them is lost. */
function distinct(entries: readonly [string, Json][]): [string, Json][] {
  const taken = new Set<string>()
  // Of many that became the same, each goes on counting where the one before it stopped.
  const numbers = new Map<string, number>()
  return entries.map(([key, value]) => {
    let name = key
    for (let number = numbers.get(key) ?? 2; taken.has(name); number += 1) {
      name = `${key} (${number})`
      numbers.set(key, number + 1)
    }
    taken.add(name)
    return [name, value]
  })
}

// ---- What was taken out already ------------------------------------------------------------------------------------

/** What a redactor puts in place. Only its own names: `secret://` before a key must not hide the key. */
function marksOf(names: readonly string[], patterns: number): RegExp {
  const labels = [
    ...keyShapes.map(({ name }) => name),
    ...Array.from({ length: patterns }, (_, index) => `pattern-${index + 1}`),
  ]
  const longestFirst = [...names].sort((a, b) => b.length - a.length)
  const handles = longestFirst.map((name) => handleOf(name))
  return new RegExp([...handles, `\\[redacted: (?:${labels.join('|')})\\]`, mask].join('|'), 'g')
}

function mayHoldMarks(text: string): boolean {
  return text.includes('secret://') || text.includes('[redacted: ') || text.includes(mask)
}

/** Puts labels in place of what is found, and leaves alone what was put in place before. */
function replace(text: string, marks: RegExp, find: (masked: string) => Found[]): string {
  const hidden: string[] = []
  const masked = mayHoldMarks(text) ? text.replaceAll(marks, (mark) => (hidden.push(mark), mask)) : text
  const found = find(masked).flatMap((part) => (hidden.length > 0 ? around(masked, part) : [part]))
  if (found.length === 0) return text
  let number = 0
  const shown = (part: string): string => (hidden.length > 0 ? part.replaceAll(mask, () => hidden[number++]!) : part)
  let kept = ''
  let at = 0
  for (const { start, end, label } of found) {
    kept += shown(masked.slice(at, start)) + label
    at = end
  }
  return kept + shown(masked.slice(at))
}

/** The parts of a match that were not taken out before. */
function around(masked: string, { start, end, label }: Found): Found[] {
  const parts: Found[] = []
  let from = start
  for (let at = start; at <= end; at += 1) {
    if (at < end && masked[at] !== mask) continue
    if (at > from) parts.push({ start: from, end: at, label })
    from = at + 1
  }
  return parts
}

// ---- Shapes and patterns -------------------------------------------------------------------------------------------

// Every three characters of a text are looked up in one table, so that a clean text costs about a nanosecond a character
// however many shapes there are. The sum of three characters fits it exactly: the fourth before falls out at the top.
const sieve = new Uint8Array(1 << 15)
const shapesByStart = new Map<string, { readonly hint: string; readonly shape: KeyShape }[]>()
for (const shape of keyShapes) {
  for (const hint of shape.hints) {
    const start = hint.slice(0, 3)
    const known = shapesByStart.get(start)
    if (known) known.push({ hint, shape })
    else shapesByStart.set(start, [{ hint, shape }])
    let sum = 0
    for (let at = 0; at < 3; at += 1) sum = ((sum << 5) ^ hint.charCodeAt(at)) & 0x7fff
    sieve[sum] = 1
  }
}

const none: readonly KeyShape[] = []
// The shortest is the password in an address.
const shapeCharsMin = 8

/** The shapes that may be in a text, in the order of the list. */
function shapesIn(text: string): readonly KeyShape[] {
  if (text.length < shapeCharsMin) return none
  let found: Set<KeyShape> | undefined
  let sum = 0
  for (let at = 0; at < text.length; at += 1) {
    sum = ((sum << 5) ^ text.charCodeAt(at)) & 0x7fff
    if (sieve[sum] === 0 || at < 2) continue
    for (const { hint, shape } of shapesByStart.get(text.slice(at - 2, at + 1)) ?? []) {
      if (text.startsWith(hint, at - 2)) (found ??= new Set()).add(shape)
    }
  }
  return found ? keyShapes.filter((shape) => found.has(shape)) : none
}

function matches(text: string, pattern: RegExp, label: string): Found[] {
  const found: Found[] = []
  for (const { 0: match, index } of text.matchAll(pattern)) {
    if (match !== '') found.push({ start: index, end: index + match.length, label })
  }
  return found
}

/** Like `matches`, for a pattern that is not ours: a bounded part of the text at a time. */
function matchesOf(text: string, pattern: RegExp, label: string): Found[] {
  if (text.length <= windowChars) return matches(text, pattern, label)
  const found: Found[] = []
  for (let from = 0; from < text.length; from += windowChars - overlapChars) {
    for (const { start, end } of matches(text.slice(from, from + windowChars), pattern, label)) {
      const last = found.at(-1)
      // What two windows see is one match.
      if (last && from + start < last.end) found[found.length - 1] = { ...last, end: Math.max(last.end, from + end) }
      else found.push({ start: from + start, end: from + end, label })
    }
  }
  return found
}

/** A copy of a pattern that finds every match and remembers nothing. Throws CONFIG_INVALID when it is none. */
function global(pattern: unknown): RegExp {
  if (pattern instanceof RegExp) return new RegExp(pattern.source, `${pattern.flags.replace(/[gy]/g, '')}g`)
  throw new Fault('CONFIG_INVALID', 'A pattern to redact is no regular expression.', 'Give patterns: [/…/].')
}
