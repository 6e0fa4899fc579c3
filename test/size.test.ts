// What grows must not: ten thousand tasks in one process leave it as the first thousand did. Each is measured in a process
// of its own. `npm run simulate` runs all of them, here a slice.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { whole } from './campaign.ts'
import { address, test } from './engines.ts'
import type { Held } from './size/runs.ts'

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
