// `signalbox breakers`: what models and tools let through, and who may be waiting; `--reset KEY` closes one.

import type { Command } from 'commander'
import { sayMs } from '../core/duration.ts'
import { Fault } from '../core/fault.ts'
import type { GateRow } from '../store/store.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import { exitCodes, parseSaid, print, printJson, table, tell } from './terminal.ts'

interface BreakersFlags {
  reset?: string
  by?: string
  reason?: string
  store?: string
  json?: boolean
}

export function breakersCommand(leave: Leave): Command {
  return storeCommand('breakers', 'show the breakers and queues of models and tools, or reset one')
    .option('--reset <key>', 'close this breaker and end its pause, such as model:main')
    .option('--by <who>', 'who resets it', parseSaid('--by'))
    .option('--reason <why>', 'why', parseSaid('--reason'))
    .action(async (flags: BreakersFlags) => {
      if (flags.reset === undefined) await show(flags)
      else await reset(flags.reset, flags)
      leave(exitCodes.well)
    })
}

async function reset(key: string, { by, reason, store, json }: BreakersFlags): Promise<void> {
  if (by === undefined || reason === undefined) {
    throw new Fault('FLAG_INVALID', '--reset needs --by and --reason.', 'The log keeps who did it, and why.')
  }
  await withStore(store, (box) => box.resetBreaker(key, { by, reason }))
  tell(`Recorded: ${by} closed ${key}.`)
  if (json) printJson({ key, by, reason })
}

async function show({ store, json }: BreakersFlags): Promise<void> {
  const { rows, nowMs } = await withStore(store, async (box) => ({ rows: await box.gates(), nowMs: box.now() }))
  if (json) for (const row of rows) printJson(row)
  else if (rows.length === 0) tell('Nothing has failed, and nothing is bounded.')
  else {
    const header = ['KEY', 'BREAKER', 'FAILURES', 'CALLS', 'WAITING', 'CHANGED BY']
    const lines = rows.map((row) => [
      row.key,
      say(row, nowMs),
      String(row.failures),
      String(row.active),
      String(row.waiting),
      row.taskId === null ? '' : `${row.taskId} (event ${row.seq})`,
    ])
    print(table([header, ...lines]))
  }
}

function say({ status, untilMs, pausedUntilMs, probe }: GateRow, nowMs: number): string {
  if (pausedUntilMs > nowMs) return `paused for ${sayMs(pausedUntilMs - nowMs)}`
  if (status === 'closed') return 'closed'
  if (untilMs <= nowMs) return `${status}, may be probed`
  return status === 'open' ? `open for ${sayMs(untilMs - nowMs)}` : `probed by ${probe}`
}
