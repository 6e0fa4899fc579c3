// Given, when, then, as somebody's own suite has it: what holds passes in silence, and what does not is told so that it can be mended.

import { AssertionError } from 'node:assert'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { agentTool, createOrchestrator, defineAgent, defineContext, defineTool, scriptedModel, usd } from 'signalbox'
import {
  answer,
  cancel,
  childEnds,
  event,
  functionFails,
  functionReturns,
  given,
  modelCalls,
  modelFails,
  modelSays,
  no,
  rollback,
  signal,
  timePasses,
  toolAnswers,
  toolFails,
  workerDies,
} from 'signalbox/testing'
import { z } from 'zod'

const look = defineTool({
  name: 'look',
  description: 'Looks.',
  inputSchema: z.object({ at: z.string() }),
  execute: () => expect.unreachable('a tool was called'),
})
const post = defineTool({
  name: 'post',
  description: 'Posts.',
  inputSchema: z.object({ text: z.string() }),
  effect: 'external',
  approval: 'always',
  timeout: '10s',
  execute: () => expect.unreachable('a tool was called'),
  undo: () => expect.unreachable('a tool was called'),
})
const helper = defineAgent({
  name: 'helper',
  version: '1',
  context: defineContext({ question: z.string() }),
  initial: 'think',
  states: { think: { model: 'main', prompt: 'p', on: { KNOWN: 'known' } }, known: { type: 'final' } },
})
const ask = agentTool(helper, { name: 'ask', description: 'Asks.' })
const reporter = defineAgent({
  name: 'reporter',
  version: '1',
  context: defineContext({ topic: z.string(), text: z.string().optional() }),
  initial: 'read',
  signals: { noon: z.strictObject({}) },
  on: { $error: 'failed', $timeout: 'failed', $limit: 'failed', $turns: 'failed' },
  states: {
    read: {
      model: ['main', 'backup'],
      prompt: ({ context }) => `Read about ${context.topic}.`,
      tools: [look, ask],
      turns: 5,
      timeout: '30s',
      checkpoint: 'begun',
      on: { READ: { target: 'sum', output: z.object({ text: z.string().min(2) }) } },
    },
    sum: { run: () => 'SHORT', on: { SHORT: 'wait', LONG: 'read' } },
    wait: { wait: { signal: 'noon' }, timeout: '1d', on: { DONE: 'post' } },
    post: {
      tool: post,
      args: ({ context }) => ({ text: context.text ?? '' }),
      on: { DONE: 'posted', $refused: 'failed' },
    },
    posted: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})
const topic = { topic: 'rain' }
const read = modelCalls('READ', { text: 'It rains.' })
const asked = [read, functionReturns('SHORT'), signal('noon')]

test('what a model, a tool, a function, a child, a person, time and a death lead to is decided by the engine', () => {
  given(reporter, topic)
    .when(modelCalls('look', { at: 'sky' }))
    .then([event('tool.called', { tool: 'look', arguments: { at: 'sky' }, idempotencyKey: /^t\./ })])
  given(reporter, topic, modelCalls('look', { at: 'sky' }))
    .when(toolAnswers('look', { sees: 'clouds' }))
    .then([
      event('tool.answered', { result: { sees: 'clouds' } }),
      event('model.called', { turn: 2, prompt: undefined }),
    ])
  given(reporter, topic, modelSays({ calls: ['a', 'b'].map((at) => ({ name: 'look', arguments: { at } })) }))
    .when(toolFails('look', 'fog'), toolFails('look', 'fog'), toolFails('look', 'fog'))
    .then([event('tool.failed', { message: 'fog' }), event('tool.failed'), no('model.called')])
  given(reporter, topic, modelCalls('ask', { question: 'why?' }))
    .when(childEnds('helper', 'known', { because: 'wind' }))
    .then([event('child.ended', { status: 'done', outcome: 'known' }), event('model.called', { turn: 2 })])
  given(reporter, topic, read)
    .when(functionFails('no'))
    .then([event('function.failed', { message: 'no' }), event('task.ended', { outcome: 'failed' })])
  given(reporter, topic, ...asked)
    .when(answer('approve', { tool: 'post', by: 'ben' }))
    .then([event('human.answered', { by: 'ben' }), event('tool.called', { tool: 'post' })])
  given(reporter, topic, ...asked, answer('approve'))
    .when(workerDies())
    .then([event('step.lost'), event('tool.doubted', { tool: 'post' }), no('tool.called')])
  given(reporter, topic, read, functionReturns('SHORT'))
    .when(timePasses('1d'))
    .then([event('transition.taken', { source: 'wait', exit: '$timeout' })])
  given(reporter, topic, ...asked)
    .when(cancel())
    .then([event('task.cancelled', { by: 'ana' }), event('task.ended', { status: 'cancelled' }), no('tool.called')])
  given(reporter, topic, ...asked)
    .when(rollback('begun'))
    .then([event('rollback.started', { state: 'read' }), event('model.called')])
})

test('a provider fails as a script says it, tries come when they are due, and then the next model of the chain', () => {
  given(reporter, topic)
    .when(modelSays({ status: 503, body: 'overloaded' }))
    .then([event('model.failed', { status: 503, class: 'overload', retry: { model: undefined } }), no('model.called')])
  const { events } = given(reporter, topic).when(modelFails('auth'), read)
  expect(events.flatMap((one) => (one.type === 'model.called' ? one.data.model : []))).toEqual(['backup'])
  const hung = given(reporter, topic).when(modelSays({ hang: true }))
  expect([hung.state, hung.context]).toEqual(['failed', topic])
  given(reporter, topic)
    .when(modelSays({ calls: [{ name: 'READ', raw: '{"text":' }] }))
    .then([event('step.refused', { reason: 'invalid-json' }), event('model.called', { turn: 2 })])
})

test('prices, ceilings and rules are those that are given', () => {
  const prices = { main: { inputUsdPerMillion: 1_000, outputUsdPerMillion: 1_000 } }
  const usage = { inputTokens: 90, outputTokens: 10 }
  given({ agent: reporter, prices }, topic)
    .when(modelSays({ calls: [{ name: 'look', arguments: { at: 'a' } }], usage }))
    .then([event('model.answered', { charge: { inputTokens: 90 } })])
  given({ agent: reporter, limits: { steps: 1, cost: usd(1) } }, topic)
    .when(modelCalls('look', { at: 'a' }))
    .then([
      event('limit.reached', { limit: 'steps', max: 1 }),
      event('task.ended', { outcome: 'failed' }),
      no('tool.called'),
    ])
  const rule = {
    name: 'no looking',
    judge: ({ name }: { name: string }) => (name === 'look' ? 'deny' : undefined),
  } as const
  given({ agent: reporter, policy: [rule] }, topic)
    .when(modelCalls('look', { at: 'a' }))
    .then([event('step.refused', { reason: 'policy-denied', rule: 'no looking' }), no('tool.called')])
})

test('what is refused is told by its code, and is no silent success', () => {
  const late = given(reporter, topic, ...asked, answer('reject'))
  late.when(signal('noon')).thenRefused('TASK_ENDED', [no('signal.received')])
  given(reporter, topic).when(signal('night')).thenRefused('INPUT_INVALID')
  const flew = given(reporter, topic, ...asked).when(answer('fly'))
  flew.thenRefused('DECISION_UNKNOWN', [event('answer.refused', { problem: 'unknown-decision' })])
  expect(flew.refused!.code).toBe('DECISION_UNKNOWN')
  expect(() => flew.then([no('tool.called')])).toThrow(/^It was refused: DECISION_UNKNOWN/)
  expect(() => flew.thenRefused('ITEM_CLOSED')).toThrow(
    /to be refused with ITEM_CLOSED. It was refused: DECISION_UNKNOWN/,
  )
})

/** What a test is told that fails. */
function told(fails: () => void): string {
  try {
    fails()
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(AssertionError)
    expect((thrown as Error).stack).toMatch(/\n\s+at fails? |\n\s+at \S*\(?\S*given\.test\.ts/)
    return (thrown as Error).message
  }
  return expect.unreachable('it did not fail')
}

test('what does not hold is told with what came nearest, field by field, all that was decided, and where the task stands', () => {
  const came = given(reporter, topic, ...asked).when(answer('approve'))
  const message = told(() =>
    came.then([event('tool.called', { tool: 'post', arguments: { text: /snows/ }, attempt: 1 })]),
  )
  expect(message).toMatch(
    /^There is no tool\.called .*\. The nearest is #\d+:\n {2}arguments\.text: expected \/snows\/, and it is "It rains\."\n/,
  )
  expect(message).toMatch(/\n\nDecided:\n {2}#\d+ human\.answered \{.*\n {2}#\d+ tool\.called \{/)
  expect(message).toMatch(/Now the task is in post, where the tool post is called\.$/)
})

test.each([
  ['one that is missing', () => [event('task.ended')], /^There is no task\.ended\.\n/],
  [
    'one too early',
    () => [event('tool.called'), event('human.answered')],
    /^There is no human\.answered after event #\d+; there is one before it, #/,
  ],
  [
    'one field that was to be absent',
    () => [event('tool.called', { tool: undefined })],
    /tool: expected not there, and it is "post"/,
  ],
  ['one field that is absent', () => [event('tool.called', { undoes: 3 })], /undoes: expected 3, and it is not there/],
  [
    'one that was not to be',
    () => [event('human.answered'), no('tool.called', { tool: 'post' })],
    /^There was to be no tool\.called .*, and there is #\d+ tool\.called/,
  ],
])('%s is told', (_, expected, problem) => {
  const came = given(reporter, topic, ...asked).when(answer('approve'))
  expect(told(() => came.then(expected()))).toMatch(problem)
  came.then([event('tool.called'), no('task.ended'), no('tool.called', { tool: 'look' })])
})

test('only these events are these, in this order, and no others', () => {
  const came = given(reporter, topic, read).when(functionReturns('SHORT'))
  const all = ['function.returned', 'transition.taken', 'state.entered', 'wait.started'] as const
  came.thenOnly(all.map((type) => event(type)))
  for (const left of all) {
    const some = all.filter((type) => type !== left).map((type) => event(type))
    expect(told(() => came.thenOnly([...some]))).toMatch(
      new RegExp(`^There is #\\d+ ${left} .*, which nobody expected`),
    )
  }
  given(reporter, topic, read, functionReturns('SHORT')).when(timePasses('1h')).thenOnly([])
})

test.each<[string, () => unknown, RegExp]>([
  [
    'an outcome of what is not at work',
    () => given(reporter, topic, toolAnswers('look')),
    /toolAnswers\("look"\): it is not called: the task is in read, where the model main is asked/,
  ],
  ['an answer that nobody is asked for', () => given(reporter, topic).when(answer('yes')), /nobody is asked/],
  [
    'an end that a child does not have',
    () => given(reporter, topic, modelCalls('ask', { question: 'q' }), childEnds('helper', 'lost')),
    /helper has no final state lost/,
  ],
  ['then without a word', () => given(reporter, topic).when(read).then([]), /would always hold/],
  [
    'a log of another agent',
    () => given(helper, given(reporter, topic).when(read).events),
    /do not begin with task\.started/,
  ],
])('%s is a mistake of the test, and told as that', (_, wrong, problem) => {
  expect(wrong).toThrow(/^GIVEN_INVALID/)
  expect(wrong).toThrow(problem)
})

test('what came of it cannot be awaited, and so a test cannot forget to say what follows', async () => {
  // TypeScript says so, too, where it is not hidden from it.
  const forgetful = (): Promise<unknown> => Promise.resolve().then((): unknown => given(reporter, topic).when(read))
  await expect(forgetful()).rejects.toThrow(/^GIVEN_INVALID What came of it was awaited or returned/)
})

test('the events of a real task may be given, as far as one wants', async () => {
  const main = scriptedModel([{ calls: [{ name: 'look', arguments: { at: 'sky' } }] }, { status: 401 }])
  const agent = {
    ...reporter,
    states: { ...reporter.states, read: { ...reporter.states.read, tools: [{ ...look, execute: () => 'blue' }] } },
  }
  const box = await createOrchestrator({
    store: 'sqlite::memory:',
    agents: [agent as never],
    models: { main, backup: scriptedModel([{ status: 401 }]) },
  })
  const task = await box.start('reporter', topic)
  expect((await task.result()).outcome).toBe('failed')
  const log = await box.store.read(task.id)
  await box.stop()
  const answered = log.findIndex(({ type }) => type === 'tool.answered')
  given(reporter, log.slice(0, answered))
    .when(toolAnswers('look', 'grey'), read)
    .then([event('tool.answered', { result: 'grey' }), event('transition.taken', { exit: 'READ', target: 'sum' })])
  given(reporter, log).when(signal('noon')).thenRefused('TASK_ENDED')
  expect(() => given(reporter, log.toSpliced(2, 1))).toThrow(/^GIVEN_INVALID Event 4 .* does not follow/)
})

const root = join(import.meta.dirname, '../..')
const suite = join(root, 'examples/testing/clerk.test.ts')

test("the example's suite passes under the test runner of Node, with a worker killed at every write of a run", () => {
  const ran = spawnSync(process.execPath, ['--test', suite], { encoding: 'utf8' })
  expect(ran.stdout).toMatch(/pass 8\n.*fail 0/)
  expect(ran.status).toBe(0)
})

test('what REDTEAM shows of it stands in it, and every name that it tells of is one of the kit', async () => {
  const document = readFileSync(join(root, 'docs/REDTEAM.md'), 'utf8')
  const section = document.split('## In your own tests')[1]!.split('\n## ')[0]!
  const blocks = [...section.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code!)
  const shown = blocks.filter((code) => !code.includes('defineFault'))
  expect(shown).toHaveLength(3)
  for (const code of shown) expect(readFileSync(suite, 'utf8')).toContain(code)
  const kit = await import('signalbox/testing')
  const [, when] = /\*\*when\*\* ([^]*?)\*\*then\*\*/.exec(section)!
  const named = [...when!.matchAll(/`(\w+)`/g)].map(([, name]) => name!)
  expect(named.length).toBeGreaterThan(12)
  expect(named.filter((name) => !(name in kit))).toEqual([])
})
