// `signalbox workers`: who works on a store, on what, and whether anything was heard of them lately.

import type { Command } from 'commander'
import { sayMs } from '../core/duration.ts'
import { beatMs } from '../presence.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import { exitCodes, print, printJson, table, tell } from './terminal.ts'

/** Who has missed so many beats is not believed to be there. */
const missedMax = 3

export function workersCommand(leave: Leave): Command {
  return storeCommand('workers', 'list who works on the store').action(
    async ({ store, json }: { store?: string; json?: boolean }) => {
      const { rows, nowMs } = await withStore(store, async (box) => ({ rows: await box.workers(), nowMs: box.now() }))
      const silent = ({ beatAtMs }: (typeof rows)[number]): number => Math.max(0, nowMs - beatAtMs)
      const status = (row: (typeof rows)[number]): string =>
        silent(row) > missedMax * beatMs ? `silent for ${sayMs(silent(row))}` : row.status
      if (json) for (const row of rows) printJson({ ...row, silentMs: silent(row) })
      else if (rows.length === 0) tell('Nobody works on this store.')
      else {
        const header = ['WORKER', 'HOST', 'PID', 'STATUS', 'TASKS', 'AGENTS', 'QUEUES', 'SINCE']
        const lines = rows.map((row) => [
          row.worker,
          row.host,
          String(row.pid),
          status(row),
          `${row.held} of ${row.concurrency}`,
          row.agents.join(', '),
          row.queues.join(', '),
          new Date(row.startedAtMs).toISOString(),
        ])
        print(table([header, ...lines]))
      }
      leave(exitCodes.well)
    },
  )
}
