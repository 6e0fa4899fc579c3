// A task as a file: what comes out goes in elsewhere as it was; what was touched on the way does not.

import { join } from 'node:path'
import { writeFileSync } from 'node:fs'
import { describe, expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { createOrchestrator, type Orchestrator } from '../src/orchestrator.ts'
import { signalbox } from './cli/signalbox.ts'
import { address, engine, engines, test } from './engines.ts'
import { folder } from './folder.ts'

const agent = defineAgent({
  name: 'a',
  version: '1',
  context: defineContext({ note: z.string(), more: z.string().optional() }),
  initial: 'work',
  on: { $error: 'failed', $timeout: 'failed' },
  states: {
    work: {
      run: () => ({ exit: 'NEXT', output: { more: 'wörld \u0000 😀' } }),
      on: { NEXT: { target: 'ask', output: z.object({ more: z.string() }) } },
    },
    ask: { human: { question: 'Really?' }, on: { yes: 'done' } },
    done: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

async function open(store?: string): Promise<Orchestrator> {
  const box = await createOrchestrator({ store: store ?? (await address()), agents: [agent] })
  onTestFinished(() => box.stop(100))
  return box
}

async function exported(): Promise<{ box: Orchestrator; text: string }> {
  const box = await open()
  const task = await box.start(agent, { note: 'hello' }, { id: 't' })
  await task.rest()
  await box.answer((await box.inbox())[0]!.item, { decision: 'yes', by: 'ana', reason: 'r' })
  await task.result()
  return { box, text: await box.export('t') }
}

test('a task that has ended goes into another store as it was: log, payloads, context, inbox, and is proved there', async () => {
  const { box, text } = await exported()
  const other = await open()
  await other.import(text)
  for (const read of [
    (from: Orchestrator) => from.store.readSealed('t'),
    (from: Orchestrator) => from.store.payloads('t'),
    (from: Orchestrator) => from.store.context('t'),
    (from: Orchestrator) => from.show('t'),
    (from: Orchestrator) => from.store.inbox({ taskId: 't' }),
  ]) {
    const [here, there] = [await read(box), await read(other)]
    // When a webhook was to be told is no business of another store; nothing waits.
    expect(there).toEqual(here)
  }
  expect((await other.verify()).findings).toEqual([])
  await expect(other.import(text)).rejects.toThrow('TASK_EXISTS')
})

test('a task goes from one engine to another as it was', async () => {
  const { box, text } = await exported()
  const other = await open(await engines.find(({ name }) => name !== engine())!.address())
  await other.import(text)
  expect(await other.export('t')).toBe(text)
  expect(await other.show('t')).toEqual(await box.show('t'))
  expect((await other.verify()).findings).toEqual([])
})

test('what was erased stays erased', async () => {
  const { box } = await exported()
  await box.erase('t', { by: 'ana', reason: 'r' })
  const other = await open()
  await other.import(await box.export('t'))
  expect((await other.show('t')).context).toEqual((await box.show('t')).context)
  expect((await other.verify()).findings).toEqual([])
})

test('a task that has not ended is not taken in: it would go on in two places', async () => {
  const box = await open()
  await (await box.start(agent, { note: 'n' }, { id: 't' })).rest()
  const other = await open()
  await expect(other.import(await box.export('t'))).rejects.toThrow('TASK_RUNNING')
  expect(await other.tasks()).toEqual([])
})

describe('a file that was touched is refused whole', () => {
  const changes: [string, (file: any) => unknown][] = [
    ['a byte of a payload', (file) => (file.payloads[0].body = file.payloads[0].body.replace('h', 'H'))],
    ['a payload that is gone', (file) => file.payloads.shift()],
    ['an event that is gone', (file) => file.events.splice(3, 1)],
    ['the last event', (file) => file.events.pop()],
    ['an event of another task', (file) => (file.events[2].taskId = 'u')],
    ['data that is not JSON', (file) => (file.events[2].data = '{')],
    ['another format', (file) => (file.format = 'signalbox-export-2')],
    ['a field that nobody knows', (file) => (file.more = 1)],
    ['no events', (file) => (file.events = [])],
    ['an id that is none', (file) => (file.taskId = "x'); DROP TABLE events; --")],
    [
      'a label made weaker',
      (file) =>
        (file.events[1].data = file.events[1].data.replace(
          '"version":1',
          '"label":{"privacy":"public","trust":"trusted"},"version":1',
        )),
    ],
  ]
  test.each(changes)('%s', async (what, change) => {
    const { text } = await exported()
    const file = JSON.parse(text) as object
    change(file)
    const other = await open()
    await expect(other.import(JSON.stringify(file))).rejects.toThrow(
      what === 'the last event' ? 'TASK_RUNNING' : 'EXPORT_INVALID',
    )
    expect(await other.tasks()).toEqual([])
  })

  test.each(['', 'hello', '[]', 'null', '{"format":'])('%j', async (text) => {
    await expect((await open()).import(text)).rejects.toThrow('EXPORT_INVALID')
  })
})

test('at the command line: out to a file that nobody else may read, in once, and not twice', async () => {
  const cwd = folder()
  const [one, two, three] = [await address(), await address(), await address()]
  const box = await open(one)
  const task = await box.start(agent, { note: 'n' }, { id: 't' })
  await task.rest()
  await box.answer((await box.inbox())[0]!.item, { decision: 'yes', by: 'ana', reason: 'r' })
  await task.result()
  const run = (...args: string[]) => signalbox(args, { cwd })
  expect((await run('export', 't', '--store', one, '--out', 't.json')).code).toBe(0)
  const again = await run('export', 't', '--store', one, '--out', 't.json')
  expect([again.code, again.stderr.split(' ')[0]]).toEqual([2, 'FLAG_INVALID'])
  expect((await run('export', 'u', '--store', one)).stderr).toContain('TASK_UNKNOWN')
  const taken = await run('import', 't.json', '--store', two, '--json')
  expect(taken.json).toMatchObject([{ taskId: 't', status: 'done', outcome: 'done' }])
  expect((await run('import', 't.json', '--store', two)).stderr).toContain('TASK_EXISTS')
  expect((await run('verify', '--store', two)).code).toBe(0)
  writeFileSync(join(cwd, 'bad.json'), '{}')
  const bad = await run('import', 'bad.json', '--store', three, '--json')
  expect([bad.code, bad.stderr.split(' ')[0]]).toEqual([2, 'EXPORT_INVALID'])
})
