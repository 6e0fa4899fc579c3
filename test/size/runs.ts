// Runs many tasks in one process, and tells at the end what the process held after so many of them, and so many.
//
// node --expose-gc runs.ts STORE RUNS…

import { readdirSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { defineTool } from '../../src/core/tool.ts'
import { createOrchestrator } from '../../src/orchestrator.ts'
import { scriptedModel } from '../../src/providers/scripted.ts'
import { systemRuntime, type Runtime } from '../../src/runtime.ts'

/** What a process holds after so many runs: bytes that are in use, what keeps it alive, open files, timers that have not gone off. */
export interface Held {
  readonly runs: number
  readonly heap: number
  readonly handles: number
  readonly files: number
  readonly timers: number
}

const look = defineTool({
  name: 'look',
  description: 'Looks.',
  inputSchema: z.object({ at: z.int() }),
  execute: async ({ at }) => ({ at, seen: await pause(1, 'x'.repeat(500)) }),
})

/** Thinks, looks, rests by the clock, hears a signal, and is done. */
const agent = defineAgent({
  name: 'a',
  version: '1',
  context: defineContext({ at: z.int(), note: z.string().optional() }),
  initial: 'think',
  on: { $error: 'failed', $timeout: 'failed' },
  states: {
    think: {
      model: 'main',
      prompt: ({ context }) => `Look at ${context.at}.`,
      tools: [look],
      on: { OK: { target: 'rest', output: z.object({ note: z.string() }) } },
    },
    rest: { wait: { delay: '5ms' }, on: { DONE: 'hear' } },
    hear: { wait: { signal: 'go' }, on: { DONE: 'done' } },
    done: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})
const main = scriptedModel(({ turn, number }) =>
  turn === 1
    ? { calls: [{ name: 'look', arguments: { at: number } }] }
    : { calls: [{ name: 'OK', arguments: { note: `note ${number}` } }] },
)

/** The timers that are set through a runtime and have neither gone off nor been called off. */
const timers = new Set<object>()
const counting: Runtime = {
  ...systemRuntime,
  setTimer(ms, callback) {
    const timer = {}
    timers.add(timer)
    const stop = systemRuntime.setTimer(ms, () => {
      timers.delete(timer)
      callback()
    })
    return () => {
      timers.delete(timer)
      stop()
    }
  },
}

async function held(runs: number): Promise<Held> {
  // Whatever is still under way when the last result is told.
  await pause(300)
  for (let round = 0; round < 3; round += 1) {
    globalThis.gc!()
    await pause(10)
  }
  return {
    runs,
    heap: process.memoryUsage().heapUsed,
    handles: process.getActiveResourcesInfo().length,
    files: readdirSync('/proc/self/fd').length,
    timers: timers.size,
  }
}

const [, , store, ...looks] = process.argv as [string, string, string, ...string[]]
const box = await createOrchestrator({
  store,
  agents: [agent],
  models: { main },
  env: {},
  concurrency: 100,
  runtime: counting,
})

async function run(at: number): Promise<void> {
  const task = await box.start(agent, { at })
  await box.signal(task.id, { name: 'go', data: null, by: 'test' })
  const { outcome } = await task.result()
  if (outcome !== 'done') throw new Error(`task ${at} came to ${outcome}`)
}

let done = 0
const told: Held[] = []
for (const runs of looks.map(Number)) {
  while (done < runs) {
    const together = Math.min(100, runs - done)
    await Promise.all(Array.from({ length: together }, (_, index) => run(done + index)))
    done += together
  }
  told.push(await held(done))
}
await box.stop()
// Said at last: a pipe that is written to is a handle too.
for (const each of told) console.log(JSON.stringify(each))
