// A task that is cancelled takes back what it did, over a real store: with a ledger outside, from a process that knows no
// machine, while a tool is at work, and with kills in the middle. SCENARIO A20; by values in test/core/cancel.test.ts.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { defineTool } from '../src/core/tool.ts'
import { createOrchestrator, type OrchestratorOptions } from '../src/orchestrator.ts'
import { address, opened, test } from './engines.ts'
import { folder } from './folder.ts'
import { Effects } from './ledger.ts'
import { ledgerOf, twenty } from './twenty.ts'
import { until } from './until.ts'

async function open(at: string, options: Omit<OrchestratorOptions, 'store'>) {
  const store = await opened(at)
  const box = await createOrchestrator({ store, env: {}, ...options })
  onTestFinished(() => box.stop(100))
  return { box, store }
}

const numbers = Array.from({ length: 20 }, (_, index) => index + 1)
const doneAndUndone = [...numbers.map((n) => `do ${n}`), ...numbers.toReversed().map((n) => `undo ${n}`)]
const by = { by: 'ana', reason: 'not wanted' }

test('A20: cancelled from a process without the agent, a task takes back twenty effects, each once, in reverse, and ends', async () => {
  const ledger = ledgerOf(join(folder(), 'ledger'))
  const agent = { ...twenty(ledger), onCancel: 'undo' as const }
  const at = await address()
  const { box, store } = await open(at, { agents: [agent] })
  const bare = await open(at, { work: false })
  const task = await box.start(agent, {}, { id: 't' })
  await task.rest()
  await bare.box.cancel('t', by)
  await expect(bare.box.cancel('t', by)).rejects.toMatchObject({ code: 'TASK_ENDED' })
  expect(await task.result()).toMatchObject({ status: 'cancelled', outcome: 'cancelled', state: 'hold', inbox: [] })
  expect(ledger.entries().map(({ what, n }) => `${what} ${n}`)).toEqual(doneAndUndone)
  expect(new Set(ledger.entries().map(({ key }) => key)).size).toBe(40)
  // A list and a look are the fold, and come out equal when they are written again.
  const view = await box.show('t')
  expect(view.context).toEqual({ last: 20, list: numbers })
  await box.drain()
  await store.rebuild()
  expect(await box.show('t')).toEqual(view)
  expect((await store.verify()).findings).toEqual([])
})

test('A20: a tool that is at work is called off within a second, and is listed; what was done before is taken back', async () => {
  const effects = new Effects()
  const seen = { started: 0, aborted: 0 }
  const common = { description: 'd', inputSchema: z.object({}), effect: 'external' } as const
  const book = defineTool({
    ...common,
    name: 'book',
    execute: (_, { idempotencyKey }) => effects.act(idempotencyKey, 'booked'),
    undo: (_, __, { idempotencyKey }) => effects.act(idempotencyKey, 'given back'),
  })
  const slow = defineTool({
    ...common,
    name: 'slow',
    undo: (_, __, { idempotencyKey }) => effects.act(idempotencyKey, 'undone'),
    execute: (_, { signal }) =>
      new Promise(() => {
        seen.started += 1
        signal.addEventListener('abort', () => (seen.aborted += 1))
      }),
  })
  const agent = defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({}),
    onCancel: 'undo',
    initial: 'book',
    on: { $error: 'failed', $timeout: 'failed', $doubt: 'failed' },
    states: {
      book: { tool: book, args: () => ({}), on: { DONE: 'wait' } },
      wait: { tool: slow, args: () => ({}), on: { DONE: 'done' } },
      done: { type: 'final' },
      failed: { type: 'final', failure: true },
    },
  })
  const { box } = await open(await address(), { agents: [agent] })
  const task = await box.start(agent, {}, { id: 't' })
  await until(() => seen.started === 1)
  await box.cancel('t', by)
  expect((await task.result()).status).toBe('cancelled')
  await until(() => seen.aborted === 1)
  expect(effects.all.map(({ key, effect }) => `${key} ${effect}`)).toEqual(['t.1 booked', 't.1.undo given back'])
  const events = await box.store.read('t')
  const started = events.find(({ type }) => type === 'rollback.started')!
  expect(started.data).toMatchObject({ undo: [1], without: [2], ends: 'cancelled' })
  expect(events.at(-1)!.at - started.at).toBeLessThan(1_000)
})

test('A20: a task whose process is killed while it takes back what it did goes on in another, and takes back each once', async () => {
  const root = folder()
  const run = (store: string, ledger: string, killAt: string): Promise<string> => {
    const script = join(import.meta.dirname, 'crash/rollback-child.ts')
    const child = spawn(process.execPath, [script, store, ledger, 'cancel', killAt])
    let errors = ''
    child.stderr.on('data', (chunk: Buffer) => (errors += String(chunk)))
    return new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? `${code} ${errors}`)))
  }
  for (const killAt of ['cancel inside 1', 'cancel after 1', 'undo before 1', 'undo after 4', 'settle inside 3']) {
    const name = killAt.replaceAll(' ', '-')
    const [at, ledgerPath] = [await address(), join(root, `${name}.ledger`)]
    expect(await run(at, ledgerPath, killAt), killAt).toBe('SIGKILL')
    expect(await run(at, ledgerPath, ''), killAt).toBe('0 ')
    const entries = ledgerOf(ledgerPath).entries()
    expect(entries.map(({ what, n }) => `${what} ${n}`)).toEqual(doneAndUndone)
    const store = await opened(at)
    expect(await store.task('t'), killAt).toMatchObject({ status: 'cancelled', outcome: 'cancelled' })
    expect((await store.verify()).findings, killAt).toEqual([])
    await store.close()
  }
})
