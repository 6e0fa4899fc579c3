// A team at the command line: who waits for whom, what all of them used, and their logs as one.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { startMockServer } from '../../src/providers/mock-server.ts'
import { test } from '../engines.ts'
import { root, signalbox, start, workplace } from './signalbox.ts'

const module = `
  import { defineAgent, defineContext } from '${join(root, 'dist/index.js')}'
  import { z } from '${join(root, 'node_modules/zod/index.js')}'
  const on = { $error: 'failed', $timeout: 'failed' }
  const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } }
  const agent = (name, context, states) => defineAgent({ name, version: '1', context: defineContext(context), on, initial: Object.keys(states)[0], states: { ...states, ...ends } })
  const thinker = agent('thinker', { word: z.string() }, { think: { model: 'main', prompt: 'p', on: { OK: 'done' } } })
  const asker = agent('asker', { who: z.string() }, { ask: { human: { question: ({ context }) => 'Well, ' + context.who + '?' }, on: { YES: 'done', NO: 'failed' } } })
  export const team = agent('team', { words: z.array(z.string()) }, {
    think: { agent: thinker, each: ({ context }) => context.words, input: ({ item }) => ({ word: item }), on: { DONE: 'ask', FAILED: 'failed' } },
    ask: { agent: asker, each: () => ['ana', 'ben'], input: ({ item }) => ({ who: item }), on: { DONE: 'done', FAILED: 'failed' } },
  })
  export default { agents: [team], prices: { main: { inputUsdPerMillion: 1, outputUsdPerMillion: 5 } } }
`

