// Limits and breakers at the command line: what is reached is told, a named human raises it, and another worker keeps the
// deadline of one that stands still.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { startMockServer } from '../../src/providers/mock-server.ts'
import { test } from '../engines.ts'
import { root, signalbox, start, workplace } from './signalbox.ts'

const index = join(root, 'dist/index.js')
const zod = join(root, 'node_modules/zod/index.js')

/** A folder with an agent in it whose state `work` is given. */
async function folderWith(work: string, config = ''): Promise<string> {
  const cwd = await workplace()
  const text = `
    import { defineAgent, defineContext, defineTool, usd } from '${index}'
    import { z } from '${zod}'
    const look = defineTool({ name: 'look', description: 'd', inputSchema: z.object({ at: z.int() }), execute: ({ at }) => at })
    export const worker = defineAgent({ name: 'worker', version: '1', context: defineContext({}), initial: 'work',
      on: { $error: 'failed', $timeout: 'fellBack' },
      states: { work: ${work}, done: { type: 'final' }, fellBack: { type: 'final' }, failed: { type: 'final', failure: true } } })
    export default { agents: [worker]${config} }
  `
  writeFileSync(join(cwd, 'agent.ts'), text)
  return cwd
}

const model = `{ model: 'main', prompt: 'p', tools: [look], outputTokens: 120, outputTokensMin: 50, on: { OK: 'done' } }`

test('a budget pauses a task at its soft line; a named human raises it, and the task goes on where it was', async () => {
  const server = await startMockServer(({ turn }) => {
    const usage = { inputTokens: 300, outputTokens: 100 }
    return turn <= 4
      ? { calls: [{ name: 'look', arguments: { at: turn } }], usage }
      : { calls: [{ name: 'OK' }], usage }
  })
  try {
    const cwd = await folderWith(model, `, prices: { main: { inputUsdPerMillion: 1, outputUsdPerMillion: 5 } }`)
    const env = { SIGNALBOX_BASE_URL: server.url, SIGNALBOX_MODEL: 'mock' }
    const begun = await signalbox(['run', 'agent.ts', '--id', 't', '--input', '{}', '--cost', '0.0030', '--json'], {
      cwd,
      env,
    })
    expect(begun.code, begun.stderr).toBe(3)
    expect(begun.stderr).toContain('cost: $0.002400 of $0.003000, past the soft line at 80 %')
    expect(begun.stderr).toContain('turn 1: endpoint.chat/mock, 300 in, 100 out, $0.000800')
    const asked = server.requests
    const [{ item, kind, options }] = (await signalbox(['inbox', '--json'], { cwd })).json
    expect([kind, options]).toEqual(['budget', ['raise', 'finish', 'end']])
    const who = ['--by', 'ana', '--reason', 'worth it']
    const wrong = await signalbox(['answer', item, '--decision', 'raise', '--data', '{"costMicros":1}', ...who], {
      cwd,
    })
    expect(wrong.code).toBe(2)
    expect(wrong.stderr).toContain('INPUT_INVALID')
    const raised = await signalbox(['answer', item, '--decision', 'raise', '--data', '{"costMicros":9000}', ...who], {
      cwd,
    })
    expect(raised.code, raised.stderr).toBe(0)
    const done = await signalbox(['run', 'agent.ts', '--id', 't', '--json'], { cwd, env })
    expect(done.code, done.stderr).toBe(0)
    expect(done.stderr).toContain('limit raised by ana: cost to $0.009000 (worth it)')
    expect(done.json.at(-1).usage).toMatchObject({ turns: 5, inputTokens: 1_500, outputTokens: 500, costMicros: 4_000 })
    // Nothing was asked twice.
    expect(server.requests).toBe(asked + 2)
    const events = (await signalbox(['log', 't', '--json'], { cwd })).json as { costMicros: number | null }[]
    expect(events.reduce((sum, { costMicros }) => sum + (costMicros ?? 0), 0)).toBe(4_000)
    expect((await signalbox(['show', 't'], { cwd })).stdout).toContain('$0.004000')
    expect((await signalbox(['tasks'], { cwd })).stdout).toContain('$0.004000')
  } finally {
    await server.close()
  }
})

