// What may come from outside, for fast-check: texts and values that were right once and are spoiled a little, because what is
// wrong everywhere is refused at the first character and finds nothing. Every spoiling can be made smaller.

import fc from 'fast-check'

/** Texts that have broken somebody's parser. */
const nasty = [
  '',
  ' ',
  '\0',
  '\uD800',
  '\uDFFF',
  '\u2028',
  '\uFEFF',
  '\u202E',
  '\r\n',
  '__proto__',
  'constructor',
  'toString',
  'prototype',
  'null',
  'undefined',
  'true',
  'NaN',
  'Infinity',
  '-0',
  '0x10',
  '1e999',
  '-1e-999',
  '9007199254740993',
  '9'.repeat(400),
  '0.1'.repeat(40),
  '%00',
  '%',
  '\\',
  '"',
  "'",
  '`',
  '{{x}}',
  '${x}',
  '../../etc/passwd',
  "'; DROP TABLE events; --",
  '<script>',
  '&#x6a;avascript:',
  'secret://key',
  'https://a@b:c@d/',
  'http://[::1',
  '\\u0000',
  '\\ud800',
  '[',
  ']',
  '{',
  '}',
  ',',
  ':',
  '*/0',
  '((((((((((a)*)*)*)*)*)*)*)*)*)*!',
  'a'.repeat(3_000),
  ' '.repeat(3_000),
  '-'.repeat(3_000),
  'http://'.repeat(500),
  'sk-'.repeat(800),
  'a.'.repeat(1_500),
  '&amp;'.repeat(600),
]

/** Any text: short ones of every kind, and those that have broken somebody's parser. */
export const wildText: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...nasty) },
  { weight: 2, arbitrary: fc.string({ maxLength: 12 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }) },
  { weight: 1, arbitrary: fc.array(fc.nat(0xffff), { maxLength: 6 }).map((codes) => String.fromCharCode(...codes)) },
)

const wildNumber: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(0, -0, -1, 1, 0.5, 2 ** 31, 2 ** 53, 2 ** 53 + 2, 1e21, 1e308, 5e-324, -1e308),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
)

/** So many lists, or objects, within each other. */
const deep = (levels: number, list: boolean): unknown => {
  let value: unknown = 1
  for (let level = 0; level < levels; level += 1) value = list ? [value] : { a: value }
  return value
}

/** Any JSON, keys such as `__proto__` and values that are deep included. */
export const wildJson: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(null, true, false) },
  { weight: 3, arbitrary: wildNumber },
  { weight: 4, arbitrary: wildText },
  { weight: 2, arbitrary: fc.array(fc.oneof(wildText, wildNumber), { maxLength: 4 }) },
  {
    weight: 3,
    // Parsed, so that `__proto__` is a key like others.
    arbitrary: fc
      .array(fc.tuple(wildText, fc.oneof(wildText, wildNumber, fc.constant(null))), { maxLength: 4 })
      .map(
        (entries) =>
          JSON.parse(
            `{${entries.map((pair) => pair.map((part) => JSON.stringify(part)).join(':')).join(',')}}`,
          ) as unknown,
      ),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(10, 400, 1_000, 1_500, 4_000), fc.boolean())
      .map(([levels, list]) => deep(levels, list)),
  },
)

/** Anything that a program may hand over, JSON or not. */
export const wildValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: wildJson },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom<() => unknown>(
        () => undefined,
        () => NaN,
        () => Infinity,
        () => 10n,
        () => new Date(NaN),
        () => new Map([[1, 2]]),
        () => new Uint8Array(3),
        () => () => 1,
        () => /x/,
        () => Promise.resolve(1),
        () => {
          const circle: unknown[] = []
          circle.push(circle)
          return circle
        },
        () => ({
          toJSON: () => {
            throw new Error('no')
          },
        }),
      )
      .map((make) => make()),
  },
)

// ---- Spoiled texts -------------------------------------------------------------------------------------------------

/** A share of something, from 0 (included) to 1 (excluded). A `double` would nearly always be next to 0. */
export const share = fc.integer({ min: 0, max: 9_999 }).map((part) => part / 10_000)
const spoilings = ['cut', 'leave out', 'double', 'put in', 'flip', 'number', 'nest', 'key', 'swap', 'repeat'] as const
const spoiling = fc.record({ kind: fc.constantFrom(...spoilings), at: share, length: fc.nat(20), text: wildText })

