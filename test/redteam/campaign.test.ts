// The battery is made from the machine, each cell has a verdict or a reason, and a play's name says it whole.

import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { defineTool } from '../../src/core/tool.ts'
import { attacks, campaign, type CampaignOptions } from '../../src/redteam/campaign.ts'
import { defineFault, faultKinds } from '../../src/redteam/fault-kinds.ts'
import { invariants } from '../../src/redteam/invariants.ts'
import { fault, state } from '../../src/redteam/plan.ts'
import { play } from '../../src/redteam/world.ts'
import { writePoints } from '../../src/runtime.ts'
import { htmlOf } from '../../src/redteam/html.ts'
import { junitOf } from '../../src/redteam/junit.ts'
import { findingsOf, matrixOf, reasonsOf, sayFinding, sumOf } from '../../src/redteam/report.ts'
import { machines, prices } from '../simulate/machines.ts'

const look = defineTool({
  name: 'look',
  description: 'Looks.',
  inputSchema: z.object({ at: z.string() }),
  trust: 'untrusted',
  execute: () => {
    throw new Error('A tool was called for real.')
  },
})
const post = defineTool({
  name: 'post',
  description: 'Tells the world.',
  inputSchema: z.object({ words: z.string() }),
  effect: 'external',
  execute: () => {
    throw new Error('A tool was called for real.')
  },
})
const reporter = defineAgent({
  name: 'reporter',
  version: '1',
  context: defineContext({ topic: z.string(), words: z.string().optional() }),
  initial: 'read',
  on: {
    $error: 'failed',
    $timeout: 'failed',
    $refused: 'failed',
    $stuck: 'failed',
    $turns: 'failed',
    $limit: 'failed',
  },
  states: {
    read: {
      model: 'main',
      prompt: 'Read.',
      tools: [look],
      turns: 8,
      on: { READ: { target: 'ask', output: z.object({ words: z.string() }) } },
    },
    ask: { human: { question: 'Shall it be posted?' }, on: { YES: 'wait', NO: 'failed' } },
    wait: { wait: { signal: 'noon' }, on: { DONE: 'post' } },
    post: { tool: post, args: ({ context }) => ({ words: context.words ?? '' }), on: { DONE: 'posted' } },
    posted: { type: 'final' },
    failed: { type: 'final', failure: true },
    orphaned: { model: 'main', prompt: 'Nobody comes here.', on: { DONE: 'failed' } },
    lost: { run: () => 'ON', on: { ON: 'orphaned' } },
  },
})
// `check` would not let a state stand that nothing leads to.
const { orphaned: _orphaned, lost: _lost, ...states } = reporter.states
const agent = Object.freeze({ ...reporter, states }) as unknown as typeof reporter
const attack = (more: Partial<CampaignOptions> = {}) => campaign({ agent, ...more })

test('every cell has a verdict or a reason, and the matrix a row for every attack that was met', async () => {
  const ran = await attack({ only: ['ask'] })
  expect(ran.cells).toHaveLength(faultKinds.length + attacks.length)
  for (const cell of ran.cells) expect(cell.verdict === 'not met', cell.row).toBe(cell.reason !== undefined)
  const held = ran.cells.filter(({ verdict }) => verdict === 'held').map(({ row }) => row)
  expect(held).toEqual(
    expect.arrayContaining(['H01', 'H02', 'H04', 'H05', 'H07', 'P01', 'P02', 'P05', 'D02', 'C01', 'R1']),
  )
  expect(ran.killedAt).toEqual(expect.arrayContaining(['answer']))
  expect(matrixOf(ran).map(([row]) => row)).toEqual(['', ...held])
  expect(reasonsOf(ran).join('\n')).toMatch(/no model is asked here/)
})

test('a worker is killed at every write that it can come to, and for each of the others there is a reason', async () => {
  const ran = await attack({ only: ['P01'] })
  const killed = ['answer', 'cancel', 'claim', 'permit', 'release', 'renew', 'rest', 'settle', 'signal', 'start']
  expect(ran.killedAt).toEqual(killed)
  expect(ran.cells.every(({ verdict }) => verdict === 'held')).toBe(true)
  expect(ran.spared.map(({ point }) => point)).toEqual(writePoints.filter((point) => !killed.includes(point)))
  expect(reasonsOf(ran).join('\n')).toMatch(/^not killed at rollback: nobody takes a task back here: test\/crash/m)
  for (const [file] of reasonsOf(ran)
    .join(' ')
    .matchAll(/test\/[\w/.]+\.ts/g))
    expect(existsSync(file), file).toBe(true)
})

test('a play is told again under the quotas that it was played with, not those of the campaign', async () => {
  const only = ['Q1@research.search']
  const ran = await campaign({ agent: machines['research']!, config: { prices }, only })
  expect(ran.cells).toMatchObject([{ row: 'Q1', verdict: 'held', breaches: [] }])
})

test('of a write that no play came to nothing is claimed', async () => {
  const ran = await attack({ only: ['P01', 'post'] })
  expect(ran.killedAt).not.toContain('signal')
  const why = Object.fromEntries(ran.spared.map(({ point, reason }) => [point, reason]))
  expect(why).toMatchObject({
    signal: 'none of the states that were attacked waits for a signal',
    start: 'the state that a task begins in was not attacked',
  })
  const over = await attack({ only: ['P01', 'post'], isOver: () => true })
  expect(over.killedAt).toEqual([])
  expect(over.spared.find(({ point }) => point === 'renew')!.reason).toBe('no play of it was begun, or came so far')
})

