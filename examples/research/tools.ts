// What the team may do: look into the notes, and, once the editor has agreed, publish. Whatever a note says is anyone's words,
// so both ways of looking answer `untrusted`. Publishing writes a file and a line in a ledger, once for each idempotency key.

import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { defineTool } from 'signalbox'
import { z } from 'zod'
import { grep, linesOf } from './folder.ts'

export const searchNotes = defineTool({
  name: 'search_notes',
  description: 'Finds lines of the notes that hold one of the words.',
  inputSchema: z.object({
    words: z.string().min(1).max(200).describe('words to look for, separated by |, such as "bell|siren"'),
    limit: z.int().min(1).max(30).default(12),
  }),
  trust: 'untrusted',
  timeout: '20s',
  execute: async ({ words, limit }, { context }) => {
    const found = await grep(context['folder'], words)
    return { total: found.length, found: found.slice(0, limit) }
  },
})

export const readNote = defineTool({
  name: 'read_note',
  description: 'Reads lines of one note, for what stands around a line that was found.',
  inputSchema: z.object({ file: z.string().max(100), from: z.int().min(1), to: z.int().min(1) }),
  trust: 'untrusted',
  timeout: '20s',
  execute: async ({ file, from, to }, { context }) => {
    const lines = await linesOf(context['folder'], file)
    const shown = lines.slice(from - 1, Math.min(to, from + 39))
    return { lines: lines.length, shown: shown.map((text, index) => ({ line: from + index, text })) }
  },
})

export const publishReport = defineTool({
  name: 'publish_report',
  description: 'Writes the report to its place.',
  inputSchema: z.object({ report: z.string(), reportPath: z.string(), ledgerPath: z.string() }),
  effect: 'write',
  sinks: ['reportPath', 'ledgerPath'],
  // The ledger is looked into first, so asking twice with one key publishes once.
  idempotent: true,
  timeout: '10s',
  execute: async ({ report, reportPath, ledgerPath }, { idempotencyKey }) => {
    await writeFile(reportPath, report)
    const ledger = await readFile(ledgerPath, 'utf8').catch(() => '')
    const done = ledger.split('\n').some((line) => line.includes(`"key":${JSON.stringify(idempotencyKey)}`))
    if (!done)
      await appendFile(ledgerPath, `${JSON.stringify({ key: idempotencyKey, effect: 'publish', reportPath })}\n`)
    return { published: reportPath, before: done }
  },
})