/** One of these texts, spoiled in up to four places. */
export function spoiledText(...valid: readonly string[]): fc.Arbitrary<string> {
  const other = fc.constantFrom(...valid)
  return fc
    .tuple(fc.constantFrom(...valid), fc.array(fc.tuple(spoiling, other), { maxLength: 4 }))
    .map(([text, all]) => all.reduce((spoiled, [given, from]) => spoil(spoiled, given, from), text))
}

function spoil(
  text: string,
  {
    kind,
    at: share,
    length,
    text: wild,
  }: { kind: (typeof spoilings)[number]; at: number; length: number; text: string },
  other: string,
): string {
  const at = Math.floor(share * (text.length + 1))
  const [before, part, after] = [text.slice(0, at), text.slice(at, at + length), text.slice(at + length)]
  // The place of what is looked for that is next to the one drawn.
  const next = (pattern: RegExp): RegExpMatchArray | undefined => {
    const found = [...text.matchAll(pattern)]
    return found[Math.floor(share * found.length)]
  }
  const put = (match: RegExpMatchArray | undefined, by: (found: string) => string): string =>
    match ? text.slice(0, match.index) + by(match[0]) + text.slice(match.index! + match[0].length) : text
  switch (kind) {
    case 'cut':
      return before
    case 'leave out':
      return before + after
    case 'double':
      return before + part + part + after
    case 'put in':
      return before + wild + part + after
    case 'flip':
      return part === ''
        ? text
        : before + String.fromCharCode(part.charCodeAt(0) ^ (1 << (length % 16))) + part.slice(1) + after
    case 'number':
      return put(
        next(/-?\d+(\.\d+)?/g),
        () => ['0', '-1', '1e999', '1.5', '9'.repeat(30), '00', '-0', 'null'][length % 8]!,
      )
    case 'nest': {
      const levels = [3, 30, 600, 2_000, 8_000][length % 5]!
      const [open, close] = length % 2 ? ['[', ']'] : ['{"a":', '}']
      return put(next(/"[^"]*"|\d+|null|true|\{\}/g), (found) => open.repeat(levels) + found + close.repeat(levels))
    }
    case 'key':
      return put(next(/"[\w$]+":/g), (found) => {
        return [`"__proto__":`, `${found}null,${found}`, `"constructor":`, `${JSON.stringify(wild)}:`][length % 4]!
      })
    case 'swap':
      return before + other.slice(Math.floor(share * other.length))
    case 'repeat':
      return before + part.repeat(1 + length * 20) + after
  }
}

// ---- Spoiled values ------------------------------------------------------------------------------------------------

const touch = fc.record({
  kind: fc.constantFrom('change', 'remove', 'add', 'double', 'move'),
  at: share,
  key: fc.oneof(wildText, fc.constantFrom('name', 'type', 'target', 'model', 'on', 'id')),
})

/** What `make` answers with, spoiled in up to three places: something else in it, or something more, or less. */
export function spoiledValue(make: () => unknown, wild: fc.Arbitrary<unknown> = wildValue): fc.Arbitrary<unknown> {
  return fc.array(fc.tuple(touch, wild), { minLength: 0, maxLength: 3 }).map((all) => {
    let value = make()
    const places = placesIn(value)
    for (const [{ kind, at, key }, other] of all) {
      const place = places[Math.floor(at * (places.length + 1))]
      if (!place) {
        if (kind === 'change') value = other
        continue
      }
      const { holder, name } = place
      const from = places[Math.floor(at * 7_919 * places.length) % places.length]!
      const given = kind === 'move' ? from.holder[from.name] : kind === 'double' ? [holder[name], holder[name]] : other
      if (kind === 'remove' && Array.isArray(holder)) holder.splice(Number(name), 1)
      else if (kind === 'remove') delete holder[name]
      else if (kind === 'add' && Array.isArray(holder)) holder.push(given)
      else Object.defineProperty(holder, kind === 'add' ? key : name, { value: given, ...plain })
    }
    return value
  })
}

const plain = { enumerable: true, configurable: true, writable: true }

type Holder = Record<string, unknown>

/** Every field in a value. What is not a plain object or a list, such as a schema, is one thing. */
function placesIn(value: unknown, left = 12): { holder: Holder; name: string }[] {
  if (typeof value !== 'object' || value === null || left === 0) return []
  const maker = Object.getPrototypeOf(value) as unknown
  if (!Array.isArray(value) && maker !== Object.prototype && maker !== null) return []
  if (Object.isFrozen(value)) return []
  const holder = value as Holder
  return Object.keys(holder).flatMap((name) => [{ holder, name }, ...placesIn(holder[name], left - 1)])
}
