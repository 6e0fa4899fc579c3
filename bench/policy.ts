// What it costs to judge one step: rules, labels, provenance and redaction, in the process and without a store. Each case
// is measured in turn with the others, several times over, and the median counts.

import { z } from 'zod'
import { defineAgent } from '../src/core/agent.ts'
import { compileChecked } from '../src/core/check.ts'
import { defineContext } from '../src/core/context.ts'
import { start } from '../src/core/start.ts'
import { draft, noTerms, type Terms } from '../src/core/draft.ts'
import { clear, type Label } from '../src/core/label.ts'
import type { Rule } from '../src/core/policy.ts'
import { redactor } from '../src/core/redact.ts'
import { rules } from '../src/core/rules.ts'
import { judgeCall } from '../src/core/ruling.ts'
import { defineTool } from '../src/core/tool.ts'

const send = defineTool({
  name: 'send',
  description: 'Sends.',
  inputSchema: z.object({ to: z.string(), body: z.string() }),
  effect: 'external',
  sinks: ['to'],
  execute: () => null,
})

const policy: readonly Rule[] = [
  rules.only(['send']),
  rules.argument('send', 'to', { pattern: /[^@\s]+@corp\.example/ }),
  rules.egress(['corp.example']),
  rules.hours({ from: '00:00', to: '24:00', zone: 'Europe/Berlin', tools: ['send'] }),
  rules.startedBy(['bench']),
]

const machineOf = (own: readonly Rule[]) =>
  compileChecked(
    defineAgent({
      name: 'judged',
      version: '1',
      context: defineContext({ order: z.string(), heard: { schema: z.string(), trust: 'untrusted' } }),
      policy: own,
      initial: 'work',
      on: { $error: 'done', $timeout: 'done' },
      states: {
        work: { model: 'main', prompt: 'work', tools: [send], visits: 1, on: { DONE: 'done' } },
        done: { type: 'final' },
      },
    }),
  )

const untrusted: Label = { trust: 'untrusted', privacy: 'private' }
const order = `Write to bob@corp.example and nobody else. ${'x '.repeat(2_000)}`
const input = { to: 'bob@corp.example', body: 'See https://corp.example/a. '.repeat(20) }
const kilobyte = { text: 'An answer of a tool, in plain words. '.repeat(28) }

/** Judges one call, again and again. */
function judging(own: readonly Rule[], label: Label): () => void {
  const machine = machineOf(own)
  const given = { taskId: 't', definition: 'd', input: { order, heard: 'x' }, by: 'bench', seed: 1 }
  const { task } = start(machine, given, 0)
  const node = machine.states.get('work')!
  const tool = machine.tools.get('send')!
  const terms: Terms = noTerms
  return () => void judgeCall(machine, draft(task, 1_000, terms), node, tool, input, label)
}

function redacting(secrets: number): () => void {
  const known = Array.from({ length: secrets }, (_, at) => [`S${at}`, `secret-number-${at}-${'abcdef'.repeat(5)}`])
  const redact = redactor({ secrets: Object.fromEntries(known) as Record<string, string>, patterns: [] })
  return () => void redact.value(kilobyte)
}

const cases: readonly (readonly [string, () => void])[] = [
  ['no rules, trusted', judging([], clear)],
  ['five rules, trusted', judging(policy, clear)],
  ['five rules, untrusted: sinks and links in 4 KB', judging(policy, untrusted)],
  ['redacting 1 KB, no secrets', redacting(0)],
  ['redacting 1 KB, 50 secrets', redacting(50)],
]

/** Microseconds for one of each. */
export function judgeSteps(): { what: string; usPerStep: number }[] {
  const rounds = 7
  const times = cases.map((): number[] => [])
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, [, step]] of cases.entries()) {
      const count = 2_000
      const startedMs = performance.now()
      for (let number = 0; number < count; number += 1) step()
      times[index]!.push(((performance.now() - startedMs) / count) * 1_000)
    }
  }
  return cases.map(([what], index) => {
    const sorted = times[index]!.sort((a, b) => a - b)
    return { what, usPerStep: Number(sorted[Math.floor(rounds / 2)]!.toFixed(2)) }
  })
}
