// What grows must not: ten thousand tasks in one process leave it as the first thousand did, and a task with a long log is
// opened like any other. Each is measured in a process of its own. `npm run campaigns` does all of it, here is a slice.

import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { whole } from './campaign.ts'
import { address, test } from './engines.ts'
import type { Agent } from '../src/core/agent.ts'
import { createOrchestrator } from '../src/orchestrator.ts'
import { grow } from './size/grow.ts'
import type { Opened } from './size/open.ts'
import type { Held } from './size/runs.ts'

// As other processes load it. What is imported here has another text, and with it another definition.
const { counter } = createRequire(import.meta.url)('./size/counter.ts') as { counter: Agent<any, any> }

/** Runs a file in a process that can collect its garbage; answers with the lines that it says, as JSON. */
async function measured<Line>(file: string, ...args: readonly (string | number)[]): Promise<Line[]> {
  const path = join(import.meta.dirname, 'size', file)
  const child = spawn(process.execPath, ['--expose-gc', path, ...args.map(String)])
  onTestFinished(() => void child.kill('SIGKILL'))
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += String(chunk)))
  child.stderr.on('data', (chunk: Buffer) => (stderr += String(chunk)))
  const code = await new Promise<number | null>((ended) => child.once('close', ended))
  expect(code, stderr).toBe(0)
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}

const looks: readonly number[] = whole ? Array.from({ length: 10 }, (_, index) => 1_000 * (index + 1)) : [200, 600]

test(
  `A61, I19: after ${looks.at(-1)} tasks in one process its heap is within 10 % of that after ${looks[0]}, and it holds no more handles, files and timers`,
  { timeout: 300_000 },
  async () => {
    const [first, ...later] = await measured<Held>('runs.ts', await address(), ...looks)
    expect(later.map(({ runs }) => runs)).toEqual(looks.slice(1))
    for (const held of later) {
      expect(held.heap / first!.heap, `the heap after ${held.runs} tasks, of that after ${looks[0]}`).toBeLessThan(1.1)
      // A worker that looks into its queue just then has a timer more, or less.
      for (const what of ['handles', 'files', 'timers'] as const)
        expect(held[what], `${what} after ${held.runs} tasks`).toBeLessThanOrEqual(first![what] + 3)
    }
  },
)

const [steps, events] = whole ? [20_000, 100_000] : [4_000, 20_000]

test(
  `A14: a task of ${events} events is opened in less than a second and 200 MB, and goes on`,
  { timeout: 900_000 },
  async () => {
    const store = await address()
    // A worker commits every step by itself, which takes minutes.
    const box = await createOrchestrator({ store, agents: [counter], env: {}, work: whole })
    onTestFinished(() => box.stop())
    const task = await box.start(counter, { upTo: steps }, { id: 't' })
    if (!whole) await grow(box.store, 't', counter)
    expect(await task.rest()).toMatchObject({ waitsFor: 'signal', context: { n: steps } })
    await box.stop()
    const [opened] = await measured<Opened>('open.ts', store, 't')
    expect(opened!.from).toBeGreaterThan(events)
    // What was told, that it is heard, and ten steps of five events each.
    expect(opened!.to).toBe(opened!.from + 56)
    expect(opened!.showMs).toBeLessThan(1_000)
    expect(opened!.loadMs).toBeLessThan(1_000)
    expect(opened!.residentBytes).toBeLessThan(200e6)
    // The log is many times as large.
    expect(opened!.loadBytes).toBeLessThan(10e6)
  },
)
