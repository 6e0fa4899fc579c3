// The planted bugs, before anybody looks for them: each can be planted, each is still a program, and the loader plants what it
// is told to and nothing else.

import { spawnSync } from 'node:child_process'
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { folder } from '../folder.ts'
import { mutate } from './plant.ts'
import { planted } from './planted.ts'

const root = join(import.meta.dirname, '../..')

test('there are enough of them, under names of their own, spread over the promises of the engine', () => {
  expect(planted.length).toBeGreaterThanOrEqual(24)
  expect(new Set(planted.map(({ id }) => id)).size).toBe(planted.length)
  expect(new Set(planted.map(({ what }) => what)).size).toBe(planted.length)
  expect(new Set(planted.map(({ breaks }) => breaks)).size).toBeGreaterThanOrEqual(14)
})

test.each(planted)('$id stands in its file once, and the file with it is still a program', (bug) => {
  const mutated = mutate(bug)
  expect(mutated).not.toBe(readFileSync(join(root, bug.file), 'utf8'))
  expect(() => stripTypeScriptTypes(mutated)).not.toThrow()
})

test('all of them together are an engine that the compiler takes', () => {
  const path = folder()
  cpSync(join(root, 'src'), join(path, 'src'), { recursive: true })
  for (const name of ['node_modules', 'package.json', 'tsconfig.json', 'tsconfig.build.json'])
    symlinkSync(join(root, name), join(path, name))
  for (const { file, find, put } of planted) {
    const parts = readFileSync(join(path, file), 'utf8').split(find)
    expect(parts, `${file} beside what else is planted there: ${find}`).toHaveLength(2)
    writeFileSync(join(path, file), parts.join(put))
  }
  const options = ['--preserveSymlinks', '--noEmit', '-p', join(path, 'tsconfig.build.json')]
  const { status, stdout } = spawnSync(join(root, 'node_modules/.bin/tsc'), options, { encoding: 'utf8' })
  expect(status, stdout).toBe(0)
})

test('what does not stand in its file once cannot be planted, and is told', () => {
  const [bug] = planted
  expect(() => mutate({ ...bug!, find: 'nobody wrote this' })).toThrow(/B01 cannot be planted: .* has 0 times, and not/)
  expect(() => mutate({ ...bug!, find: 'const' })).toThrow(/has \d+ times, and not once: const/)
})

/** What a retry would be after one failure of two allowed tries, and after two. */
const script = `
  import { planRetry } from ${JSON.stringify(pathToFileURL(join(root, 'src/core/resilience.ts')).href)}
  const failed = { failure: { class: 'overload', message: '' }, previousMs: 0, deadlineAtMs: 60_000, nowMs: 0, random: 0 }
  const plan = (failures) => planRetry({ attempts: 2, baseMs: 500, capMs: 20_000 }, { ...failed, failures })?.delayMs
  console.log([plan(0), plan(1)].join(' '))
`

function run(bug: string | undefined): { readonly stdout: string; readonly stderr: string } {
  const { SIGNALBOX_PLANTED: _, ...env } = process.env
  const args = ['--import', join(import.meta.dirname, 'plant.ts'), '--input-type=module', '--eval', script]
  return spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: bug === undefined ? env : { ...env, SIGNALBOX_PLANTED: bug },
  })
}

test('the loader plants the bug that it is told to, in the process that it is told to, and no other', () => {
  expect(run(undefined).stdout).toBe('500 \n')
  expect(run('B18').stdout).toBe('500 500\n')
  expect(run('B19').stdout).toBe('500 \n')
  expect(run('B999').stderr).toContain('There is no planted bug B999: use one of B01, ')
})
