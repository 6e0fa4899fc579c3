// `signalbox redteam`: what it finds in a machine with the classic faults left in, and how it speaks.

import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { folder } from '../folder.ts'
import { moduleOf } from '../project.ts'
import { startMockServer, type MockServer } from '../../src/providers/mock-server.ts'
import type { Script } from '../../src/providers/scripted.ts'
import { root, signalbox } from './signalbox.ts'

const fragile = join(root, 'examples/redteam/fragile.ts')

test('every fault that is planted in the fragile agent is named in one line, and the exit code is 1', async () => {
  const cwd = folder()
  // The first play of every cell comes before the second of any: on a slow machine the rest is left out.
  const files = ['--html', 'r.html', '--junit', 'r.xml']
  const ran = await signalbox(['redteam', fragile, '--json', '--budget', '35s', ...files], { cwd })
  expect(ran.code).toBe(1)
  const { ok, agents } = ran.json[0]
  expect(ok).toBe(false)
  const found = agents[0].findings.map(({ problem }: { problem: string }) => problem).join('\n')
  for (const planted of [
    /^send_mail was called in read with what a stranger ordered, and nobody was asked$/m,
    /^refund was called again in payBack after its answer was lost, under another key: it acted 2 times$/m,
    /^fragile\.read routes no \$timeout: the task stops, and a person is asked$/m,
    /^fragile\.read routes no \$error: the task stops, and a person is asked$/m,
    /^fragile\.read declares no limit of turns: what ended it rests on the engine's default of 20$/m,
    /^fragile\.judge declares no limit of repeats: what ended it rests on the engine's default of 3$/m,
  ]) {
    expect(found).toMatch(planted)
  }
  for (const { severity, problem, again } of agents[0].findings) {
    expect(ran.stderr).toContain(problem)
    expect(again).toMatch(/^signalbox redteam \S+fragile\.ts --agent fragile --seed 1 --only '/)
    expect(['breach', 'weak']).toContain(severity)
  }
  expect(readFileSync(join(cwd, 'r.html'), 'utf8')).toContain('its log')
  expect(readFileSync(join(cwd, 'r.xml'), 'utf8')).toContain('<failure type="I4"')
})

test('a breach is shown again by its one line, with its log', async () => {
  const ran = await signalbox(['redteam', fragile, '--only', 'T04@fragile.payBack:refund#1'])
  expect(ran.code).toBe(1)
  expect(ran.stderr).toMatch(/breach I4: refund was called again/)
  expect(ran.stderr).toMatch(/payBack/)
})

/** Answers tickets, and writes into a file whenever its tool is really called. */
const desk = `
  import { appendFileSync } from 'node:fs'
  import { defineAgent, defineContext, defineTool } from 'signalbox'
  import { z } from 'zod'
  const read = defineTool({ name: 'read_ticket', description: 'Reads.', inputSchema: z.object({ ticket: z.string() }),
    execute: ({ ticket }) => { appendFileSync('called', ticket); return 'Where is parcel 88?' } })
  export const desk = defineAgent({
    name: 'desk', version: '1', initial: 'read', context: defineContext({ ticket: z.string(), reply: z.string().optional() }),
    limits: { steps: 9 }, on: { $error: 'failed', $timeout: 'failed', $refused: 'failed', $turns: 'failed', $stuck: 'failed', $limit: 'failed' },
    states: {
      read: { model: 'main', prompt: 'Read.', tools: [read], turns: 4, on: { ANSWERED: { target: 'done', output: z.object({ reply: z.string() }) } } },
      done: { type: 'final' }, failed: { type: 'final', failure: true },
    } })
  export const redteam = { expect: [{ name: 'parcel 88 it is', holds: ({ tasks: [{ events }] }) =>
    events.filter(({ type }) => type === 'context.written').every(({ data }) => data.key !== 'reply' || data.value.includes('88')) }] }
`
const clerk: Script = ({ turn }) =>
  turn === 1
    ? { calls: [{ name: 'read_ticket', arguments: { ticket: '7' } }] }
    : { calls: [{ name: 'ANSWERED', arguments: { reply: 'Parcel 88 comes on Monday.' } }] }

/** A model behind a socket, and the environment that points at it. */
async function server(): Promise<MockServer & { env: Record<string, string> }> {
  const mock = await startMockServer(clerk)
  onTestFinished(() => mock.close())
  return Object.assign(mock, { env: { SIGNALBOX_BASE_URL: mock.url, SIGNALBOX_MODEL: 'mock' } })
}

test('recorded tasks say what was said in them, from a store and from a file alike, and no tool is called', async () => {
  const file = moduleOf(desk)
  const cwd = dirname(file)
  const { env } = await server()
  await signalbox(['run', file, '--id', 't', '--input', '{"ticket":"7"}'], { cwd, env })
  await signalbox(['export', 't', '--out', 'incident.json'], { cwd })
  expect(readFileSync(join(cwd, 'called'), 'utf8')).toBe('7')

  const attack = (...more: string[]) => signalbox(['redteam', file, '--only', 'M03', '--json', ...more], { cwd })
  const [madeUp, stored, filed] = [
    await attack(),
    await attack('--recorded', 't'),
    await attack('--recorded', 'incident.json'),
  ]
  expect([madeUp.code, stored.code, filed.code]).toEqual([1, 0, 0])
  expect(stored.json[0].agents[0].recorded).toEqual({
    tools: { read_ticket: 1 },
    exits: ['ANSWERED'],
    signals: [],
    input: true,
    left: [],
  })
  expect(filed.json[0].agents[0].cells).toEqual(stored.json[0].agents[0].cells)
  expect(filed.stderr).toMatch(/^desk, from 1 log: its input; answers: read_ticket \(1\); exits: ANSWERED\.$/m)
  expect(readFileSync(join(cwd, 'called'), 'utf8'), 'nothing was called for real').toBe('7')
})

test('of a recorded task in the store its children speak, too', async () => {
  const office = `
    const office = defineAgent({ name: 'office', version: '1', initial: 'ask', context: defineContext({ ticket: z.string() }),
      on: { $error: 'failed', $timeout: 'failed', $limit: 'failed', $turns: 'failed', $refused: 'failed', $stuck: 'failed' },
      states: { ask: { agent: desk, input: ({ context }) => ({ ticket: context.ticket }), on: { done: 'done', failed: 'failed' } },
        done: { type: 'final' }, failed: { type: 'final', failure: true } } })
    export default office
  `
  const file = moduleOf(
    desk.replace('export const desk', 'const desk').replace('export const redteam', 'const unsaid') + office,
  )
  const cwd = dirname(file)
  const { env } = await server()
  const ran = await signalbox(['run', file, '--id', 't', '--input', '{"ticket":"7"}'], { cwd, env })
  expect(ran.code, ran.stderr).toBe(0)
  const { stderr, json } = await signalbox(['redteam', file, '--recorded', 't', '--only', 'M03', '--json'], { cwd })
  expect(stderr).toMatch(/^office, from 2 logs: its input; answers: read_ticket \(1\); exits: ANSWERED\.$/m)
  expect(json[0].agents[0].plays).toBe(2)
})

test('real models are asked over the network, as often as is said and no more, and told so', async () => {
  const file = moduleOf(desk)
  const cwd = dirname(file)
  const { env, ...mock } = await server()
  const log = mock.log
  const ran = await signalbox(['redteam', file, '--live', '--only', 'M03', '--json'], { cwd, env })
  expect([ran.code, ran.json[0].agents[0].plays]).toEqual([0, 2])
  expect(log.length).toBeGreaterThan(4)
  expect(ran.json[0].asked).toBe(log.length)
  expect(ran.stderr).toMatch(new RegExp(`^Real models were asked ${log.length} times\\.$`, 'm'))
  expect(existsSync(join(cwd, 'called'))).toBe(false)

  const few = await signalbox(['redteam', file, '--live', '--calls', '4', '--json'], { cwd, env })
  expect(few.json[0].asked).toBeLessThan(12)
  expect(few.json[0].agents[0].left).toBeGreaterThan(20)
  expect(few.stderr).toMatch(/plays were not begun: the budget was used up/)
})

test.each([
  ['no file', [], /^FLAG_INVALID No file was named/m],
  ['a word that fits nothing', [fragile, '--only', 'M77'], /^FLAG_INVALID Nothing fits --only M77/m],
  ['a shard that is none', [fragile, '--shard', '5/4'], /^FLAG_INVALID --shard is "5\/4"/m],
  ['calls of models that nobody asks', [fragile, '--calls', '4'], /^FLAG_INVALID --calls counts calls of real models/m],
  ['two who play the models', [fragile, '--live', '--script', fragile], /^FLAG_INVALID --live and --script both/m],
  ['a model that is nowhere', [fragile, '--live'], /^MODEL_UNKNOWN There is no model main/m],
  ['a record that is none', [fragile, '--recorded', fragile], /^EXPORT_INVALID This is not the export of a task/m],
  ['an agent that is not there', [fragile, '--agent', 'strong'], /^AGENT_UNKNOWN/m],
  [
    'a report that cannot be written',
    [fragile, '--only', 'B1', '--html', '/nowhere/r.html'],
    /^FLAG_INVALID --html \/nowhere/m,
  ],
])('%s is refused in one line', async (_, args, message) => {
  const ran = await signalbox(['redteam', ...args])
  expect([ran.code, ran.stderr]).toEqual([2, expect.stringMatching(message)])
})

test('the kinds are listed, those with another place to be shown at too', async () => {
  const { json, code } = await signalbox(['redteam', '--kinds', '--json'])
  expect([code, json.length]).toEqual([0, 70])
  expect(json.find(({ id }) => id === 'D12').elsewhere).toMatch(/disk/)
})
