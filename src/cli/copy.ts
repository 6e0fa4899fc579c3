// `signalbox copy --from ADDRESS --to ADDRESS`: carries everything that a store holds into another one, on any engine.

import type { Command } from 'commander'
import { Fault } from '../core/fault.ts'
import { copyStore, type CopyProgress } from '../copy.ts'
import { systemRuntime } from '../runtime.ts'
import { openStore, shownAddress } from '../store/open.ts'
import { command, type Leave } from './command.ts'
import { exitCodes, paint, printJson, tell } from './terminal.ts'

const tellEveryMs = 1_000

export function copyCommand(leave: Leave): Command {
  return command(
    'copy',
    'copy a store that is at rest into another, on any engine: tasks, inbox, schedules and checkpoints; started again, it goes on',
  )
    .requiredOption('--from <address>', 'the store to copy; it is only read')
    .requiredOption(
      '--to <address>',
      'where to: an empty store, or what an earlier run has left; made where there is none',
    )
    .action(async ({ from, to, json }: { from: string; to: string; json?: boolean }) => {
      if (from === to) {
        throw new Fault('FLAG_INVALID', '--from and --to are the same store.', 'Name another with --to.')
      }
      const shown = shownAddress(to)
      const source = await openStore(from, { runtime: systemRuntime, create: false })
      try {
        const copied = await copyStore(source, {
          open: () => openStore(to, { runtime: systemRuntime }),
          now: () => systemRuntime.now(),
          progress: teller(),
        })
        const { tasks, events, payloads, schedules, checkpoints, skipped } = copied
        const before = skipped === 0 ? '' : `; ${skipped} tasks were there already`
        tell(
          paint(
            'green',
            `Copied ${tasks} tasks (${events} events, ${payloads} payloads), ${schedules} schedules and ${checkpoints} checkpoints to ${shown}, and proved them there${before}.`,
          ),
        )
        tell('Let workers go on in one of the two only: else the same task goes on in two places.')
        if (json) printJson(copied)
      } finally {
        await source.close()
      }
      leave(exitCodes.well)
    })
}

/** Says now and then how far it has come. */
function teller(): (progress: CopyProgress) => void {
  let told = Date.now()
  return ({ phase, tasks, of }) => {
    if (Date.now() - told < tellEveryMs) return
    told = Date.now()
    tell(`… ${phase} ${tasks} of ${of} tasks`)
  }
}
