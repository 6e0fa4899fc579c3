// `signalbox log TASK`: its events, for people or, with --json, whole.

import type { Command } from 'commander'
import { Fault } from '../core/fault.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import type { LoggedEvent, SealedEvent } from '../store/store.ts'
import { exitCodes, parseCount, print, printJson } from './terminal.ts'
import { say } from './timeline.ts'

interface LogFlags {
  follow?: boolean
  raw?: boolean
  after?: number
  store?: string
  json?: boolean
}

export function logCommand(leave: Leave): Command {
  return storeCommand('log', "show a task's events with what each turn cost")
    .argument('<task>')
    .option('--follow', 'go on with events as they come, until the task has ended')
    .option('--after <seq>', 'only events behind this one (default: 0)', parseCount('--after'))
    .option('--raw', 'as JSON, each event exactly as it was hashed: payloads as their hashes')
    .action(async (taskId: string, flags: LogFlags) => {
      await withStore(flags.store, async (box) => {
        const afterSeq = flags.after ?? 0
        if ((await box.store.task(taskId)) === undefined) {
          throw new Fault('TASK_UNKNOWN', `There is no task ${taskId} in this store.`, 'List them: signalbox tasks.')
        }
        if (flags.raw) {
          for (const event of await box.store.readSealed(taskId, { afterSeq })) printJson(raw(event))
          return
        }
        // All of it is read before any of it is told: a log that only a newer engine can read is refused whole.
        const past = await box.store.read(taskId)
        for (const event of past) if (event.seq > afterSeq) tellEvent(event, flags.json === true)
        if (!flags.follow) return
        const seq = Math.max(afterSeq, past.at(-1)?.seq ?? 0)
        for await (const event of box.events(taskId, { afterSeq: seq })) tellEvent(event, flags.json === true)
      })
      leave(exitCodes.well)
    })
}

function tellEvent(event: LoggedEvent, json: boolean): void {
  if (json) {
    const { taskId, seq, at, type, data, costMicros, hash, prevHash } = event
    printJson({ taskId, seq, at: new Date(at).toISOString(), type, data, costMicros, hash, prevHash })
    return
  }
  const line = say(event)
  if (line !== undefined) print(line)
}

function raw({ data, ...event }: SealedEvent): unknown {
  return { ...event, data: JSON.parse(data) as unknown }
}
