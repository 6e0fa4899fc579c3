// A process that works through four tasks and everything that is said to them, and that can be killed when it
// comes to a write point for the n-th time: before, inside or after the transaction. Run again on the same store, it goes on where it was. It tells on
// stdout what was acknowledged to it, so that the test can look for it afterwards.
//
// node child.ts STORE LEDGER 'POINT PHASE N'

import { appendFileSync, existsSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { isFault } from '../../src/core/fault.ts'
import type { Message, Model } from '../../src/core/model.ts'
import { defineTool } from '../../src/core/tool.ts'
import { createOrchestrator } from '../../src/orchestrator.ts'
import { systemRuntime, type Probe } from '../../src/runtime.ts'
import { createKeys } from '../../src/store/key.ts'
import { openStore } from '../../src/store/open.ts'

const [, , address, ledgerPath, killAt] = process.argv as unknown as [string, string, string, string, string]

const say = (line: object): void => void writeSync(1, `${JSON.stringify(line)}\n`)
const places: Record<string, number> = {}
const probe: Probe = (point, phase) => {
  const place = `${point} ${phase}`
  places[place] = (places[place] ?? 0) + 1
  if (`${place} ${places[place]}` !== killAt) return
  say({ killed: place })
  process.kill(process.pid, 'SIGKILL')
}

// The outside service: one line an effect.
const effects = (): { key: string; what: string }[] => {
  try {
    return readFileSync(ledgerPath, 'utf8')
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { key: string; what: string })
  } catch {
    return []
  }
}
const act = (key: string, what: string): void => appendFileSync(ledgerPath, `${JSON.stringify({ key, what })}\n`)

const post = defineTool({
  name: 'post',
  description: 'Posts once for each key.',
  inputSchema: z.object({ n: z.int() }),
  effect: 'external',
  idempotent: true,
  execute: ({ n }, { idempotencyKey }) => {
    if (!effects().some(({ key }) => key === idempotencyKey)) act(idempotencyKey, `post ${n}`)
    return { posted: n }
  },
})
const charge = defineTool({
  name: 'charge',
  description: 'Charges whenever it is called.',
  inputSchema: z.object({}),
  effect: 'external',
  execute: (_, { idempotencyKey }) => (act(idempotencyKey, 'charge'), { charged: true }),
})
const slow = defineTool({
  name: 'slow',
  description: 'Slow the first time, so that the lease must be renewed or given back.',
  inputSchema: z.object({}),
  idempotent: true,
  execute: (_, { attempt, signal, context }) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, attempt > 1 ? 0 : context['pause'], 'done')
      signal.addEventListener('abort', () => (clearTimeout(timer), resolve('stopped')))
    }),
})

const context = defineContext({ note: z.string().optional(), pause: { schema: z.int(), initial: 150 } })
const on = { $error: 'failed', $timeout: 'failed' } as const
const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const long = defineAgent({
  name: 'long',
  version: '1',
  context,
  initial: 'work',
  on,
  states: {
    work: {
      model: 'main',
      prompt: 'work',
      tools: [post, charge],
      on: { WORKED: { target: 'idle', output: z.object({ note: z.string() }) } },
    },
    idle: { tool: slow, args: () => ({}), checkpoint: 'worked', on: { DONE: 'ask' } },
    ask: { human: { question: 'go on?' }, on: { yes: 'paid' } },
    paid: { wait: { signal: 'paid' }, on: { DONE: 'route' } },
    route: { run: () => 'END', on: { END: 'done' } },
    ...ends,
  },
})
const settled = { name: 'moving', context, initial: 'pause', on } as const
const before = defineAgent({
  ...settled,
  version: '1',
  states: { pause: { wait: { signal: 'never' }, on: { DONE: 'done' } }, ...ends },
})
const moving = defineAgent({
  ...settled,
  version: '2',
  migrate: () => ({ state: 'route', context: { note: 'moved' } }),
  states: {
    pause: { wait: { signal: 'go' }, on: { DONE: 'route' } },
    route: { run: () => 'END', on: { END: 'done' } },
    ...ends,
  },
})
const brief = defineAgent({
  name: 'brief',
  version: '1',
  context,
  initial: 'idle',
  on,
  states: { idle: { tool: slow, args: () => ({}), on: { DONE: 'done' } }, ...ends },
})

