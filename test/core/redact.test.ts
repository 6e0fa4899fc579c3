// The redactor by values: what it takes out, what it leaves alone, and that doing it twice is doing it once.

import fc from 'fast-check'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { inOrder, type Json } from '../../src/core/json.ts'
import { keyShapes } from '../../src/core/key-shapes.ts'
import { secretProblem } from '../../src/core/known-secrets.ts'
import { draw } from '../../src/core/resilience.ts'
import { plainRedactor, redactor } from '../../src/core/redact.ts'
import { openSqlite } from '../../src/store/sqlite/engine.ts'
import { folder } from '../folder.ts'
import { keysOf } from '../keys.ts'
import { playHistory } from '../store/history.ts'

const value = 'tr0ub4dor & "three"/ünï+?=xyz'
const { keys } = keysOf(1)
const redact = redactor({ secrets: { DB: value, PIN: 'hunter2' } })
const base64 = (text: string): string => Buffer.from(text).toString('base64')

describe('a known secret', () => {
  test.each([
    ['as it is', value],
    ['in base64', base64(value)],
    ['in base64 for addresses', Buffer.from(value).toString('base64url')],
    ['in hexadecimal', Buffer.from(value).toString('hex')],
    ['in upper-case hexadecimal', Buffer.from(value).toString('hex').toUpperCase()],
    ['in an address', encodeURIComponent(value)],
    ['in a form', encodeURIComponent(value).replaceAll('%20', '+')],
    ['in JSON', JSON.stringify(value).slice(1, -1)],
    ['short', 'hunter2'],
    ['short, in base64', base64('hunter2')],
  ])('%s becomes its handle, and what stands around it stays', (_, written) => {
    expect(redact.text(written)).toMatch(/^secret:\/\/(DB|PIN)$/)
    expect(redact.text(`before ${written} behind`)).toMatch(/^before secret:\/\/(DB|PIN) behind$/)
  })

  test.each([0, 1, 2])('is found in the base64 of a text that holds it, %i bytes behind a group', (shift) => {
    const told = redact.text(base64(`${'x'.repeat(9 + shift)}:${value}:yz`))
    expect(told).toContain('secret://DB')
    expect(told.length).toBeLessThan(40)
  })

  test('split into pieces of twelve characters is found piece by piece, in texts of their own', () => {
    const pieces = [value.slice(0, 12), `it: ${value.slice(13, 25)}`, { [value.slice(5, 20)]: 1 }]
    expect(redact.value(pieces)).toEqual(['secret://DB', 'it: secret://DB', { 'secret://DB': 1 }])
  })

  test('that is an address is known by its password; its host may be named', () => {
    const { text } = redactor({ secrets: { URL: 'postgres://app:p4ssw0rdlong@db.example.com:5432/app' } })
    expect(text('see db.example.com:5432/app')).toBe('see db.example.com:5432/app')
    expect(text('it is p4ssw0rdlong')).toBe('it is secret://URL')
    expect(text('at postgres://app:p4ssw0rdlong@db.example.com:5432/app.')).toBe('at secret://URL.')
  })

  test('that is a private key is known by its body; how all keys begin is not secret', () => {
    const body = base64(Array.from({ length: 60 }, (_, index) => (index * 37) % 251).join('.'))
    const { text } = redactor({ secrets: { KEY: `-----BEGIN PRIVATE KEY-----\n${body}\n-----END PRIVATE KEY-----\n` } })
    expect(text('it begins with -----BEGIN PRIVATE')).toBe('it begins with -----BEGIN PRIVATE')
    expect(text(`the body: ${body.slice(20, 50)}`)).toBe('the body: secret://KEY')
  })

  test('under two keys that become the same loses nothing', () => {
    expect(redact.value({ [`${value}`]: 1, [base64(value)]: 2, other: 3 })).toEqual({
      'secret://DB': 1,
      'secret://DB (2)': 2,
      other: 3,
    })
    const many = Array.from({ length: 20_000 }, (_, at) => [`AKIA${String(at).padStart(16, 'A')}`, at])
    const kept = Object.entries(redact.value(Object.fromEntries(many)) as object)
    expect(kept.map(([, inner]) => inner)).toEqual(many.map(([, at]) => at))
    expect(kept.at(-1)![0]).toBe('[redacted: aws-access-key] (20000)')
    const polluting = JSON.parse(`{"__proto__": {"a": "hunter2"}}`) as never
    expect(JSON.stringify(redact.value(polluting))).toBe('{"__proto__":{"a":"secret://PIN"}}')
  })

  test('wherever it stands in whatever text, no twelve characters of it are left', () => {
    const letters = fc.string({
      minLength: 12,
      maxLength: 60,
      unit: fc.constantFrom(...'abcdefgh0123+/"\\ %é€'.split('')),
    })
    fc.assert(
      fc.property(letters, letters, fc.string(), fc.nat(40), fc.nat(40), (secret, other, noise, from, length) => {
        fc.pre(!other.includes(secret))
        const { text } = redactor({ secrets: { A: secret, B: other } })
        const told = text(`${noise}${secret.slice(from, from + 12 + length)}${noise}${secret}${other}${noise}`)
        const left = told.replaceAll(/secret:\/\/[AB]/g, '\n')
        for (const hidden of [secret, other]) {
          for (let at = 0; at + 12 <= hidden.length; at += 1) expect(left).not.toContain(hidden.slice(at, at + 12))
        }
        expect(text(told)).toBe(told)
      }),
      { numRuns: 300 },
    )
  })

  test('needs a name and a value that can be told from other text', () => {
    expect(secretProblem('TOKEN_2', 'abcdef')).toBeUndefined()
    for (const [name, given] of [
      ['a-b', 'abcdef'],
      ['2A', 'abcdef'],
      ['A', 'abc'],
      ['A', undefined],
      ['A', '\ud800abcdef'],
    ]) {
      expect(secretProblem(name!, given)).toBeTypeOf('string')
    }
  })
})

