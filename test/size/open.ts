// Opens a task in a process that has never seen it, as a worker that has just started, and says what that took.
//
// node --expose-gc open.ts STORE TASK

import { createOrchestrator } from 'signalbox'
import { counter } from './counter.ts'

/** What it took: milliseconds, and bytes. */
export interface Opened {
  /** Where its log ended before, and ends now. */
  readonly from: number
  readonly to: number
  /** Until it was known where it stands. */
  readonly showMs: number
  /** Until everything was known that is decided on, and what was in the heap then that was not before. */
  readonly loadMs: number
  readonly loadBytes: number
  /** Until it was told to go on, was taken up, had done ten steps, and rested again. */
  readonly goOnMs: number
  /** The most memory that the process has had. */
  readonly residentBytes: number
}

const [, , store, taskId] = process.argv as unknown as [string, string, string, string]
const box = await createOrchestrator({ store, agents: [counter], env: {}, create: false })

async function timed<T>(what: () => Promise<T>): Promise<[T, number]> {
  const begunMs = performance.now()
  const done = await what()
  return [done, performance.now() - begunMs]
}

const [{ seq: from, context }, showMs] = await timed(() => box.show(taskId))
globalThis.gc!()
const before = process.memoryUsage().heapUsed
const [, loadMs] = await timed(() => box.store.load(taskId))
const loadBytes = process.memoryUsage().heapUsed - before
const [to, goOnMs] = await timed(async () => {
  await box.signal(taskId, { name: 'go', data: { upTo: Number(context['n']) + 10 }, by: 'test' })
  for (;;) {
    const { waitsFor, seq } = await box.show(taskId)
    if (waitsFor === 'signal' && seq > from + 50) return seq
    await new Promise((wake) => setTimeout(wake, 1))
  }
})
await box.stop()
const residentBytes = process.resourceUsage().maxRSS * 1_024
console.log(JSON.stringify({ from, to, showMs, loadMs, loadBytes, goOnMs, residentBytes } satisfies Opened))
