// Cost per turn at the command line: whatever was charged stands in a line, and the lines add up to the total. A60.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test as once } from 'vitest'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { costOf } from '../../src/core/price.ts'
import { say } from '../../src/cli/timeline.ts'
import { turnsOf } from '../../src/cli/turns.ts'
import { startMockServer } from '../../src/providers/mock-server.ts'
import type { ScriptAnswer } from '../../src/providers/scripted.ts'
import type { LoggedEvent } from '../../src/store/store.ts'
import { test } from '../engines.ts'
import { call, Play, used } from '../play.ts'
import { root, signalbox, workplace } from './signalbox.ts'

/** The sum of the money in lines about turns and steps, in millionths of a dollar. */
function sumOf(lines: string): number {
  const costs = [...lines.matchAll(/ (?:turn|step) \d+.*? (-?)\$(\d+)\.(\d{6})/g)]
  return costs.reduce((sum, [, sign, dollars, micros]) => sum + Number(`${sign}${dollars}${micros}`), 0)
}

test('every line that says a charge says tokens, price and estimate; the lines of log and run, and the turns of show, add up', async () => {
  const usage = { inputTokens: 1_000, outputTokens: 50, cachedInputTokens: 900, reasoningTokens: 40 }
  const answers: ScriptAnswer[] = [
    { calls: [{ name: 'OK' }], usage, drop: 'middle' },
    { calls: [{ name: 'look', arguments: { at: 1 } }], usage },
    { status: 503, body: 'down' },
    { calls: [{ name: 'OK' }], usage: {} },
  ]
  const server = await startMockServer(({ number }) => answers[number - 1]!)
  try {
    const cwd = await workplace()
    const text = `
      import { defineAgent, defineContext, defineTool } from '${join(root, 'dist/index.js')}'
      import { z } from '${join(root, 'node_modules/zod/index.js')}'
      const look = defineTool({ name: 'look', description: 'd', inputSchema: z.object({ at: z.int() }), execute: ({ at }) => at })
      export const worker = defineAgent({ name: 'worker', version: '1', context: defineContext({}), initial: 'work',
        on: { $error: 'done', $timeout: 'done' },
        states: { work: { model: 'main', prompt: 'p', tools: [look], on: { OK: 'done' } }, done: { type: 'final' } } })
      export default { agents: [worker], prices: { main: { inputUsdPerMillion: 2.5, outputUsdPerMillion: 10 } } }
    `
    writeFileSync(join(cwd, 'agent.ts'), text)
    const env = { SIGNALBOX_BASE_URL: server.url, SIGNALBOX_MODEL: 'mock' }
    const ran = await signalbox(['run', 'agent.ts', '--id', 't', '--input', '{}', '--json'], { cwd, env })
    expect(ran.code, ran.stderr).toBe(0)
    const total = ran.json.at(-1).usage.costMicros as number
    expect(total).toBeGreaterThan(0)
    const log = (await signalbox(['log', 't'], { cwd })).stdout
    expect(sumOf(log)).toBe(total)
    expect(sumOf(ran.stderr)).toBe(total)
    expect(log).toMatch(/turn 1 failed \(transport\).* in, 4096 out, \$\d\.\d{6} \(configured\), estimated/)
    expect(log).toContain('1000 in (900 cached), 50 out (40 reasoning), $0.003000 (configured)')
    expect(log).toMatch(/turn 1: .*, 2 attempts/)
    expect(log).toMatch(/turn 2: .* \(configured\), estimated, .*, 2 attempts/)
    const shown = (await signalbox(['show', 't'], { cwd })).stdout
    expect(shown).toMatch(/turn +model +attempts +in +cached +out +reasoning +cost +price +latency/)
    expect(shown).toMatch(/work 1 +main +2 +\d+ +900 +4146 +40 +\$\d\.\d{6}\* +configured/)
    const { turns, usage: counted } = (await signalbox(['show', 't', '--json'], { cwd })).json[0]
    expect(turns).toMatchObject([
      { state: 'work', turn: 1, attempts: 2, cachedInputTokens: 900, reasoningTokens: 40, estimated: true },
      { state: 'work', turn: 2, attempts: 2, priceSource: 'configured', estimated: true },
    ])
    const sum = (field: string): number => turns.reduce((all: number, turn: any) => all + turn[field], 0)
    expect([sum('costMicros'), sum('inputTokens'), sum('outputTokens')]).toEqual([
      total,
      counted.inputTokens,
      counted.outputTokens,
    ])
  } finally {
    await server.close()
  }
})

// By values, without a store.
once(
  'what was lost with its worker and what came late stands in the lines too, also where it takes something back',
  () => {
    const price = { inputUsdPerMillion: 3, outputUsdPerMillion: 15 }
    const agent = defineAgent({
      name: 'a',
      version: '1',
      context: defineContext({}),
      initial: 'ask',
      on: { $error: 'done', $timeout: 'done' },
      states: { ask: { model: 'main', prompt: 'p', on: { OK: 'done' } }, done: { type: 'final' } },
    })
    const play = new Play(
      agent,
      {},
      { price: (_, usage) => ({ costMicros: costOf(price, usage), source: 'configured' }) },
    )
    const lost = play.open
    play.crash()
    const answer = { provider: 'p', modelId: 'm', content: [call('OK')], finish: 'tool-calls' as const, usage: used() }
    play.late({ kind: 'model', answer }, lost)
    play.model([call('OK')])
    const lines = play.log.map((event) => say(event as LoggedEvent) ?? '')
    expect(sumOf(lines.join('\n'))).toBe(play.task.usage.costMicros)
    expect(lines.find((line) => line.includes('its worker went away'))).toMatch(
      /4096 out, \$\d\.\d{6} \(configured\), estim/,
    )
    expect(lines.find((line) => line.includes('answered late'))).toMatch(/-\$\d\.\d{6} \(configured\)/)
    expect(turnsOf(play.log)).toMatchObject([
      { attempts: 2, costMicros: play.task.usage.costMicros, inputTokens: 20, outputTokens: 10, estimated: false },
    ])
  },
)
