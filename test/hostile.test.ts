// Texts and values that databases are known to change, cut or refuse: what a store takes it gives back as it was, byte by byte,
// and what it does not take is refused by name, with nothing written.

import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { isFault } from '../src/core/fault.ts'
import { createOrchestrator } from '../src/orchestrator.ts'
import { engines } from './engines.ts'

const deep = (depth: number): unknown => {
  let value: unknown = 'deep'
  for (let at = 0; at < depth; at += 1) value = at % 2 === 0 ? [value] : { in: value }
  return value
}

const hostile: Readonly<Record<string, unknown>> = {
  NUL: 'before\u0000after',
  'both directions': '\u202eevil\u2066 \u200f',
  'every byte as a letter': String.fromCharCode(...Array.from({ length: 256 }, (_, code) => code)),
  'what looks like an escape': String.raw`\u0000 \x00 \\ \' " $1 ?1 {p1} %s`,
  SQL: `'); DROP TABLE events; --`,
  'beyond 2^53': [2 ** 53, 2 ** 53 + 2, -(2 ** 63), 1e308, 5e-324, -0, 1e21, 0.1 + 0.2],
  'keys of every kind': { '': 1, ' ': 2, '\u0000': 3, ключ: 4, 'a"b': 5 },
  prototypes: JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":1}}'),
  'a thousand levels': deep(1_000),
  'a megabyte': 'x'.repeat(1_000_000),
  empty: ['', [], {}, null],
}

const keeper = defineAgent({
  name: 'keeper',
  version: '1',
  context: defineContext({ value: z.unknown(), copy: z.unknown().optional() }),
  initial: 'copy',
  on: { $error: 'failed', $timeout: 'failed' },
  states: {
    copy: {
      run: ({ context }) => ({ exit: 'COPIED', output: { copy: context.value } }),
      writes: ['copy'],
      on: { COPIED: { target: 'ask', output: z.object({ copy: z.unknown() }) } },
    },
    ask: { human: { question: 'Well?' }, on: { yes: 'done' } },
    done: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

describe.each(engines)('$name', (engine) => {
  const open = async () => {
    const box = await createOrchestrator({ store: await engine.address(), agents: [keeper] })
    onTestFinished(() => box.stop())
    return box
  }

  test.each(Object.entries(hostile))('%s comes back as it was', async (_, value) => {
    const box = await open()
    const task = await box.start(keeper, { value }, { id: 't' })
    await task.rest()
    const meant = JSON.stringify(value)
    const context = Object.fromEntries(
      (await box.store.context('t')).map(({ key, value: kept }) => [key, JSON.stringify(kept)]),
    )
    const canonical = (text: string | undefined): unknown => text && sorted(JSON.parse(text))
    expect(canonical(context['value'])).toEqual(canonical(meant))
    expect(canonical(context['copy'])).toEqual(canonical(meant))
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    const { finding } = { finding: (await box.verify('t')).findings }
    expect(finding).toEqual([])
  })

  test.each(['NUL\u0000', 'half \ud83d'])(
    'a name or a reason with %j is refused by name, and nothing is written',
    async (text) => {
      const box = await open()
      const refused = async (act: () => Promise<unknown>): Promise<void> => {
        const before = await box.store.readSealed('t')
        await expect(act()).rejects.toSatisfy((thrown) => isFault(thrown, 'TEXT_INVALID'))
        expect(await box.store.readSealed('t')).toEqual(before)
      }
      await refused(() => box.start(keeper, { value: 1 }, { id: 't', by: text }))
      await (await box.start(keeper, { value: 1 }, { id: 't' })).rest()
      const [item] = await box.inbox()
      await refused(() => box.answer(item!.item, { decision: 'yes', by: text, reason: 'r' }))
      await refused(() => box.answer(item!.item, { decision: 'yes', by: 'ana', reason: text }))
      await box.answer(item!.item, { decision: 'yes', by: 'ana', reason: 'r' })
      expect((await box.task('t').result()).outcome).toBe('done')
      expect((await box.verify()).findings).toEqual([])
    },
  )

  test('half a character in a value is refused by name, and nothing is written', async () => {
    const box = await open()
    for (const value of ['half \ud83d and \udc00 half', { '\ud800': 1 }]) {
      await expect(box.start(keeper, { value }, { id: 't' })).rejects.toSatisfy((thrown) =>
        isFault(thrown, 'INPUT_INVALID'),
      )
    }
    expect(await box.tasks()).toEqual([])
  })

  test('a nesting that nobody can read is refused or stored whole, and the store goes on', async () => {
    const box = await open()
    const value = deep(100_000)
    const started = await box.start(keeper, { value }, { id: 't' }).then(
      () => true,
      (thrown: unknown) => {
        expect(isFault(thrown), String(thrown)).toBe(true)
        return false
      },
    )
    expect((await box.store.readSealed('t')).length > 0).toBe(started)
    await (await box.start(keeper, { value: 1 }, { id: 'u' })).rest()
    expect((await box.verify()).findings).toEqual([])
  })
})

/** The same value with its keys in order, so that texts of it can be compared. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => [key, sorted(inner)])
}