test('a team is told as it works, waits where its children do, and is summed up: one of many, and one folded', async () => {
  const server = await startMockServer(() => ({
    calls: [{ name: 'OK' }],
    usage: { inputTokens: 100, outputTokens: 20 },
  }))
  try {
    const cwd = await workplace()
    writeFileSync(join(cwd, 'team.ts'), module)
    const env = { SIGNALBOX_BASE_URL: server.url, SIGNALBOX_MODEL: 'mock' }
    const run = (...args: string[]) => signalbox(['run', 'team.ts', '--json', ...args], { cwd, env })
    const look = (...args: string[]) => signalbox(args, { cwd })

    const begun = await run('--id', 't', '--input', '{"words":["a","b"]}')
    expect(begun.code, begun.stderr).toBe(3)
    expect(begun.stderr).toMatch(/ {2}t:2 \| {3}turn 1: endpoint\.chat\/mock, 100 in, 20 out, \$0\.000200/)
    expect(begun.stderr).toContain('waits for children: t:3, t:4, in ask: 5 tasks, 6 steps, 2 turns, 200 tokens in')
    const items = [...begun.stderr.matchAll(/decide: signalbox answer (t:\d\.\d+) --decision YES\|NO/g)]
    expect(items.map((match) => match[1])).toEqual(['t:3.4', 't:4.4'])
    const used = { steps: 6, turns: 2, inputTokens: 200, outputTokens: 40, costMicros: 400 }
    expect(begun.json.at(-1)).toMatchObject({ taskId: 't', status: 'waiting', state: 'ask', usage: used })

    const shown = await look('show', 't')
    expect(shown.stdout).toContain('status   waits for children: t:3, t:4\n')
    expect(shown.stdout).toContain('used     4 steps, 0 turns')
    const lines = shown.stdout.split('\n').map((line) => line.replaceAll(/ {2,}/g, '  '))
    expect(lines).toEqual(
      expect.arrayContaining([
        't  team  waits for children: t:3, t:4  ask  4  0  0  0  $0.000000',
        '  t:1  thinker  done  done  1  1  100  20  $0.000200',
        '  t:4  asker  waits for a human  ask  0  0  0  0  $0.000000',
        '5 tasks  6  2  200  40  $0.000400',
        'waits  t:4.4 (of t:4): Well, ben? [YES, NO]',
      ]),
    )
    expect((await look('show', 't', '--json')).json[0]).toMatchObject({
      usage: { steps: 4 },
      treeUsage: used,
      tree: ['t', 't:1', 't:2', 't:3', 't:4'].map((taskId) => ({ taskId })),
      inbox: [{ taskId: 't:3' }, { taskId: 't:4' }],
    })
    expect((await look('show', 't:3')).stdout).toContain('parent   t, in the tree of t\nstatus   waits for a human\n')

    const answer = ['--decision', 'YES', '--by', 'ana', '--reason', 'r']
    await look('answer', 't:3.4', ...answer)
    const less = await run('--id', 't')
    expect(less.code).toBe(3)
    expect(less.stderr).toContain('waits for children: t:4, in ask')
    // What was told before is not told again.
    expect(less.stderr).not.toContain('think (')
    await look('answer', 't:4.4', ...answer)
    const done = await run('--id', 't')
    expect([done.code, done.json.at(-1).usage.steps]).toEqual([0, 6])

    const words = JSON.stringify({ words: Array.from({ length: 60 }, () => 'w') })
    const many = await run('--id', 'm', '--input', words)
    expect(many.json.at(-1).usage).toMatchObject({ turns: 60 })
    const folded = (await look('show', 'm')).stdout
    expect(folded).toMatch(/^ {2}m:5 .*\n {2}and 57 more +55 done, 2 waiting for a human\n63 tasks/m)
    expect(folded).toContain('\n--all shows every task\n')
    expect((await look('show', 'm', '--all')).stdout.match(/^ {2}m:\d+ /gm)).toHaveLength(62)

    const ids = async (...args: string[]) =>
      (await look('tasks', '--json', ...args)).json.map(({ taskId }) => taskId as string).sort()
    expect(await ids('--roots')).toEqual(['m', 't'])
    expect(await ids('--root', 't')).toEqual(['t', 't:1', 't:2', 't:3', 't:4'])
    expect(await ids('--root', 't:2', '--agent', 'thinker')).toEqual(['t:1', 't:2'])
    expect(await ids('--parent', 't', '--limit', '1')).toHaveLength(1)
    expect(await ids()).toHaveLength(68)
    expect((await look('tasks', '--root', 't', '--json')).json.at(0)).toMatchObject({ parentId: 't', rootId: 't' })
    expect((await look('tasks', '--root', 'x')).stderr).toMatch(/^TASK_UNKNOWN/)

    const { json } = await look('log', 't', '--tree', '--json')
    const seen = new Map<string, number>()
    for (const { taskId, seq } of json as { taskId: string; seq: number }[]) {
      expect(seq).toBe((seen.get(taskId) ?? 0) + 1)
      seen.set(taskId, seq)
    }
    expect([...seen.keys()].sort()).toEqual(['t', 't:1', 't:2', 't:3', 't:4'])
    const at = json.map((event) => event.at as string)
    expect(at).toEqual(at.toSorted())
    const began = json.findIndex(({ type, data }) => type === 'child.started' && data.child === 't:3')
    expect(json.findIndex(({ taskId }) => taskId === 't:3')).toBeGreaterThan(began)
    const followed = await look('log', 't', '--tree', '--follow')
    expect(followed.stdout).toBe((await look('log', 't', '--tree')).stdout)
    expect((await look('log', 't', '--tree', '--after', '3')).code).toBe(2)
  } finally {
    await server.close()
  }
})

test('another process follows a tree while it grows', async () => {
  const server = await startMockServer(() => ({ calls: [{ name: 'OK' }], delayMs: 100 }))
  try {
    const cwd = await workplace()
    writeFileSync(join(cwd, 'team.ts'), module)
    const env = { SIGNALBOX_BASE_URL: server.url, SIGNALBOX_MODEL: 'mock' }
    const running = start(['run', 'team.ts', '--id', 't', '--input', '{"words":["a","b","c"]}'], { cwd, env })
    await running.said('think (agent)')
    const follower = start(['log', 't', '--tree', '--follow'], { cwd })
    await follower.said('t:5 |   asks a human')
    expect((await running.ended).code).toBe(3)
    await signalbox(['cancel', 't', '--by', 'ana', '--reason', 'enough'], { cwd })
    // Nobody works here now, and those below it have ended all the same.
    expect((await signalbox(['inbox', '--json'], { cwd })).stdout).toBe('')
    expect((await signalbox(['log', 't:5'], { cwd })).stdout).toContain('cancelled by ana: enough')
    const { stdout } = await follower.ended
    expect(stdout.match(/ended: cancelled/g)).toHaveLength(3)
  } finally {
    await server.close()
  }
})
