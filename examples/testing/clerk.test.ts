// The clerk's own suite, for the test runner of Node: `node --test examples/testing/clerk.test.ts`. No model is asked, no money
// moves, no time passes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scriptedModel } from 'signalbox'
import {
  actedTwice,
  answer,
  event,
  fault,
  given,
  invariants,
  ledger,
  modelCalls,
  modelFails,
  no,
  outlive,
  play,
  state,
  timePasses,
  toolAnswers,
  workerDies,
  writePoint,
} from 'signalbox/testing'
import { clerk, clerkOf } from './clerk.ts'

const input = { invoice: '7' }
const words = { account: 'DE02', cents: 4_000 }
const read = [
  modelCalls('read_invoice', { invoice: '7' }),
  toolAnswers('read_invoice', 'Invoice 7: 40 euros, to DE02.'),
  modelCalls('READ', words),
]

test('nothing is paid before a person has agreed to exactly that', () => {
  given(clerk, input, ...read.slice(0, 2))
    .when(read[2]!)
    .then([
      event('transition.taken', { source: 'read', exit: 'READ', target: 'pay' }),
      event('human.asked', { kind: 'approval', show: { tool: 'pay', arguments: words } }),
      no('tool.called'),
    ])
})

test('what she agrees to is what is paid', () => {
  given(clerk, input, ...read)
    .when(answer('approve', { by: 'ana' }))
    .then([event('human.answered', { by: 'ana' }), event('tool.called', { tool: 'pay', arguments: words })])
})

test('an answer to other arguments than were shown is refused, and nothing is paid', () => {
  given(clerk, input, ...read)
    .when(answer('approve', { hash: 'f'.repeat(64) }))
    .thenRefused('HASH_MISMATCH', [event('answer.refused', { problem: 'other-arguments' }), no('tool.called')])
})

test('nobody answers for two days, and nothing is paid', () => {
  given(clerk, input, ...read)
    .when(timePasses('3d'))
    .then([event('task.ended', { outcome: 'unpaid', status: 'failed' }), no('tool.called')])
})

test('a provider that is overloaded is asked again', () => {
  given(clerk, input)
    .when(modelFails('overload'), read[0]!)
    .then([event('model.failed', { class: 'overload' }), event('tool.called', { tool: 'read_invoice' })])
})

test('a worker that dies while it pays leaves a question to a person, and nothing is paid again', () => {
  given(clerk, input, ...read, answer('approve'))
    .when(workerDies())
    .then([event('tool.doubted', { tool: 'pay' }), event('human.asked', { kind: 'question' }), no('tool.called')])
})

const main = scriptedModel(({ turn }) => {
  const [name, input] = turn === 1 ? ['read_invoice', { invoice: '7' }] : ['READ', words]
  return { calls: [{ name, arguments: input }] } as const
})

test('wherever the worker is killed, the bank pays once, or a person is asked', async () => {
  const run = async (crash?: Parameters<typeof outlive>[2]) => {
    const bank = ledger()
    const agent = clerkOf({ pay: bank.acts(({ cents }) => ({ paid: cents })) })
    const people = ({ kind }: { kind: string }) =>
      kind === 'approval' ? { decision: 'approve', by: 'ana', reason: 'it is ours' } : undefined
    const working = { agents: [agent], models: { main }, people }
    return { bank, ...(await outlive(working, (box) => box.start(agent, input, { id: 'invoice-7' }), crash)) }
  }
  const calm = await run()
  assert.equal(calm.task.outcome, 'paid')
  assert.ok(calm.crashes.length > 15, String(calm.crashes.length))
  for (const crash of calm.crashes) {
    const { bank, task, crashed } = await run(crash)
    const place = `${crash.when} ${crash.at} ${crash.attempt}`
    assert.ok(crashed, place)
    assert.deepEqual(bank.twice, [], place)
    assert.equal(bank.effects.length === 1 || task.state === 'ask', true, place)
    assert.equal(task.outcome === 'paid' || task.state === 'ask', true, place)
  }
})

test('a worker that is killed while it pays, in a world with an outside that is made up', async () => {
  const aim = fault('P01').at(state('pay')).at(writePoint('rest'))
  const evidence = await play({ agent: clerk, seed: 1, faults: [aim] })
  assert.equal(evidence.struck, 1)
  const paid = evidence.acts.filter(({ tool }) => tool === 'pay')
  assert.deepEqual([paid.length, actedTwice(paid)], [1, []])
  assert.deepEqual(
    invariants.flatMap(({ breaks }) => breaks(evidence)),
    [],
  )
})
