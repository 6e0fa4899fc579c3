// `signalbox import FILE`: takes in a task that was carried out of another store, once it is proved whole.

import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { Fault, messageOf } from '../core/fault.ts'
import { createOrchestrator } from '../orchestrator.ts'
import { readExport } from '../store/import.ts'
import { command, defaultStore, storeOption, type Leave } from './command.ts'
import { exitCodes, printJson, tell } from './terminal.ts'

export function importCommand(leave: Leave): Command {
  return command('import', 'take in a task that has ended elsewhere, with its log and its labels')
    .argument('<file>', 'what signalbox export wrote')
    .addOption(storeOption())
    .action(async (file: string, flags: { store?: string; json?: boolean }) => {
      const text = read(file)
      // What is wrong with it is found before a store is made for it.
      readExport(text)
      const box = await createOrchestrator({ store: flags.store ?? defaultStore, work: false })
      try {
        const { taskId, status, outcome, seq } = await box.import(text)
        tell(`Took in task ${taskId}: ${seq} events, ${status} (${outcome}).`)
        if (flags.json) printJson({ taskId, status, outcome, seq })
      } finally {
        await box.stop()
      }
      leave(exitCodes.well)
    })
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (thrown) {
    throw new Fault('EXPORT_INVALID', `${file} cannot be read: ${messageOf(thrown)}.`, 'Check the path.')
  }
}
