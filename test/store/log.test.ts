// The log's form, held against the library that says what canonical JSON is.

import canonicalize from 'canonicalize'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json } from '../../src/core/json.ts'
import { canonical } from '../../src/store/log.ts'

/** What the library writes; undefined where it refuses to. */
function written(value: Json, write: (value: Json) => string | undefined): string | undefined {
  try {
    return write(value)
  } catch {
    return undefined
  }
}

test('canonical JSON is what the library writes or refuses, in whatever order the keys stand', () => {
  const key = fc.oneof(fc.string({ unit: 'binary', maxLength: 3 }), fc.constantFrom('10', '9', 'a', '\ud800', '\uffff'))
  const { json } = fc.letrec<{ json: Json }>((tie) => ({
    json: fc.oneof(
      { depthSize: 'small' },
      fc.oneof(fc.string({ unit: 'binary' }), fc.double(), fc.integer(), fc.boolean(), fc.constant(null)),
      fc.constant('half \udc00'),
      fc.array(tie('json'), { maxLength: 4 }),
      fc.dictionary(key, tie('json'), { maxKeys: 5 }),
    ),
  }))
  fc.assert(
    fc.property(json, (value) => {
      expect(written(value, canonical)).toBe(written(value, canonicalize))
    }),
    { numRuns: 2_000 },
  )
})
