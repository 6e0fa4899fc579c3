// What the agent may do: look into the log, and, once a human has agreed, write a report and restart the service. What the log
// says is untrusted. The restart is simulated: it is a line in a ledger file outside the store, one for each idempotency key.

import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { defineTool } from 'signalbox'
import { z } from 'zod'
import { lines, matcher, shape } from './logfile.ts'

const pattern = z.string().min(1).max(200).describe('words to look for, separated by |, such as "failed|refused"')

export const summariseLog = defineTool({
  name: 'summarise_log',
  trust: 'untrusted',
  description: 'Groups the lines of the log by shape (numbers taken out) and shows the most frequent shapes.',
  inputSchema: z.object({ most: z.int().min(1).max(50).default(15) }),
  timeout: '20s',
  execute: async ({ most }, { context, signal }) => {
    const shapes = new Map<string, { count: number; example: string }>()
    let total = 0
    for await (const { text } of lines(context['log'], signal)) {
      total += 1
      const key = shape(text)
      const seen = shapes.get(key)
      if (seen) seen.count += 1
      // A log of all different lines must not fill the memory: new shapes stop at a bound, counts go on.
      else if (shapes.size < 20_000) shapes.set(key, { count: 1, example: text })
    }
    const frequent = [...shapes.values()].sort((a, b) => b.count - a.count).slice(0, most)
    return { lines: total, shapes: shapes.size, frequent }
  },
})

export const searchLog = defineTool({
  name: 'search_log',
  trust: 'untrusted',
  description: 'Finds lines of the log that hold one of the words.',
  inputSchema: z.object({ pattern, limit: z.int().min(1).max(50).default(10) }),
  timeout: '20s',
  execute: async ({ pattern, limit }, { context, signal }) => {
    const matches = matcher(pattern)
    const found = []
    let total = 0
    for await (const line of lines(context['log'], signal)) {
      if (!matches(line.text)) continue
      total += 1
      if (found.length < limit) found.push(line)
    }
    return { total, found }
  },
})

export const countMatches = defineTool({
  name: 'count_matches',
  trust: 'untrusted',
  description: 'Counts the lines of the log that hold one of the words, and names the first and the last.',
  inputSchema: z.object({ pattern }),
  timeout: '20s',
  execute: async ({ pattern }, { context, signal }) => {
    const matches = matcher(pattern)
    let [count, total, first, last] = [0, 0, 0, 0]
    for await (const { line, text } of lines(context['log'], signal)) {
      total = line
      if (!matches(text)) continue
      count += 1
      first ||= line
      last = line
    }
    return { pattern, count, lines: total, first, last }
  },
})

export const restartService = defineTool({
  name: 'restart_service',
  description: 'Writes the report and restarts the service.',
  inputSchema: z.object({ service: z.string(), report: z.string(), reportPath: z.string(), ledgerPath: z.string() }),
  effect: 'external',
  sinks: ['service', 'reportPath', 'ledgerPath'],
  approval: { expires: '12h' },
  // The ledger is looked into first, so asking twice with one key restarts once.
  idempotent: true,
  timeout: '10s',
  execute: async ({ service, report, reportPath, ledgerPath }, { idempotencyKey }) => {
    await writeFile(reportPath, report)
    const ledger = await readFile(ledgerPath, 'utf8').catch(() => '')
    const done = ledger.split('\n').some((line) => line.includes(`"key":${JSON.stringify(idempotencyKey)}`))
    if (!done) await appendFile(ledgerPath, `${JSON.stringify({ key: idempotencyKey, effect: 'restart', service })}\n`)
    return { restarted: service, before: done }
  },
})
