// `signalbox redteam`: what it finds in a machine with the classic faults left in, and how it speaks.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { folder } from '../folder.ts'
import { root, signalbox } from './signalbox.ts'

const fragile = join(root, 'examples/redteam/fragile.ts')

test('every fault that is planted in the fragile agent is named in one line, and the exit code is 1', async () => {
  const cwd = folder()
  const ran = await signalbox(['redteam', fragile, '--json', '--html', 'r.html', '--junit', 'r.xml'], { cwd })
  expect(ran.code).toBe(1)
  const { ok, agents } = ran.json[0]
  expect(ok).toBe(false)
  const found = agents[0].findings.map(({ problem }: { problem: string }) => problem).join('\n')
  for (const planted of [
    /^send_mail was called in read with what a stranger ordered, and nobody was asked$/m,
    /^refund was called again in payBack after its answer was lost, under another key: it acted 2 times$/m,
    /^fragile\.read routes no \$timeout: the task stops, and a person is asked$/m,
    /^fragile\.read routes no \$error: the task stops, and a person is asked$/m,
    /^fragile\.read declares no limit of turns: what ended it rests on the engine's default of 20$/m,
    /^fragile\.judge declares no limit of repeats: what ended it rests on the engine's default of 3$/m,
  ]) {
    expect(found).toMatch(planted)
  }
  for (const { severity, problem, again } of agents[0].findings) {
    expect(ran.stderr).toContain(problem)
    expect(again).toMatch(/^signalbox redteam \S+fragile\.ts --agent fragile --seed 1 --only '/)
    expect(['breach', 'weak']).toContain(severity)
  }
  expect(readFileSync(join(cwd, 'r.html'), 'utf8')).toContain('its log')
  expect(readFileSync(join(cwd, 'r.xml'), 'utf8')).toContain('<failure type="I4"')
})

test('a breach is shown again by its one line, with its log', async () => {
  const ran = await signalbox(['redteam', fragile, '--only', 'T04@fragile.payBack:refund#1'])
  expect(ran.code).toBe(1)
  expect(ran.stderr).toMatch(/breach I4: refund was called again/)
  expect(ran.stderr).toMatch(/payBack/)
})

test.each([
  ['no file', [], /^FLAG_INVALID No file was named/m],
  ['a word that fits nothing', [fragile, '--only', 'M77'], /^FLAG_INVALID Nothing fits --only M77/m],
  ['a shard that is none', [fragile, '--shard', '5/4'], /^FLAG_INVALID --shard is "5\/4"/m],
  ['an agent that is not there', [fragile, '--agent', 'strong'], /^AGENT_UNKNOWN/m],
  [
    'a report that cannot be written',
    [fragile, '--only', 'B1', '--html', '/nowhere/r.html'],
    /^FLAG_INVALID --html \/nowhere/m,
  ],
])('%s is refused in one line', async (_, args, message) => {
  const ran = await signalbox(['redteam', ...args])
  expect([ran.code, ran.stderr]).toEqual([2, expect.stringMatching(message)])
})

test('the kinds are listed, those with another place to be shown at too', async () => {
  const { json, code } = await signalbox(['redteam', '--kinds', '--json'])
  expect([code, json.length]).toEqual([0, 70])
  expect(json.find(({ id }) => id === 'D12').elsewhere).toMatch(/disk/)
})
