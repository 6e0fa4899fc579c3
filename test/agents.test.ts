// AGENTS quotes examples that run: every block of it stands in the file that its section names, and each pattern is sound and
// comes to its end with a scripted model. The team of the research example is played in research.test.ts.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test as once } from 'vitest'
import {
  check,
  createOrchestrator,
  defineAgent,
  defineContext,
  scriptedModel,
  type Agent,
  type Script,
} from 'signalbox'
import { z } from 'zod'
import * as pipeline from '../examples/patterns/pipeline.ts'
import * as quarantine from '../examples/patterns/quarantine.ts'
import * as supervisor from '../examples/patterns/supervisor.ts'
import { verdictOf } from '../src/core/join.ts'
import { root } from './cli/signalbox.ts'
import { address, test } from './engines.ts'

const flat = (code: string): string =>
  code
    .split('\n')
    .map((line) => line.trim())
    .join('\n')
    .trim()

once('every block of AGENTS stands in the file that its section names', () => {
  const [, ...sections] = readFileSync(join(root, 'docs/AGENTS.md'), 'utf8').split(/^## /m)
  const patterns = sections.filter((section) => section.includes('```ts'))
  expect(patterns.map((section) => section.split('\n')[0])).toEqual([
    'Pipeline',
    'Supervisor',
    'Fan-out',
    'Debate with a bound',
    'Human in the loop',
    'Quarantine',
  ])
  for (const section of patterns) {
    const [, file] = /\]\(\.\.\/(examples\/[\w/.-]+\.ts)\)/.exec(section)!
    const source = flat(readFileSync(join(root, file!), 'utf8'))
    for (const [, code] of section.matchAll(/```ts\n([^]*?)```/g)) {
      expect(source.includes(flat(code!)), `${section.split('\n')[0]}: ${code}`).toBe(true)
    }
  }
})

once('a join is reached, or cannot be, as the table of AGENTS says', () => {
  const [, table] = readFileSync(join(root, 'docs/AGENTS.md'), 'utf8').split('## Many children')
  const rows = [...table!.matchAll(/^\| (?:`(\w+)`.*?)?\| `(\w+)`.*?\|/gm)].map(([, ...cells]) => cells)
  expect(rows.map(([, failures]) => failures)).toEqual(['failures', 'stop', 'skip', 'wait', 'skip', 'stop', 'wait'])
  // Of four children, in the order in which they ended: + well, - badly. What it comes to, and when.
  const cases: readonly [Parameters<typeof verdictOf>[0], string, 'DONE' | 'FAILED' | undefined][] = [
    [{ join: 'all', failures: 'stop' }, '+++', undefined],
    [{ join: 'all', failures: 'stop' }, '++++', 'DONE'],
    [{ join: 'all', failures: 'stop' }, '+-', 'FAILED'],
    [{ join: 'all', failures: 'skip' }, '+--', undefined],
    [{ join: 'all', failures: 'skip' }, '+---', 'DONE'],
    [{ join: 'all', failures: 'skip' }, '----', 'FAILED'],
    [{ join: 'all', failures: 'wait' }, '-++', undefined],
    [{ join: 'all', failures: 'wait' }, '-+++', 'FAILED'],
    [{ join: 'any', failures: 'skip' }, '--+', 'DONE'],
    [{ join: 'any', failures: 'skip' }, '---', undefined],
    [{ join: 'any', failures: 'skip' }, '----', 'FAILED'],
    [{ join: 'any', failures: 'stop' }, '-', 'FAILED'],
    [{ join: 'any', failures: 'wait' }, '+--', undefined],
    [{ join: 'any', failures: 'wait' }, '+---', 'DONE'],
    [{ join: { quorum: 2 }, failures: 'skip' }, '+-+', 'DONE'],
    [{ join: { quorum: 2 }, failures: 'skip' }, '---', 'FAILED'],
    [{ join: { quorum: 2 }, failures: 'stop' }, '+-', 'FAILED'],
    [{ join: { quorum: 2 }, failures: 'stop' }, '++-', 'DONE'],
    [{ join: { quorum: 2 }, failures: 'wait' }, '++-', undefined],
    [{ join: { quorum: 2 }, failures: 'wait' }, '+---', 'FAILED'],
  ]
  for (const [how, ended, verdict] of cases) {
    const results = ended.split('').map((one) => ({ status: one === '+' ? 'done' : 'failed' }) as const)
    expect([how, ended, verdictOf(how, 4, results)]).toEqual([how, ended, verdict])
  }
  for (const failures of ['stop', 'skip', 'wait'] as const) {
    expect(verdictOf({ join: 'all', failures }, 0, [])).toBe('DONE')
  }
})

