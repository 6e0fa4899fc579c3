// Many children under one parent: what a child costs from its start to its place in the join, at the beginning and at
// the end, and what is held in memory meanwhile.

import { join } from 'node:path'
import { z } from 'zod'
import { defineAgent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { createOrchestrator } from '../src/orchestrator.ts'
import { modelOf } from './workload.ts'

const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const on = { $error: 'failed', $timeout: 'failed' } as const

const child = defineAgent({
  name: 'child',
  version: '1',
  context: defineContext({ n: z.number() }),
  initial: 'think',
  on,
  states: {
    think: { model: 'main', prompt: 'work', on: { DONE: 'done' } },
    done: { type: 'final', output: ({ context }) => ({ n: context.n }) },
    failed: { type: 'final', failure: true },
  },
})

const parent = defineAgent({
  name: 'parent',
  version: '1',
  context: defineContext({ count: z.number(), sum: z.number().optional() }),
  limits: { steps: 1_000_000, descendants: 1_000_000, tokens: 1_000_000_000 },
  initial: 'fan',
  on,
  states: {
    fan: {
      agent: child,
      each: ({ context }) => Array.from({ length: context.count }, (_, n) => ({ n })),
      output: ({ children }) => ({ sum: children.reduce((all, { output }) => all + output.n, 0) }),
      writes: ['sum'],
      on: { DONE: 'done', FAILED: 'failed' },
    },
    ...ends,
  },
})

/** Joins `count` children. Heap is what is left after a collection, where the process may ask for one. */
export async function manyChildren(folder: string, count: number) {
  const path = join(folder, `children-${count}.db`)
  const endedAtMs: number[] = []
  const collect = (globalThis as { gc?: () => void }).gc
  const heap = (): number => {
    collect?.()
    return process.memoryUsage().heapUsed
  }
  const heaps: number[] = []
  const box = await createOrchestrator({ store: `sqlite:${path}`, agents: [parent], models: { main: modelOf(0) } })
  const tenth = Math.max(1, Math.floor(count / 10))
  box.store.watch(({ taskId, status }) => {
    if (taskId === 'p' || status !== 'done') return
    endedAtMs.push(performance.now())
    if (endedAtMs.length % tenth === 0) heaps.push(heap())
  })
  const startedMs = performance.now()
  const { context, outcome } = await (await box.start(parent, { count }, { id: 'p' })).result()
  const wholeMs = performance.now() - startedMs
  await box.stop()
  if (outcome !== 'done' || context['sum'] !== (count * (count - 1)) / 2) throw new Error('the join is not whole')
  const span = (from: number): number => (endedAtMs[from + tenth]! - endedAtMs[from]!) / tenth
  const megabytes = (bytes: number): number => Number((bytes / 1e6).toFixed(1))
  return {
    what: `a parent of ${count} children`,
    msPerChild: Number((wholeMs / count).toFixed(3)),
    lastToFirstTenth: Number((span(count - 1 - tenth) / span(tenth)).toFixed(2)),
    ...(collect ? { heapMbFirst: megabytes(heaps[1] ?? heaps[0]!), heapMbLast: megabytes(heaps.at(-1)!) } : {}),
  }
}
