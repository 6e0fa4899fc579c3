// `signalbox show TASK`: where a task stands, what it has used, what each turn cost, what it knows and what it waits for.

import type { Command } from 'commander'
import { isErased } from '../core/erasure.ts'
import { head } from '../core/json.ts'
import { sayLabel } from '../core/label.ts'
import type { TaskView } from '../orchestrator.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import { exitCodes, print, printJson } from './terminal.ts'
import { sayUsage } from './timeline.ts'
import { sayTurns, turnsOf } from './turns.ts'
import { whyOf } from './why.ts'

export function showCommand(leave: Leave): Command {
  return storeCommand('show', 'show where a task stands')
    .argument('<task>')
    .action(async (taskId: string, flags: { store?: string; json?: boolean }) => {
      const [view, events] = await withStore(flags.store, async (box) => {
        return [await box.show(taskId), await box.store.read(taskId)] as const
      })
      const [turns, why] = [turnsOf(events), whyOf(events, view.status)]
      leave(exitCodes.well)
      if (flags.json) {
        printJson({ ...view, why: why ?? null, turns })
        return
      }
      print(
        `task     ${view.taskId} (${view.agent} v${view.version}, started by ${view.startedBy} at ${new Date(view.startedAtMs).toISOString()})`,
      )
      print(
        `status   ${view.status}${view.waitsFor === null ? '' : `, for a ${view.waitsFor}`}${view.outcome === null ? '' : `: ${view.outcome}`}`,
      )
      if (why) print(`why      ${why.text} (event ${why.seq})`)
      print(`state    ${view.state}, at event ${view.seq}`)
      print(`used     ${sayUsage(view.usage)}`)
      if (turns.length > 0) print(sayTurns(turns))
      if (view.erased > 0) print(`erased   ${view.erased} payloads are gone; see signalbox log ${view.taskId}`)
      for (const [key, value] of Object.entries(view.context))
        print(
          `context  ${key} = ${isErased(value) ? '(erased)' : head(JSON.stringify(value), 400)}${labelOf(view, key)}`,
        )
      for (const { item, question, options } of view.inbox)
        print(`waits    ${item}: ${question} [${options.join(', ')}]`)
    })
}

function labelOf({ labels }: Pick<TaskView, 'labels'>, key: string): string {
  const label = labels[key]
  return label === undefined ? '' : `  (${sayLabel(label)})`
}
