// `signalbox log TASK`: its events, or those of the tree below it, for people or, with --json, whole.

import type { Command } from 'commander'
import { Fault } from '../core/fault.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import type { LoggedEvent, SealedEvent } from '../store/store.ts'
import { exitCodes, parseCount, print, printJson } from './terminal.ts'
import { say } from './timeline.ts'

interface LogFlags {
  tree?: boolean
  follow?: boolean
  raw?: boolean
  after?: number
  store?: string
  json?: boolean
}

export function logCommand(leave: Leave): Command {
  return storeCommand('log', "show a task's events with what each turn cost")
    .argument('<task>')
    .option('--follow', 'go on with events as they come, until the task has ended, with --tree all of them')
    .option('--tree', 'of all tasks below it too, in the order of time')
    .option('--after <seq>', 'only events behind this one (default: 0)', parseCount('--after'))
    .option('--raw', 'as JSON, each event exactly as it was hashed: payloads as their hashes')
    .action(async (taskId: string, flags: LogFlags) => {
      await withStore(flags.store, async (box) => {
        const afterSeq = flags.after ?? 0
        const odd = flags.after !== undefined ? '--after' : flags.raw ? '--raw' : undefined
        if (flags.tree && odd !== undefined) {
          throw new Fault(
            'FLAG_INVALID',
            `--tree and ${odd} do not go together: each task counts its own events.`,
            `Give ${odd} for one task at a time.`,
          )
        }
        if ((await box.store.task(taskId)) === undefined) {
          throw new Fault('TASK_UNKNOWN', `There is no task ${taskId} in this store.`, 'List them: signalbox tasks.')
        }
        if (flags.raw) {
          for (const event of await box.store.readSealed(taskId, { afterSeq })) printJson(raw(event))
          return
        }
        if (flags.tree) {
          for await (const event of box.treeEvents(taskId, flags.follow ? {} : { signal: AbortSignal.abort() }))
            tellEvent(event, taskId, flags.json === true)
          return
        }
        // All of it is read before any of it is told: a log that only a newer engine can read is refused whole.
        const past = await box.store.read(taskId)
        for (const event of past) if (event.seq > afterSeq) tellEvent(event, taskId, flags.json === true)
        if (!flags.follow) return
        const seq = Math.max(afterSeq, past.at(-1)?.seq ?? 0)
        for await (const event of box.events(taskId, { afterSeq: seq })) tellEvent(event, taskId, flags.json === true)
      })
      leave(exitCodes.well)
    })
}

function tellEvent(event: LoggedEvent, top: string, json: boolean): void {
  if (json) {
    const { taskId, seq, at, type, data, costMicros, hash, prevHash } = event
    printJson({ taskId, seq, at: new Date(at).toISOString(), type, data, costMicros, hash, prevHash })
    return
  }
  const line = say(event, top)
  if (line !== undefined) print(line)
}

function raw({ data, ...event }: SealedEvent): unknown {
  return { ...event, data: JSON.parse(data) as unknown }
}
