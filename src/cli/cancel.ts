// `signalbox cancel TASK`: ends a task. What it is doing is called off; where its agent says so, it takes back what it did
// before it ends, and that takes a worker.

import type { Command } from 'commander'
import { secretsOption, storeCommand, withStore, type Leave, sameStore } from './command.ts'
import type { TaskStatus } from '../core/task.ts'
import type { Orchestrator } from '../orchestrator.ts'
import { exitCodes, parseSaid, printJson, tell, whoami } from './terminal.ts'

export function cancelCommand(leave: Leave): Command {
  return storeCommand('cancel', 'end a task; what it is doing is called off')
    .argument('<task>')
    .option('--by <who>', 'who ends it (default: you)', parseSaid('--by'))
    .option('--reason <why>', 'why', parseSaid('--reason'), 'not said')
    .addOption(secretsOption())
    .action(
      async (
        taskId: string,
        flags: { by?: string; reason: string; store?: string; json?: boolean; secretsOf?: string },
      ) => {
        const by = flags.by ?? `cli:${whoami()}`
        const cancel = async (box: Orchestrator): Promise<TaskStatus> => {
          await box.cancel(taskId, { by, reason: flags.reason })
          return (await box.show(taskId)).status
        }
        const status = await withStore(flags.store, cancel, flags.secretsOf)
        const store = sameStore(flags.store)
        const first = `A worker takes back what it did, or: signalbox run FILE --id ${taskId}${store}`
        tell(status === 'cancelled' ? `Cancelled ${taskId}.` : `Recorded: ${taskId} is cancelled. ${first}`)
        if (flags.json) printJson({ taskId, by, reason: flags.reason, status })
        leave(exitCodes.well)
      },
    )
}
