// A task as one file that stands for itself: its events as they were hashed, and the payloads that they name, with their
// salts. How it is read again: see import.

import { Fault } from '../core/fault.ts'
import { unseal } from './log.ts'
import { inMemory } from './payloads.ts'
import type { LoggedEvent, WholeTask } from './store.ts'

/** The first word of a file, and of what may be in it. */
export const format = 'signalbox-export-1'

/** The file of a task. */
export function writeExport(task: WholeTask): string {
  return JSON.stringify({ format, ...task })
}

/** The events of a task that was proved whole, payloads in their places. Throws LOG_NEWER. */
export function eventsOf({ events, payloads }: WholeTask): readonly LoggedEvent[] {
  const fetch = inMemory(payloads)
  return events.map((event) => unseal(event, fetch))
}

/** What is said of a file that is not the export of a task. */
export function exportInvalid(problem: string): Fault {
  return new Fault(
    'EXPORT_INVALID',
    `This is not the export of a task: ${problem}.`,
    'Nothing was written. Take it out again: signalbox export TASK.',
  )
}
