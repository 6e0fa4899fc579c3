// Which payloads an erasure takes: all of a task's, or those that one event carries, wherever they are stored, and every
// equal one of the same task. A value that is part of another (a name inside a prompt) is not found: who must be sure
// erases the whole task.

import { Fault } from '../core/fault.ts'
import { canonical, erasuresOf, payloadsOf, type Place } from './log.ts'
import type { LoggedEvent, SealedEvent } from './store.ts'

/**
 * The places of the payloads that are to be erased and are not yet; `seq` names one event. `sealed` and `events` are the
 * whole log, both ways. Throws PAYLOAD_UNKNOWN when event `seq` carries none.
 */
export function erasable(
  taskId: string,
  sealed: readonly SealedEvent[],
  events: readonly LoggedEvent[],
  seq?: number,
): readonly Place[] {
  const gone = erasuresOf(sealed)
  const stored = sealed.flatMap((event, index) =>
    [...payloadsOf(event)].map(([field, place]) => {
      const value = (events[index]!.data as unknown as Record<string, never>)[field]!
      return { seq: event.seq, place, key: `${place.seq} ${place.hash}`, body: canonical(value) }
    }),
  )
  const chosen = stored.filter((payload) => seq === undefined || payload.seq === seq)
  if (chosen.length === 0 && seq !== undefined) {
    throw new Fault(
      'PAYLOAD_UNKNOWN',
      `Event ${seq} of task ${taskId} carries no payload.`,
      `See which do: signalbox log ${taskId} --raw; their data holds "$payload".`,
    )
  }
  const bodies = new Set(chosen.filter(({ key }) => !gone.has(key)).map(({ body }) => body))
  const places = new Map(
    stored.filter(({ body, key }) => bodies.has(body) && !gone.has(key)).map(({ key, place }) => [key, place]),
  )
  return [...places.values()]
}
