// What a test has to put away when it is over. Asked for before the first await, so that it is put down to the right test.

import { onTestFinished, TestRunner } from 'vitest'

/** Puts something away when the running test ends, the newest first; says false where no test runs, as in `beforeAll`. */
export function atEnd(putAway: () => unknown): boolean {
  if (TestRunner.getCurrentTest() === undefined) return false
  onTestFinished(async () => {
    await putAway()
  }, 30_000)
  return true
}
