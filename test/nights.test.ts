// The three nights as a stranger runs them: each ends in seconds, and its table says what happened. They run on SQLite only,
// as a stranger has no server; what they show is held to on both engines in scenarios.test.ts.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')

async function night(name: string): Promise<string> {
  const file = join('examples', 'nights', `${name}.ts`)
  const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: root, timeout: 30_000 })
  return stdout
}

test('503: tried again with jitter, then left alone by its breaker while the backup answers, then probed', async () => {
  const told = await night('503')
  expect(told.match(/503; then again in/g)?.length).toBe(2)
  expect(told).toMatch(/503; then backup, the fallback/)
  expect(told).toMatch(/breaker model:main is open/)
  const [, second, third] = told.split(/^while-it-fails|^while-its-breaker-is-open|^when-it-is-well-again/m).slice(1)
  expect(second).toMatch(/asks backup/)
  expect(second).not.toMatch(/asks main/)
  expect(third).toMatch(/half-open[\s\S]*asks main[\s\S]*is closed/)
  expect(told).toMatch(/main was asked 4 times, backup 2 times/)
})

test('loop: stopped by no progress, by a limit on calls, and by a human before the money is used up', async () => {
  const told = await night('loop')
  expect(told).toMatch(/limit reached: repeats \(3\)[\s\S]*\$stuck → rollBack/)
  expect(told).toMatch(/limit reached: toolCalls \(6\)[\s\S]*\$limit → rollBack/)
  expect(told).toMatch(/80 % of cost used[\s\S]*waits for a human: raise, finish, end/)
  expect(told).toMatch(/the model was asked 13 times/)
})

test('slow: hung up on at the deadline of two seconds, and a fallback state answers', async () => {
  const told = await night('slow')
  expect(told).toMatch(/\+2\.\d\d s {2}timeout/)
  expect(told).toMatch(/\$timeout → shorten[\s\S]*SUMMARY → done/)
  expect(told).toMatch(/summary: Slow provider, quick fallback\./)
})
