// The payloads that events carry, found in a store: all that are needed in one question.

import { payloadsOf, unseal, type Fetch, type Payload } from './log.ts'
import type { LoggedEvent, SealedEvent, StoredPayload } from './store.ts'
import { all, type Tx } from './tx.ts'

/** Events of one task as they are read, payloads in their places. Throws LOG_NEWER. */
export function* openAll(taskId: string, sealed: readonly SealedEvent[]): Tx<LoggedEvent[]> {
  const fetch = yield* fetchFor(taskId, sealed)
  return sealed.map((event) => unseal(event, fetch))
}

/** What finds the payloads of events. Those of a log from its beginning are all that there are up to its end. */
export function* fetchFor(taskId: string, sealed: readonly SealedEvent[]): Tx<Fetch> {
  if (sealed[0]?.seq === 1 && sealed.length > 1) return inMemory(yield* all<StoredPayload>('payloads', taskId))
  const seqs = new Set(sealed.flatMap((event) => [...payloadsOf(event).values()].map(({ seq }) => seq)))
  if (seqs.size === 0) return () => undefined
  return inMemory(yield* all<StoredPayload>('payloadsAt', taskId, JSON.stringify([...seqs])))
}

/** Finds payloads among these. */
export function inMemory(payloads: readonly StoredPayload[]): Fetch {
  const found = new Map<string, Payload>(payloads.map((payload) => [`${payload.seq} ${payload.hash}`, payload]))
  return ({ seq, hash }) => found.get(`${seq} ${hash}`)
}