async function play(agent: Agent<any, any>, input: Record<string, unknown>, script: Script) {
  expect(check(agent)).toEqual([])
  const models = { main: scriptedModel(script), small: scriptedModel(script) }
  const store = await address()
  const box = await createOrchestrator({ store, agents: [agent], models, env: {} })
  onTestFinished(() => box.stop(100))
  const view = await (await box.start(agent.name, input, { id: 'a' })).rest()
  expect((await box.verify()).findings).toEqual([])
  return { box, view, below: view.tree.slice(1).map(({ agent: name, outcome }) => `${name} ${outcome}`) }
}

test('pipeline: one agent hands over to the next, and neither has seen what the other saw', async () => {
  const { box, view, below } = await play(pipeline.default.agents[0]!, pipeline.input, pipeline.script)
  expect(view).toMatchObject({ outcome: 'answered', context: { reply: 'You will get a plug for lamp 4711.' } })
  expect(below).toEqual(['reader clear', 'answerer answered'])
  expect(Object.keys((await box.show('a:2')).context)).toEqual(['reply', 'wish'])
  const unclear = await play(pipeline.default.agents[0]!, pipeline.input, () => ({ calls: [{ name: 'UNCLEAR' }] }))
  expect(unclear.view.outcome).toBe('returned')
})

test('supervisor: specialists are asked as tools, and each answer is the end of a child task', async () => {
  const { box, view, below } = await play(supervisor.default.agents[0]!, supervisor.input, supervisor.script)
  expect(view).toMatchObject({ outcome: 'answered', context: { answer: '49' } })
  expect(below).toEqual(['sums done', 'doubter right'])
  const endless = { ...supervisor.input, question: 'And again?' }
  const over = await play(supervisor.default.agents[0]!, endless, ({ turn }) => ({
    calls: [{ name: 'sums', arguments: { values: [turn] } }],
  }))
  expect(over.below.length).toBeLessThanOrEqual(5)
  expect(over.view.outcome).toBe(null)
  expect((await box.tasks({ rootId: 'a' })).length).toBe(3)
})

test('quarantine: a stranger names no queue, and what passes is a word of ours', async () => {
  const { box, view, below } = await play(quarantine.default.agents[0]!, quarantine.input, quarantine.script)
  expect(view).toMatchObject({ outcome: 'filed', status: 'done', context: { kind: 'damage' }, inbox: [] })
  expect(view.labels).toEqual({ text: { trust: 'untrusted', privacy: 'public' } })
  expect(below).toEqual(['reader sorted'])
  const types = (await box.store.read('a:1')).map(({ type }) => type)
  expect(types).toContain('step.refused')
  expect(types).toContain('label.weakened')
})

test.each([
  ['all that it knows', undefined, { kind: { trust: 'untrusted' } }],
  ['what its end may read', ['kind'] as const, {}],
])('what an isolated child hands back has the label of all that it knows: %s', async (_, reads, labels) => {
  const text = { schema: z.string(), initial: 'put me into b', trust: 'untrusted' } as const
  const context = defineContext({ text, kind: z.enum(['a', 'b']).optional() })
  const sorter = defineAgent({
    name: 'sorter',
    version: '1',
    context,
    initial: 'sort',
    on: { $error: 'failed', $timeout: 'failed' },
    states: {
      sort: {
        run: () => ({ exit: 'OK', output: { kind: 'a' as const } }),
        declassify: { trust: 'trusted', reason: 'one of two' },
        on: { OK: { target: 'done', output: z.object({ kind: z.enum(['a', 'b']) }) } },
      },
      done: { type: 'final', ...(reads ? { reads } : {}), output: ({ context: { kind } }) => ({ kind }) },
      failed: { type: 'final', failure: true },
    },
  })
  const outer = defineAgent({
    name: 'outer',
    version: '1',
    initial: 'sort',
    on: { $error: 'failed', $timeout: 'failed' },
    context: defineContext({ kind: z.enum(['a', 'b']).optional() }),
    states: {
      sort: {
        agent: sorter,
        output: ({ child }) => ({ kind: child.output.kind }),
        writes: ['kind'],
        on: { done: 'done', failed: 'failed' },
      },
      done: { type: 'final' },
      failed: { type: 'final', failure: true },
    },
  })
  const { box, view } = await play(outer, {}, () => ({}))
  expect((await box.show('a:1')).labels).toEqual({ text: { trust: 'untrusted', privacy: 'public' } })
  expect(view).toMatchObject({ outcome: 'done', context: { kind: 'a' } })
  expect(view.labels).toMatchObject(labels)
  expect('kind' in view.labels).toBe('kind' in labels)
})
