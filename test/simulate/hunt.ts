// Looks for one planted bug: the simulator is run as it is, in a process of its own, with the bug in the engine, until a world
// in which something does not hold.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { PlantedBug } from './planted.ts'
import type { Violation } from '../../src/redteam/evidence.ts'

interface Found {
  readonly seed: number
  readonly violations: readonly Violation[]
}

/** What became of looking for a bug. */
export interface Hunt {
  readonly bug: PlantedBug
  /** How many seeds were played. */
  readonly played: number
  /** The seed in which something did not hold, and what. */
  readonly foundBy?: Found
}

const run = promisify(execFile)

/** Plays so many seeds with a bug planted, until it is found. */
export async function huntFor(
  bug: PlantedBug,
  { from, seeds, threads }: { readonly from: number; readonly seeds: number; readonly threads: number },
): Promise<Hunt> {
  const wanted = ['--seeds', seeds, '--from', from, '--threads', threads, '--fail-fast', '--bare', '--json']
  const script = ['plant.ts', 'main.ts'].map((name) => join(import.meta.dirname, name))
  const env = { ...process.env, SIGNALBOX_PLANTED: bug.id }
  // It ends with 1 where something does not hold.
  const { stdout, stderr } = await run(process.execPath, ['--import', ...script, ...wanted.map(String)], {
    env,
    maxBuffer: 2 ** 30,
  }).catch((thrown: { stdout: string; stderr: string }) => thrown)
  if (!stdout) throw new Error(`The simulator died with ${bug.id} planted: ${stderr}`)
  const said = JSON.parse(stdout) as { readonly seeds: number; readonly violations: readonly Found[] }
  const [foundBy] = said.violations
  return { bug, played: said.seeds, ...(foundBy ? { foundBy } : {}) }
}

/** A bug, and what became of looking for it, in two lines. */
export function sayHunt({ bug: { id, what, breaks }, played, foundBy }: Hunt): string {
  const [first] = foundBy?.violations ?? []
  const came =
    foundBy && first
      ? `found after ${played} worlds, in that of seed ${foundBy.seed}: ${first.invariant} ${first.problem}`
      : `NOT found in ${played} worlds`
  return `${id} (${breaks}) ${what}\n    ${came}`
}
