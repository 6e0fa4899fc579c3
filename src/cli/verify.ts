// `signalbox verify [TASK]`: proves the log whole, or names the first event of each task that is not as it was written.

import type { Command } from 'commander'
import { Fault } from '../core/fault.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import { exitCodes, paint, printJson, tell } from './terminal.ts'

export function verifyCommand(leave: Leave): Command {
  return storeCommand(
    'verify',
    'prove the log whole; exit 1 when an event was edited, removed, inserted, moved or cut off',
  )
    .argument('[task]', 'only this one (default: all)')
    .action(async (taskId: string | undefined, flags: { store?: string; json?: boolean }) => {
      const result = await withStore(flags.store, async (box) => {
        let told = Date.now()
        const found = await box.verify(taskId, (tasks) => {
          if (Date.now() - told < 1_000) return
          told = Date.now()
          tell(`… ${tasks} tasks`)
        })
        if (taskId !== undefined && found.events === 0 && found.findings[0]?.kind === 'inserted') {
          throw new Fault('TASK_UNKNOWN', `There is no task ${taskId} in this store.`, 'List them: signalbox tasks.')
        }
        return found
      })
      const { tasks, events, findings } = result
      for (const { taskId: id, seq, kind, problem } of findings)
        tell(paint('red', `task ${id}, event ${seq}, ${kind}: ${problem}`))
      const ok = findings.length === 0
      tell(
        ok
          ? paint('green', `verified: ${tasks} task${tasks === 1 ? '' : 's'}, ${events} events`)
          : paint('red', `not verified: ${findings.length} of ${tasks} tasks`),
      )
      if (flags.json) printJson({ ok, tasks, events, findings })
      leave(ok ? exitCodes.well : exitCodes.badly)
    })
}