describe('a key that nobody told about', () => {
  test.each(Object.entries(keys))('%s is taken out by its shape, anywhere in a text', (name, key) => {
    const kind = name.replace(/ .*/, '')
    const told = plainRedactor.text(`It is ${key}, they say.`)
    expect(told).toContain(`[redacted: ${kind}]`)
    expect(told).not.toContain(key)
    expect(told).toMatch(/^It is .*, they say\.$|^It is /)
    expect(plainRedactor.text(told)).toBe(told)
    expect(plainRedactor.text(`{"a":"${key}"}`)).toContain(`[redacted: ${kind}]`)
  })

  test('has an example for every shape', () => {
    const shapes = new Set(keyShapes.map(({ name }) => name))
    expect(new Set(Object.keys(keys).map((name) => name.replace(/ .*/, '')))).toEqual(shapes)
    for (const { hints } of keyShapes) for (const hint of hints) expect(hint.length, hint).toBeGreaterThanOrEqual(3)
  })

  test('is not hidden by what stands right before it: an escape, or what looks as if it were taken out already', () => {
    const key = keys['github-token']!
    for (const before of ['secret://', '[redacted: ', '\uFFFC', 'secret://DB', 'a=1\\n', '%3D', '\\u003d']) {
      expect(redact.text(`${before}${key}`), before).not.toContain(key.slice(4, 30))
    }
  })

  test.each([
    '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
    'd41d8cd98f00b204e9800998ecf8427e',
    'da39a3ee5e6b4b0d3255bfef95601890afd80709',
    'sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==',
    '01a0b9c5-6f1d-7cc3-8a52-1b1a4c3f9e10',
    'claude-sonnet-4-5-20250929',
    'anthropic/claude-3-5-sonnet-20241022-v2:0',
    'gpt-4.1-mini-2025-04-14',
    'us.meta.llama3-3-70b-instruct-v1:0',
    'sk-learn-based-classification-model-2024',
    'task-2024-11-05T10:00:00Z-key-id-0123456789',
    'npm_config_registry and hf_hub and xoxo, SKU SK1234',
    'A bearer authentication-scheme is used. Basic understanding-of-things.',
    'https://ana@example.com:8443/a:b@c and mailto:ana@example.com',
    'postgres://db.example.com:5432/app',
    'the password is in the AWS_SECRET_ACCESS_KEY variable',
    'eyJhbGciOiJIUzI1NiJ9 alone is a header',
    '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
    'secret://DB and secret://ELSE',
    '[redacted: jwt] was here',
  ])('is not seen in %s', (text) => {
    expect(redact.text(text)).toBe(text)
  })
})

