// `signalbox cancel TASK`: ends a task. What it is doing is called off.

import type { Command } from 'commander'
import { secretsOption, storeCommand, withStore, type Leave } from './command.ts'
import { exitCodes, printJson, tell, whoami } from './terminal.ts'

export function cancelCommand(leave: Leave): Command {
  return storeCommand('cancel', 'end a task; what it is doing is called off')
    .argument('<task>')
    .option('--by <who>', 'who ends it (default: you)')
    .option('--reason <why>', 'why', 'not said')
    .addOption(secretsOption())
    .action(
      async (
        taskId: string,
        flags: { by?: string; reason: string; store?: string; json?: boolean; secretsOf?: string },
      ) => {
        const by = flags.by ?? `cli:${whoami()}`
        await withStore(flags.store, (box) => box.cancel(taskId, { by, reason: flags.reason }), flags.secretsOf)
        tell(`Cancelled ${taskId}.`)
        if (flags.json) printJson({ taskId, by, reason: flags.reason })
        leave(exitCodes.well)
      },
    )
}
