// What becomes of a value at the boundary, held against JSON itself.

import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { depthMax, toJson, tooDeep } from '../../src/core/json.ts'

const anything = fc.anything({
  withBoxedValues: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
})
const leaf = fc.oneof(
  anything,
  fc.constantFrom(-0, undefined, () => 1, new Date(NaN)),
)
const key = fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', '1', '0'))
const value = fc.oneof(leaf, fc.array(leaf), fc.dictionary(key, leaf), fc.dictionary(key, fc.array(leaf)))

/** Whether JSON carries a value back as it was, by JSON.stringify alone. */
function isFinite(given: unknown): boolean {
  let finite = true
  JSON.stringify(given, (_key, inner: unknown) => {
    if (typeof inner === 'number') finite &&= Number.isFinite(inner)
    return inner
  })
  return finite
}

describe('a value that comes in', () => {
  test('is what JSON.stringify and JSON.parse make of it, key by key, and a copy', () => {
    fc.assert(
      fc.property(value, (given) => {
        fc.pre(isFinite(given))
        const text = JSON.stringify(given ?? null)
        const made = toJson(given)
        expect(made.ok).toBe(text !== undefined)
        if (!made.ok) return
        expect(isDeepStrictEqual(made.value, JSON.parse(text))).toBe(true)
        expect(JSON.stringify(made.value)).toBe(text)
        if (typeof made.value === 'object' && made.value !== null) expect(made.value).not.toBe(given)
      }),
      { numRuns: 5_000 },
    )
  })

  test.each([
    ['an infinity', [Infinity], 'the number Infinity is not JSON'],
    ['no number', { deep: [NaN] }, 'the number NaN is not JSON'],
    ['half a character', { text: 'a\ud800' }, 'a text holds half of a surrogate pair'],
    ['half a character in a key', { 'a\ud800': 1 }, 'a key holds half of a surrogate pair'],
    ['a function', () => 1, 'a function is not JSON'],
    ['a getter that throws', Object.defineProperty({}, 'x', { enumerable: true, get: thrower }), 'not now'],
  ])('with %s is refused', (_what, given, problem) => {
    expect(toJson(given)).toEqual({ ok: false, problem })
  })

  test('may be as deep as is said, and no deeper, however wide it is', () => {
    const nested = (levels: number): unknown => {
      let inner: unknown = 1
      for (let level = 0; level < levels; level += 1) inner = level % 2 === 0 ? [inner, inner].slice(0, 1) : { inner }
      return inner
    }
    expect(toJson(nested(depthMax))).toMatchObject({ ok: true })
    expect(toJson(nested(depthMax + 1))).toEqual({ ok: false, problem: tooDeep })
    const cycle: unknown[] = []
    cycle.push(cycle, cycle)
    expect(toJson(cycle)).toMatchObject({ ok: false, problem: expect.stringMatching(/circular/i) })
  })

  test('comes out the same whether it is small or large, and with the same in it many times over', () => {
    for (const length of [999_000, 1_001_000]) {
      const given = { text: 'x'.repeat(length), list: [1, { a: null }] }
      expect(toJson(given)).toEqual({ ok: true, value: given })
    }
    let twice: unknown[] = ['']
    for (let level = 0; level < 17; level += 1) twice = [twice, twice]
    expect(JSON.stringify(toJson(twice))).toBe(JSON.stringify({ ok: true, value: twice }))
  })

  test('may have names that every object has, or be nobody knows what', () => {
    const given = { constructor: 'a', toString: ['b'], hasOwnProperty: { valueOf: 1 } }
    expect(JSON.stringify(toJson(given))).toBe(JSON.stringify({ ok: true, value: given }))
    const said = new Proxy({}, { get: (_target, name) => (name === 'toJSON' ? () => 'said' : undefined) })
    expect(toJson([said])).toEqual({ ok: true, value: ['said'] })
    const shy = new Proxy({ a: 1 }, { has: thrower, getPrototypeOf: thrower })
    expect(toJson(shy)).toEqual({ ok: true, value: { a: 1 } })
  })

  test('that says itself what it is as JSON is taken at its word', () => {
    expect(toJson({ at: new Date(0) })).toEqual({ ok: true, value: { at: '1970-01-01T00:00:00.000Z' } })
    expect(toJson({ toJSON: () => ({ said: true }) })).toEqual({ ok: true, value: { said: true } })
    expect(toJson(Object.assign([1], { toJSON: () => 'a list' }))).toEqual({ ok: true, value: 'a list' })
    class Point {
      x = 1
      toJSON(): string {
        return 'a point'
      }
    }
    expect(toJson([new Point()])).toEqual({ ok: true, value: ['a point'] })
  })
})

function thrower(): never {
  throw new Error('not now')
}