describe('a pattern of the user', () => {
  const cards = redactor({ secrets: { DB: value }, patterns: [/\b\d{4}(?: \d{4}){3}\b/, /ana/i] })

  test('is taken out under its number', () => {
    expect(cards.text('Ana paid with 4111 1111 1111 1111.')).toBe(
      '[redacted: pattern-2] paid with [redacted: pattern-1].',
    )
  })

  test('that matches everything leaves what was taken out, and ends', () => {
    const all = redactor({ secrets: { DB: value }, patterns: [/[^]+/, /x*/] })
    const told = all.text(`a ${value} b`)
    expect(told).toBe('[redacted: pattern-1]secret://DB[redacted: pattern-1]')
    expect(all.text(told)).toBe(told)
  })

  test('is found at every place of a text that is longer than what it is run over at a time', () => {
    for (let at = 18_900; at < 20_100; at += 97) {
      const told = cards.text(`${'x '.repeat(at / 2)}4111 1111 1111 1111${' y'.repeat(15_000)}`)
      expect(told).not.toContain('1111')
      expect(told.match(/pattern-1/g)).toHaveLength(1)
    }
  })

  test('that remembers where it was finds every match all the same', () => {
    expect(redactor({ patterns: [/abc/gy] }).text('x abc abc')).toBe('x [redacted: pattern-1] [redacted: pattern-1]')
  })

  test('that is none is refused', () => {
    expect(() => redactor({ patterns: ['abc' as never] })).toThrow('CONFIG_INVALID')
  })
})

test('what is clean comes back as it is: the very same value', () => {
  const clean = { a: ['x', 1, null, { b: 'long enough to be looked at, and nothing in it' }], c: true }
  expect(redact.value(clean)).toBe(clean)
  const half = { a: ['x'], b: 'hunter2' }
  expect((redact.value(half) as typeof half).a).toBe(half.a)
  expect(half.b).toBe('hunter2')
})

test('what lies a thousand levels deep is taken out, and keys out of order there are put in order, each looked at once', () => {
  const deep = (end: Json): Json =>
    Array.from({ length: 1_000 }).reduce<Json>(
      (inner, _, level) => (level % 2 === 0 ? { b: inner, a: level } : [inner]),
      end,
    )
  expect(JSON.stringify(redact.value(deep('hunter2')))).toContain('"b":"secret://PIN"')
  expect(JSON.stringify(inOrder(deep({ d: 1, c: 2 })))).toMatch(/\{"c":2,"d":1\}(\}|\])+$/)
})

test('redacting twice is redacting once, for any JSON with any secrets in it', () => {
  const parts = fc.constantFrom(
    value,
    'hunter2',
    base64(value),
    ...Object.values(keys),
    'secret://DB',
    '[redacted: jwt]',
    '\uFFFC',
    ' ',
  )
  const text = fc.array(fc.oneof(parts, fc.string()), { maxLength: 6 }).map((list) => list.join(''))
  const both = redactor({ secrets: { DB: value, PIN: 'hunter2' }, patterns: [/[q-z]+\d/, /^a|b$/] })
  fc.assert(
    fc.property(fc.array(fc.oneof(text, fc.dictionary(text, text))), (given) => {
      const once = both.value(given)
      expect(both.value(once)).toEqual(once)
    }),
    { numRuns: 300 },
  )
})

test('no hash, id, name or number of any history is touched: without a secret the log is as it was', async () => {
  const secrets = Object.fromEntries(
    Array.from({ length: 50 }, (_, index) => [`S${index}`, base64(`secret number ${index} of fifty`)]),
  )
  const many = redactor({ secrets })
  const store = await openSqlite(join(folder(), 'store.db'))
  onTestFinished(() => store.close())
  let events = 0
  for (let seed = 1; seed <= 12; seed += 1) {
    const choices = Array.from({ length: 160 }, (_, index) => Math.floor(draw(seed, index, 1) * 1_000))
    const values = ['a', { b: [1, 'two', null] }, 'text '.repeat(50)]
    const history = await playHistory(store, `t${seed}`, 'goal', choices, values)
    for (const { data } of history.events) expect(many.value(data as never)).toBe(data)
    events += history.events.length
  }
  for (const table of await store.read('t1')) expect(many.text(table.hash)).toBe(table.hash)
  expect(events).toBeGreaterThan(300)
})
