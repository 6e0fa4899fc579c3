// A thread that plays the seeds it is given, one after the other, and tells what each came to.

import { parentPort, workerData } from 'node:worker_threads'
import { sceneOf } from './scene-of.ts'
import { simulate } from './simulate.ts'
import type { Told } from './tally.ts'

/** The seeds of a thread: every `step`-th, from `from` on, below `end`. */
export interface Share {
  readonly from: number
  readonly end: number
  readonly step: number
}

const { from, end, step } = workerData as Share
for (let seed = from; seed < end; seed += step) {
  const { violations, evidence } = await simulate(sceneOf(seed))
  const told: Told = {
    seed,
    violations,
    events: evidence?.written.length ?? 0,
    tasks: evidence?.tasks.length ?? 0,
    elapsedMs: evidence?.elapsedMs ?? 0,
    struck: [...(evidence?.struckBy ?? [])],
  }
  parentPort!.postMessage(told)
}
