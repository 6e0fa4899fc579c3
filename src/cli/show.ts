// `signalbox show TASK`: where a task stands, what it has used, what it knows and what it waits for.

import type { Command } from 'commander'
import { head } from '../core/json.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import { exitCodes, print, printJson } from './terminal.ts'
import { sayUsage } from './timeline.ts'

export function showCommand(leave: Leave): Command {
  return storeCommand('show', 'show where a task stands')
    .argument('<task>')
    .action(async (taskId: string, flags: { store?: string; json?: boolean }) => {
      const view = await withStore(flags.store, (box) => box.show(taskId))
      leave(exitCodes.well)
      if (flags.json) {
        printJson(view)
        return
      }
      print(
        `task     ${view.taskId} (${view.agent} v${view.version}, started by ${view.startedBy} at ${new Date(view.startedAtMs).toISOString()})`,
      )
      print(
        `status   ${view.status}${view.waitsFor === null ? '' : `, for a ${view.waitsFor}`}${view.outcome === null ? '' : `: ${view.outcome}`}`,
      )
      print(`state    ${view.state}, at event ${view.seq}`)
      print(`used     ${sayUsage(view.usage)}`)
      for (const [key, value] of Object.entries(view.context))
        print(`context  ${key} = ${head(JSON.stringify(value), 400)}`)
      for (const { item, question, options } of view.inbox)
        print(`waits    ${item}: ${question} [${options.join(', ')}]`)
    })
}
