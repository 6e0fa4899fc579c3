// `signalbox export TASK`: carries a task out as one file, which proves itself.

import { writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import { Fault, messageOf } from '../core/fault.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import { exitCodes, print, tell } from './terminal.ts'

export function exportCommand(leave: Leave): Command {
  return storeCommand('export', 'carry a task out as one file: its events and payloads, provable by itself')
    .argument('<task>')
    .option('--out <file>', 'where to; it must not be there yet (default: stdout)')
    .action(async (taskId: string, flags: { out?: string; store?: string; json?: boolean }) => {
      const text = await withStore(flags.store, (box) => box.export(taskId))
      if (flags.out === undefined) print(text)
      else {
        write(flags.out, `${text}\n`)
        tell(`Wrote ${flags.out}: everything that task ${taskId} was told and has answered is in it.`)
      }
      leave(exitCodes.well)
    })
}

/** Writes a file that is not there yet. Throws FLAG_INVALID. */
export function write(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: 'wx', mode: 0o600 })
  } catch (thrown) {
    throw new Fault('FLAG_INVALID', `--out ${file}: ${messageOf(thrown)}.`, 'Name a file that is not there yet.')
  }
}