// The model depends on its request alone, and refuses to go on when a request is not well formed (A34, I12).
const model: Model = {
  provider: 'p',
  modelId: 'm',
  call: ({ messages }) => {
    prove(messages)
    const turn = 1 + messages.filter(({ role }) => role === 'assistant').length
    const call = (name: string, input: object) => ({ type: 'call' as const, id: '', name, arguments: input as never })
    const plan = [
      [call('post', { n: 1 })],
      [call('post', { n: 2 }), call('post', { n: 3 })],
      [call('no_such_tool', {})],
      [call('charge', {})],
      [call('post', { n: 4 }), call('post', { n: 5 })],
      [call('WORKED', { note: 'worked' })],
    ]
    const usage = {
      inputTokens: 1,
      outputTokens: 1,
      cachedInputTokens: null,
      cacheWriteTokens: null,
      reasoningTokens: null,
    }
    return Promise.resolve({
      ok: true,
      answer: { provider: 'p', modelId: 'm', content: plan[turn - 1] ?? [], finish: 'tool-calls', usage },
    })
  },
}

function prove(messages: readonly Message[]): void {
  for (const [index, message] of messages.entries()) {
    if (message.role !== 'assistant') continue
    const calls = message.content.flatMap((part) => (part.type === 'call' ? [part.id] : []))
    const next = messages[index + 1]
    const results = next?.role === 'tool' ? next.results.map(({ id }) => id) : []
    if (JSON.stringify(calls) !== JSON.stringify(results)) {
      say({ malformed: { calls, results } })
      process.exit(9)
    }
  }
}

const runtime = { ...systemRuntime, probe }
const store = await openStore(address, { runtime })
store.watch(({ taskId, seq }) => say({ acknowledged: [taskId, seq] }))
const options = { store, models: { main: model }, agents: [long, brief, moving], runtime, leaseMs: 300 }

// A task that is called off in the middle by a worker that must stop: the lease is given back.
const hurried = await createOrchestrator({ ...options, only: 'hurried' })
await hurried.start(brief, { pause: 5_000 }, { id: 'hurried' })
await new Promise((wake) => setTimeout(wake, 60))
await hurried.stop(10)

// A task that a worker of another definition has left behind: it is moved.
const earlier = await createOrchestrator({ ...options, agents: [before], only: 'moving' })
await earlier.start(before, {}, { id: 'moving' })
await earlier.stop()

const box = await createOrchestrator(options)
const task = await box.start(long, {}, { id: 'long' })
const cancelled = await box.start(brief, { pause: 60_000 }, { id: 'cancelled' })
await allow(box.cancel(cancelled.id, { by: 'ana', reason: 'not needed' }))
for (;;) {
  const view = await task.rest()
  if (view.outcome !== null) break
  const [item] = view.inbox
  if (item?.kind === 'doubt') {
    // Whoever is asked looks at the outside service.
    const done = effects().some(({ what }) => what === 'charge')
    await allow(
      box.answer(item.item, {
        decision: done ? 'done' : 'retry',
        by: 'ana',
        reason: 'looked',
        data: { charged: true },
      }),
    )
  } else if (item && !(await store.read(task.id)).some(({ type }) => type === 'rollback.started')) {
    await box.rollback(task.id, { to: 'worked', by: 'ana', reason: 'once more' })
  } else if (item) await allow(box.answer(item.item, { decision: 'yes', by: 'ana', reason: 'fine' }))
  else await box.signal(task.id, { name: 'paid', data: {}, by: 'bank', key: 'p1' })
}
await box.task('hurried').result()
// A schedule is added and removed; on its own it never comes round here.
const said = { by: 'ana', reason: 'leap years' }
await allow(box.schedule('leap', { agent: brief, cron: '0 0 29 2 *', input: { pause: 1 }, ...said }))
await box.unschedule('leap', said)
await box.task('moving').result()
// Then something is erased, and what there is is signed: once, or once more where the process died in between.
await box.erase('cancelled', { by: 'ana', reason: 'asked for' })
const keyPath = `${ledgerPath}.key`
if (!existsSync(keyPath)) writeFileSync(keyPath, createKeys().privateKey)
await box.checkpoint({ key: readFileSync(keyPath, 'utf8'), anchors: `${ledgerPath}.anchors` })
say({
  ended: await Promise.all(['long', 'hurried', 'cancelled', 'moving'].map(async (id) => (await box.show(id)).outcome)),
  places,
})
await box.stop()
await store.close()

/** What was said before the process died has been said. */
async function allow(said: Promise<void>): Promise<void> {
  await said.catch((thrown: unknown) => {
    const codes = ['ITEM_CLOSED', 'TASK_ENDED', 'SCHEDULE_EXISTS'] as const
    if (!codes.some((code) => isFault(thrown, code))) throw thrown
  })
}