test('a breaker opens, is probed and closes in one play, and a call that came through it while it was open would be a breach', async () => {
  const ran = await attack({ only: ['Q1'] })
  const cell = ran.cells.find(({ state: name }) => name === 'read')!
  expect([cell.verdict, cell.plays]).toEqual(['held', 1])
  const evidence = await play({
    agent,
    seed: 1,
    target: { agent: 'reporter', state: 'read' },
    config: { quotas: { main: { breaker: { failures: 2, coolDown: '20s' } } } },
    faults: [1, 2, 3].map(() => fault('M05').at(state('read'))),
  })
  const changes = evidence.written.flatMap(({ type, data }) => (type === 'breaker.changed' ? [data.status] : []))
  expect(changes).toEqual(['closed', 'open', 'half-open', 'open', 'half-open', 'closed'])
  const { breaks } = invariants.find(({ id }) => id === 'I14')!
  expect(breaks(evidence)).toEqual([])
  const opens = evidence.written.findIndex(({ type, data }) => type === 'breaker.changed' && data.status === 'open')
  const early = {
    ...evidence.written.find(({ type }) => type === 'model.called')!,
    at: evidence.written[opens]!.at + 1,
  }
  expect(breaks({ ...evidence, written: evidence.written.toSpliced(opens + 1, 0, early as never) })).toHaveLength(1)
})

test('an agent that decides otherwise when it is told again is found in every state', async () => {
  let asked = 0
  const { read, ...others } = states
  const prompt = (): string => `Read, ${(asked += 1)}.`
  const fickle = Object.freeze({
    ...agent,
    states: { read: { ...read, prompt }, ...others },
  }) as unknown as typeof agent
  const ran = await campaign({ agent: fickle, only: ['M03', 'read'] })
  expect(findingsOf(ran)).toMatchObject([
    { invariant: 'I16', problem: expect.stringMatching(/model\.called \(prompt\.user/) as string },
  ])
})

test('the same seed comes to the same campaign, and a play by its name is the play that it was among all others', async () => {
  const ran = await attack({ only: ['X1', 'read'], seed: 5 })
  const found = findingsOf(ran)
  expect(ran.cells.map(({ verdict }) => verdict)).toContain('held')
  expect(await attack({ only: ['X1', 'read'], seed: 5 })).toEqual(ran)
  expect(found).toEqual([])
})

test('an expectation of your own is held to like an invariant, and says what to type to see it again', async () => {
  const expectation = { name: 'it is posted', holds: ({ tasks }: any) => tasks[0].row.outcome === 'posted' }
  const ran = await attack({ only: ['M08', 'read'], expect: [expectation] })
  const [finding] = findingsOf(ran)
  expect(finding).toMatchObject({
    severity: 'breach',
    invariant: 'your own',
    problem: 'it is posted',
    play: 'M08@reporter.read#1',
    plays: 2,
  })
  expect(sayFinding(finding!)).toBe('breach your own: it is posted (2 plays)')
  const alone = await attack({ only: [finding!.play], expect: [expectation] })
  expect(alone.plays).toBe(1)
  expect(alone.cells.flatMap(({ breaches }) => breaches)[0]!.log).toEqual(finding!.log)
})

test('shards are the whole, each play once; a budget that is over begins nothing more, and says so', async () => {
  const only = ['M05']
  const whole = await attack({ only })
  const parts = await Promise.all([1, 2, 3].map((index) => attack({ only, shard: { index, of: 3 } })))
  expect(parts.reduce((sum, { plays }) => sum + plays, 0)).toBe(whole.plays)
  const over = await attack({ only, isOver: () => true })
  expect([over.plays, over.left]).toEqual([0, whole.plays])
  expect(over.cells.find(({ state }) => state === 'read')!.reason).toBe('the budget was used up')
  expect(sumOf(over)).toMatch(/2 plays were not begun/)
})

test('a kind of your own is a row like ours', async () => {
  const french = defineFault({ id: 'MY1', what: 'answers in French', layer: 'model', act: () => ({ text: 'Non.' }) })
  const ran = await attack({ only: ['MY1'], kinds: [...faultKinds, french] })
  expect(ran.cells.find(({ row, state }) => row === 'MY1' && state === 'read')!.verdict).toBe('held')
})

test('the reports stand alone, and nothing that was said can break them', async () => {
  const evil = { name: '</script><b>"&\u0000', holds: () => false }
  const ran = await attack({ only: ['M08', 'read'], expect: [evil] })
  const again = (_: unknown, play: string): string => `signalbox redteam F --only '${play}'`
  const [xml, html] = [junitOf([ran], again), htmlOf([ran], again)]
  for (const text of [xml, html]) {
    expect(text).toContain('M08@reporter.read#1')
    expect(text).not.toContain('<b>"')
    expect(text).not.toContain('\u0000')
  }
  expect(xml).toMatch(/<testsuite name="redteam reporter" tests="\d+" failures="1"/)
  expect(html).toContain('<details><summary>its log</summary>')
  expect(html).not.toMatch(/<script|https?:\/\/(?!eve)/)
})
