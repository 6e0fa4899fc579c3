// Faults as data: 70 kinds with their identifiers, and plans that aim them, by values.

import { expect, test } from 'vitest'
import { defineFault, faultKinds } from '../../src/redteam/fault-kinds.ts'
import { fault, Plan, state, tool, transition, writePoint, type Aim, type Occasion } from '../../src/redteam/plan.ts'
import { sample } from '../../src/redteam/sample.ts'

/** At which of so many equal occasions an aim strikes. */
function strikes(aim: Aim, occasion: Occasion, times = 6, seed = 1): number[] {
  const plan = new Plan([aim], seed)
  return Array.from({ length: times }, (_, index) => index + 1).filter(() => plan.strikes(occasion) !== undefined)
}

test('there are 70 kinds, each with its own identifier, and each strikes or says where it is shown', () => {
  const count = (letter: string): number => faultKinds.filter(({ id }) => id.startsWith(letter)).length
  expect('MTDPCH'.split('').map(count)).toEqual([25, 14, 13, 7, 4, 7])
  expect(new Set(faultKinds.map(({ id }) => id)).size).toBe(70)
  for (const kind of faultKinds) {
    const how = ['act', 'fails', 'happens', 'skewsMs', 'does', 'elsewhere'].filter((key) => key in kind)
    expect(how, kind.id).toHaveLength(1)
  }
})

test('a fault strikes once unless it is told otherwise', () => {
  const asked = { layer: 'model', state: 'search' } as const
  expect(strikes(fault('M05'), asked)).toEqual([1])
  expect(strikes(fault('M05').attempt(3), asked)).toEqual([3])
  expect(strikes(fault('M05').always(), asked)).toEqual([1, 2, 3, 4, 5, 6])
})

test('a fault with a probability strikes by the seed, and the same seed strikes the same', () => {
  const asked = { layer: 'model', state: 'search' } as const
  const often = strikes(fault('M05').chance(0.5), asked, 200)
  expect(often, 'and stops some day, so that what then holds can be seen').toHaveLength(6)
  expect(often.at(-1)).toBeLessThan(40)
  expect(strikes(fault('M05').chance(0.5), asked, 200)).toEqual(often)
  expect(strikes(fault('M05').chance(0.5), asked, 200, 2)).not.toEqual(often)
})

test.each([
  [
    'a state',
    fault('M05').at(state('search')),
    { layer: 'model', state: 'search' },
    { layer: 'model', state: 'found' },
  ],
  [
    'the state of one agent',
    fault('M05').at(state('a', 'x')),
    { layer: 'model', agent: 'x', state: 'a' },
    { layer: 'model', agent: 'y', state: 'a' },
  ],
  ['a tool', fault('T01').at(tool('pay')), { layer: 'tool', tool: 'pay' }, { layer: 'tool', tool: 'look' }],
  [
    'a transition',
    fault('D02').at(transition('FOUND')),
    { layer: 'store', exits: ['FOUND'] },
    { layer: 'store', exits: [] },
  ],
  [
    'a write point',
    fault('P01').at(writePoint('permit')),
    { layer: 'process', point: 'permit' },
    { layer: 'process', point: 'rest' },
  ],
  ['its layer', fault('M05'), { layer: 'model' }, { layer: 'tool' }],
] as const)('a fault that is aimed at %s strikes there and nowhere else', (_, aim, there, elsewhere) => {
  expect(strikes(aim, there)).toEqual([1])
  expect(strikes(aim, elsewhere)).toEqual([])
})

test('a kind of your own takes a few lines', () => {
  const french = defineFault({
    id: 'MY1',
    what: 'answers in French',
    layer: 'model',
    act: () => ({ text: 'Je ne sais pas.' }),
  })
  expect(String(fault(french).at(state('search')).attempt(2))).toBe('MY1@search#2')
})

test('a kind that nobody knows is refused by name', () => {
  expect(() => fault('M99')).toThrow(/^FAULT_UNKNOWN There is no kind of fault "M99"/)
})

test.each([
  [{ type: 'string', minLength: 8 }, 'sample--'],
  [{ type: 'string', format: 'email' }, 'kim@example.com'],
  [{ enum: ['low', 'high'] }, 'low'],
  [{ type: 'integer', minimum: 3, maximum: 4 }, 3],
  [{ type: 'number', exclusiveMinimum: 2 }, 3],
  [{ type: 'array', minItems: 2, items: { type: 'string' } }, ['sample', 'sample1']],
  [{ anyOf: [{ type: 'null' }, { type: 'string' }] }, null],
  [{ $ref: '#/$defs/a', $defs: { a: { const: 7 } } }, 7],
  [
    {
      type: 'object',
      properties: { a: { type: 'boolean' }, b: { allOf: [{ type: 'object', properties: { c: { type: 'null' } } }] } },
    },
    { a: true, b: { c: null } },
  ],
])('a value is made of a schema: %j', (schema, value) => {
  expect(sample(schema)).toEqual(value)
})
