// `signalbox show TASK`: where a task stands, what it has used, what each turn cost, what it knows and what it waits for;
// and the same in a line for every task below it.

import type { Command } from 'commander'
import { isErased } from '../core/erasure.ts'
import { head } from '../core/json.ts'
import { sayLabel } from '../core/label.ts'
import type { TaskView } from '../view.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import { exitCodes, print, printJson } from './terminal.ts'
import { sayUsage } from './timeline.ts'
import { sayStatus, sayTree } from './tree.ts'
import { sayTurns, turnsOf } from './turns.ts'
import { whyOf } from './why.ts'

export function showCommand(leave: Leave): Command {
  return storeCommand('show', 'show where a task stands')
    .argument('<task>')
    .option('--all', 'every task below it, however many children one has')
    .action(async (taskId: string, flags: { all?: boolean; store?: string; json?: boolean }) => {
      const [view, events] = await withStore(flags.store, async (box) => {
        return [await box.show(taskId), await box.store.read(taskId)] as const
      })
      const fork = events[1]?.type === 'task.forked' ? events[1].data : undefined
      const [turns, why] = [turnsOf(events), whyOf(events, view.status)]
      leave(exitCodes.well)
      if (flags.json) {
        const forkedFrom = fork ? { taskId: fork.from, seq: fork.seq } : null
        printJson({ ...view, forkedFrom, why: why ?? null, turns })
        return
      }
      print(
        `task     ${view.taskId} (${view.agent} v${view.version}, started by ${view.startedBy} at ${new Date(view.startedAtMs).toISOString()})`,
      )
      if (view.parentId !== null) print(`parent   ${view.parentId}, in the tree of ${view.rootId}`)
      print(`status   ${sayStatus(view, view.tree)}`)
      if (fork) print(`forked   from ${fork.from}, at event ${fork.seq} (${fork.state}), by ${fork.by}: ${fork.reason}`)
      if (why) print(`why      ${why.text} (event ${why.seq})`)
      print(`state    ${view.state}, at event ${view.seq}`)
      print(`used     ${sayUsage(view.usage)}`)
      if (turns.length > 0) print(sayTurns(turns))
      if (view.tree.length > 1) print(sayTree(view.tree, view.treeUsage, flags.all === true))
      if (view.erased > 0) print(`erased   ${view.erased} payloads are gone; see signalbox log ${view.taskId}`)
      for (const [key, value] of Object.entries(view.context))
        print(
          `context  ${key} = ${isErased(value) ? '(erased)' : head(JSON.stringify(value), 400)}${labelOf(view, key)}`,
        )
      for (const { taskId: asking, item, question, options } of view.inbox) {
        const whose = asking === view.taskId ? '' : ` (of ${asking})`
        print(`waits    ${item}${whose}: ${question} [${options.join(', ')}]`)
      }
    })
}

function labelOf({ labels }: Pick<TaskView, 'labels'>, key: string): string {
  const label = labels[key]
  return label === undefined ? '' : `  (${sayLabel(label)})`
}
