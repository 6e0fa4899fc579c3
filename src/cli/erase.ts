// `signalbox erase TASK|TASK#SEQ`: takes what a task was told and answered out of the store for good. The log says who
// did it and why, and still verifies.

import type { Command } from 'commander'
import type { Orchestrator } from '../orchestrator.ts'
import { secretsOption, storeCommand, withStore, type Leave } from './command.ts'
import { exitCodes, paint, parseSaid, printJson, tell, whoami } from './terminal.ts'

export function eraseCommand(leave: Leave): Command {
  return storeCommand('erase', 'take the payloads of a task that has ended out of the store for good')
    .argument('<what>', 'a task: all of its payloads; or TASK#SEQ: those that event SEQ carries')
    .option('--by <who>', 'who erases (default: you)', parseSaid('--by'))
    .requiredOption('--reason <why>', 'why; do not repeat here what is to be gone', parseSaid('--reason'))
    .addOption(secretsOption())
    .action(
      async (
        what: string,
        flags: { by?: string; reason: string; store?: string; json?: boolean; secretsOf?: string },
      ) => {
        const by = flags.by ?? `cli:${whoami()}`
        const { reason } = flags
        const done = await withStore(
          flags.store,
          async (box) => {
            const { taskId, seq } = await find(box, what)
            const erased = await box.erase(taskId, seq === undefined ? { by, reason } : { seq, by, reason })
            return { taskId, ...(seq === undefined ? {} : { seq }), ...erased }
          },
          flags.secretsOf,
        )
        const { taskId, seq, erased, wiped } = done
        tell(
          erased === 0
            ? `Nothing was erased: ${seq === undefined ? `all payloads of ${taskId}` : `the payloads of ${taskId}#${seq}`} are gone already.`
            : `Erased ${erased} payload${erased === 1 ? '' : 's'} of ${taskId}. Backups and copies have theirs still.`,
        )
        if (!wiped)
          tell(
            paint(
              'red',
              'The files of the store still hold the bytes: others use it, you do not own it, or its disk is full. Run this again, as its owner, to be rid of them.',
            ),
          )
        if (flags.json) printJson({ ...done, by, reason })
        leave(wiped ? exitCodes.well : exitCodes.badly)
      },
    )
}

/** A task's id may itself look like TASK#SEQ. */
async function find(box: Orchestrator, what: string): Promise<{ taskId: string; seq?: number }> {
  const [, taskId, seq] = /^(.+)#(\d+)$/s.exec(what) ?? []
  if (taskId === undefined || (await box.store.task(what)) !== undefined) return { taskId: what }
  return { taskId, seq: Number(seq) }
}
