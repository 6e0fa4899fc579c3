// Many seeds, on several threads at once.

import { Worker } from 'node:worker_threads'
import type { Share } from './player.ts'
import { Tally, type Told } from './tally.ts'

/** What is to be played. */
export interface Wanted {
  readonly from: number
  readonly seeds: number
  readonly threads: number
  /** Whether the first that fails is enough. */
  readonly failFast?: boolean
  readonly progress?: (tally: Tally) => void
}

/** Plays so many seeds. Throws what a thread dies of. */
export async function playSeeds({ from, seeds, threads, failFast = false, progress }: Wanted): Promise<Tally> {
  const tally = new Tally()
  const workers = Array.from({ length: Math.min(threads, seeds) }, (_, index) => {
    const share: Share = { from: from + index, end: from + seeds, step: threads }
    return new Worker(new URL('player.ts', import.meta.url), { workerData: share })
  })
  const isEnough = (): boolean => failFast && tally.failed.length > 0
  await Promise.all(
    workers.map(
      (worker) =>
        new Promise<void>((resolve, reject) => {
          worker.on('message', (told: Told) => {
            tally.add(told)
            progress?.(tally)
            if (isEnough()) for (const other of workers) void other.terminate()
          })
          worker.on('error', reject)
          worker.on('exit', (code) =>
            code === 0 || isEnough() ? resolve() : reject(new Error(`A thread ended: ${code}.`)),
          )
        }),
    ),
  )
  return tally
}
