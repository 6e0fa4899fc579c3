// Queues over a real store: each worker takes what waits in its own, a parent and its child are done by two, everybody may start
// and speak to anything, and a task goes on when its agent is moved.

import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { agentTool } from '../src/core/agent-tool.ts'
import { defineAgent, type Agent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { graph } from '../src/graph.ts'
import { createOrchestrator, type OrchestratorOptions } from '../src/orchestrator.ts'
import { definitionOf } from '../src/outfit.ts'
import { openSqlite } from '../src/store/sqlite/engine.ts'
import { folder } from './folder.ts'
import { until } from './until.ts'

const on = { $error: 'failed', $timeout: 'failed' } as const
const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const inQueue = (queue: string | undefined) => (queue === undefined ? {} : { queue })

/** Agents of one file, as one process has them: their text, and so their definition, is the same everywhere. */
function file(did: string[], queues: { drawer?: string; teller?: string } = { drawer: 'gpu' }) {
  const drawer = defineAgent({
    name: 'drawer',
    version: '1',
    ...inQueue(queues.drawer),
    context: defineContext({ what: z.string().optional() }),
    initial: 'ask',
    on,
    states: {
      ask: { wait: { signal: 'go' }, on: { DONE: 'draw' } },
      draw: { run: () => (did.push('drawer'), 'DRAWN'), on: { DRAWN: 'done' } },
      ...ends,
    },
  })
  const teller = defineAgent({
    name: 'teller',
    version: '1',
    ...inQueue(queues.teller),
    context: defineContext({}),
    initial: 'tell',
    on,
    states: {
      tell: { run: () => (did.push('teller'), 'TOLD'), on: { TOLD: 'picture' } },
      picture: { agent: drawer, input: () => ({ what: 'a tree' }), on: { done: 'close', failed: 'failed' } },
      close: { run: () => (did.push('teller'), 'CLOSED'), on: { CLOSED: 'done' } },
      ...ends,
    },
  })
  return { drawer, teller }
}

async function place() {
  const path = join(folder(), 'store.db')
  /** A process of its own, as far as the store can tell. */
  const open = async (options: Omit<OrchestratorOptions, 'store'>) => {
    const store = await openSqlite(path)
    const box = await createOrchestrator({ store, env: {}, ...options })
    onTestFinished(async () => {
      await box.stop(100)
      await store.close()
    })
    return box
  }
  const worker = async (queues?: readonly string[], of?: Parameters<typeof file>[1]) => {
    const did: string[] = []
    const agents = file(did, of)
    const box = await open({ agents: [agents.teller, agents.drawer], ...(queues ? { queues } : {}) })
    return { box, did, ...agents }
  }
  return { open, worker }
}

const go = { name: 'go', data: {}, by: 'ana' } as const

test('two workers over one store each take what waits in their own queues, whoever has started and told it', async () => {
  const { worker } = await place()
  const gpu = await worker(['gpu'])
  const task = await gpu.box.start('teller', {}, { id: 't' })
  // Nobody works on this queue yet.
  await new Promise((wake) => setTimeout(wake, 300))
  expect([gpu.did, (await gpu.box.show('t')).state]).toEqual([[], 'tell'])
  const other = await worker(['default'])
  const picture = await other.box.start(other.drawer, {}, { id: 'p' })
  await picture.rest()
  await other.box.signal('p', go)
  expect(await picture.result()).toMatchObject({ status: 'done' })
  expect([gpu.did, other.did]).toEqual([['drawer'], ['teller']])

  // A child waits in the queue of its own agent.
  const child = 't:2'
  await until(async () => (await other.box.store.task(child))?.waitsFor === 'signal')
  await other.box.signal(child, go)
  expect(await task.result()).toMatchObject({ status: 'done', outcome: 'done' })
  expect([gpu.did, other.did]).toEqual([
    ['drawer', 'drawer'],
    ['teller', 'teller'],
  ])
  expect((await other.box.verify()).findings).toEqual([])
})

test('a worker of several queues, or of none by name, takes what is in all of them', async () => {
  for (const queues of [['gpu', 'default'], undefined]) {
    const { worker } = await place()
    const { box, did } = await worker(queues)
    const task = await box.start('teller', {}, { id: 't' })
    await until(async () => (await box.store.task('t:2'))?.waitsFor === 'signal')
    await box.signal('t:2', go)
    expect((await task.result()).outcome).toBe('done')
    expect(did).toEqual(['teller', 'drawer', 'teller'])
  }
})

test('a schedule comes round in any worker of its agent, and the task waits for a worker of its queue', async () => {
  const { worker } = await place()
  const gpu = await worker(['gpu'])
  await gpu.box.schedule('often', { agent: 'teller', cron: '* * * * * *', by: 'ana', reason: 'r' })
  const begun = async () => (await gpu.box.tasks({ agent: 'teller' })).length
  await until(async () => (await begun()) > 0)
  expect(gpu.did).toEqual([])
})

test('an agent in another queue has the same definition, and so has whoever starts it: tasks under way go on', async () => {
  const [before, after] = [file([]), file([], { drawer: 'cpu', teller: 'talk' })]
  expect(definitionOf(after.drawer)).toBe(definitionOf(before.drawer))
  expect(definitionOf(after.teller)).toBe(definitionOf(before.teller))
  const asked = (drawer: Agent<any, any>) =>
    agentOf({ ask: { model: 'm', prompt: 'p', tools: [agentTool(drawer, { description: 'd' })], on: { OK: 'done' } } })
  expect(definitionOf(asked(after.drawer))).toBe(definitionOf(asked(before.drawer)))
  expect(graph(after.teller)).toBe(graph(before.teller))

  const { worker } = await place()
  const old = await worker(['gpu'])
  const task = await old.box.start('drawer', {}, { id: 'p' })
  await task.rest()
  await old.box.drain(100)
  const now = await worker(['cpu'], { drawer: 'cpu' })
  await now.box.signal('p', go)
  expect((await task.result()).outcome).toBe('done')
  expect([old.did, now.did]).toEqual([[], ['drawer']])
})

function agentOf(states: object): Agent {
  const definition = { name: 'a', version: '1', context: defineContext({}), initial: 'ask', on, states: {} }
  return defineAgent({ ...definition, states: { ...states, ...ends } } as never)
}

test.each([
  [['nope'], 'No agent\'s tasks wait in the queue "nope". Known queues: default, gpu.'],
  [['gpu', ''], 'in the queue ""'],
  [[], 'not a list of names'],
  ['gpu', 'not a list of names'],
])('queues %j are refused, and no store is made', async (queues, says) => {
  const { teller } = file([])
  const opened = createOrchestrator({ store: 'sqlite:/nowhere/x.db', agents: [teller], queues: queues as never })
  await expect(opened).rejects.toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining(says) })
})