test('money has a ceiling and a model has no price: nothing is started, and the error says how to give one', async () => {
  const cwd = await folderWith(model)
  const env = { SIGNALBOX_BASE_URL: 'http://127.0.0.1:9/v1', SIGNALBOX_MODEL: 'mock' }
  const ran = await signalbox(['run', 'agent.ts', '--cost', '1'], { cwd, env })
  expect(ran.code).toBe(2)
  expect(ran.stderr).toContain('PRICE_UNKNOWN')
  expect(ran.stderr).toContain('prices: { "main": { inputUsdPerMillion: …')
  expect((await signalbox(['tasks', '--json'], { cwd })).json).toEqual([])
})

test('breakers are shown, and closed by a named human only', async () => {
  let down = true
  const server = await startMockServer(() => (down ? { status: 503, body: 'down' } : { calls: [{ name: 'OK' }] }))
  try {
    const quotas = `, quotas: { main: { breaker: { failures: 1, coolDown: '1h' } } }`
    const cwd = await folderWith(model.replace('tools', 'retry: { attempts: 1 }, tools'), quotas)
    const env = { SIGNALBOX_BASE_URL: server.url, SIGNALBOX_MODEL: 'mock' }
    const first = await signalbox(['run', 'agent.ts', '--id', 'first', '--input', '{}'], { cwd, env })
    expect(first.code).toBe(1)
    expect(first.stderr).toContain('breaker model:main is open after 1 failures')
    const second = await signalbox(['run', 'agent.ts', '--id', 'second', '--input', '{}'], { cwd, env })
    expect(second.stderr).toContain('model:main could not be asked: its breaker is open until')
    expect(server.requests).toBe(1)
    expect((await signalbox(['breakers'], { cwd })).stdout).toMatch(
      /model:main +open for (1 h 0 min|59 min).* first \(event \d+\)/,
    )
    expect((await signalbox(['breakers', '--json'], { cwd })).json).toMatchObject([
      { key: 'model:main', status: 'open', failures: 1 },
    ])
    const nameless = await signalbox(['breakers', '--reset', 'model:main'], { cwd })
    expect([nameless.code, nameless.stderr]).toEqual([2, expect.stringContaining('--reset needs --by and --reason')])
    const unknown = await signalbox(['breakers', '--reset', 'model:x', '--by', 'ana', '--reason', 'r'], { cwd })
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('BREAKER_UNKNOWN')])
    expect(
      (await signalbox(['breakers', '--reset', 'model:main', '--by', 'ana', '--reason', 'it is back'], { cwd })).code,
    ).toBe(0)
    down = false
    expect((await signalbox(['run', 'agent.ts', '--id', 'third', '--input', '{}'], { cwd, env })).code).toBe(0)
    expect((await signalbox(['log', 'first'], { cwd })).stdout).toContain(
      'breaker model:main closed by ana: it is back',
    )
    expect((await signalbox(['verify'], { cwd })).code).toBe(0)
  } finally {
    await server.close()
  }
})

test('a worker whose loop stands still keeps nobody waiting: another takes the timeout exit, and what comes late is not applied', async () => {
  const standing = `{ run: () => {
    if (process.env.STAND_STILL) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 6_000)
    return 'OK'
  }, timeout: '500ms', on: { OK: 'done' } }`
  const cwd = await folderWith(standing)
  const first = start(['run', 'agent.ts', '--id', 't', '--input', '{}', '--lease', '1s'], {
    cwd,
    env: { STAND_STILL: '1' },
  })
  // It has the task, and the permission of the function is in the log.
  for (let tries = 0; ; tries += 1) {
    const log = await signalbox(['log', 't', '--json'], { cwd })
    if (log.json.some(({ type }) => type === 'function.called')) break
    if (tries > 50) throw new Error('it never began')
    await new Promise((wake) => setTimeout(wake, 50))
  }
  const second = await signalbox(['run', 'agent.ts', '--id', 't', '--lease', '1s', '--json'], { cwd })
  expect(second.json.at(-1)).toMatchObject({ outcome: 'fellBack', state: 'fellBack' })
  expect(first.child.exitCode).toBe(null)
  await first.ended
  const events = (await signalbox(['log', 't', '--json'], { cwd })).json
  expect(events.filter(({ type }) => type === 'transition.taken').map(({ data }) => data.exit)).toEqual(['$timeout'])
  expect(events.some(({ type }) => type === 'function.returned')).toBe(false)
  expect((await signalbox(['verify', 't'], { cwd })).code).toBe(0)
})
