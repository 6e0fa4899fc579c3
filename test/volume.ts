// A disk of its own for a test, small enough to be filled: a file system in memory. Whoever mounts it takes it away again when
// the process that asked for it is gone, however that came about, so that nothing is left mounted.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'vitest'
import { atEnd } from './end.ts'

/** A disk that can be full. */
export interface Volume {
  readonly path: string
  /** Takes all the space there is but so many bytes, and keeps it. */
  fill(leaving?: number): void
  /** Gives back what was taken. */
  free(): void
}

const keeping = `
  mount -t tmpfs -o size="$2",mode=1777 signalbox "$1" && echo mounted
  exec 2>/dev/null
  cat
  umount "$1" || umount -l "$1"
  rmdir "$1"
`

/** A disk of so many megabytes until the test ends. Where none may be mounted the test is skipped, and says so. */
export async function volume({ task, skip }: TestContext, megabytes: number): Promise<Volume> {
  const path = mkdtempSync(join(tmpdir(), 'signalbox-volume-'))
  const keeper = spawn('sh', ['-c', keeping, 'sh', path, `${megabytes}m`], { detached: true, stdio: 'pipe' })
  atEnd(async () => {
    const gone = once(keeper, 'exit')
    keeper.stdin.end()
    await gone
  })
  const [said] = await Promise.race([once(keeper.stdout, 'data'), once(keeper.stderr, 'data')])
  if (String(said).trim() !== 'mounted') {
    const reason = `no disk can be mounted here: ${String(said).trim()}`
    console.log(`Skipped: ${task.name}: ${reason}`)
    skip(reason)
  }
  const filler = join(path, 'filler')
  return {
    path,
    fill(leaving = 0) {
      const file = openSync(filler, 'a')
      let taken = 0
      for (const size of [1 << 20, 1 << 16, 1 << 12]) {
        const block = Buffer.alloc(size)
        try {
          for (;;) taken += writeSync(file, block)
        } catch {
          // It is full, for a block of this size.
        }
      }
      ftruncateSync(file, Math.max(0, taken - leaving))
      closeSync(file)
    },
    free: () => rmSync(filler, { force: true }),
  }
}
