// The log's form: how an event is hashed and chained, and how that is proved again later. An event is hashed as
// canonical JSON (RFC 8785) of { at, costMicros, data, prevHash, seq, taskId, type }; large values are payloads, kept
// apart under the SHA-256 of their canonical JSON, and the event carries that hash in their place.

import { hash as digest } from 'node:crypto'
import canonicalize from 'canonicalize'
import { payloadFields, type Event } from '../core/event.ts'
import { assert } from '../core/fault.ts'
import type { Json, JsonObject } from '../core/json.ts'
import type { Finding, Head, LoggedEvent, SealedEvent } from './store.ts'

/** The head of a log without events. */
export const genesis: Head = { seq: 0, hash: '0'.repeat(64) }

/** Canonical JSON of a value. */
export function canonical(value: Json): string {
  const text = canonicalize(value)
  assert(text !== undefined, 'only JSON is stored')
  return text
}

/** SHA-256 of a text, in hexadecimal. */
export function sha256(text: string): string {
  return digest('sha256', text, 'hex')
}

/** Where a payload is: with which event it was stored, and its hash. */
export interface Place {
  readonly seq: number
  readonly hash: string
}

/** Finds a payload, or does not. */
export type Fetch = (place: Place) => string | undefined

/** Events in their final form, and the payloads that are to be stored with them. */
export interface Sealed {
  readonly events: readonly SealedEvent[]
  readonly payloads: readonly (Place & { readonly body: string })[]
  readonly head: Head
}

/**
 * Puts events behind a head: takes their payloads out and hashes each event onto the one before. A payload whose hash
 * is `known` to be stored with an earlier event is not stored again; the reference says with which.
 */
export function seal(head: Head, events: readonly Event[], known: (hash: string) => number | undefined): Sealed {
  const payloads: (Place & { readonly body: string })[] = []
  const sealed: SealedEvent[] = []
  let { seq, hash } = head
  for (const event of events) {
    seq += 1
    assert(event.seq === seq, `event ${event.seq} of task ${event.taskId} goes behind event ${seq - 1}`)
    const data = canonical(takeOut(event, payloads, known))
    const { taskId, at, type, costMicros } = event
    const row = { taskId, seq, at, type, data, costMicros, prevHash: hash }
    hash = hashOf(row)
    sealed.push({ ...row, hash })
  }
  return { events: sealed, payloads, head: { seq, hash } }
}

function takeOut(
  event: Event,
  payloads: (Place & { readonly body: string })[],
  known: (hash: string) => number | undefined,
): JsonObject {
  const fields: readonly string[] | undefined = payloadFields[event.type]
  const data = event.data as unknown as JsonObject
  if (!fields) return data
  const slim: Record<string, Json> = { ...data }
  for (const field of fields) {
    const value = slim[field]
    if (value === undefined) continue
    const body = canonical(value)
    const hash = sha256(body)
    const seq = known(hash) ?? payloads.find((payload) => payload.hash === hash)?.seq
    if (seq === undefined) payloads.push({ seq: event.seq, hash, body })
    slim[field] = seq === undefined || seq === event.seq ? { $payload: hash } : { $payload: hash, seq }
  }
  return slim
}

/** The hash of an event. Its keys are written in canonical order, around data that is canonical already. */
export function hashOf(event: Omit<SealedEvent, 'hash'>): string {
  const { at, costMicros, data, prevHash, seq, taskId, type } = event
  return sha256(
    `{"at":${at},"costMicros":${costMicros},"data":${data},"prevHash":"${prevHash}","seq":${seq},"taskId":${JSON.stringify(taskId)},"type":"${type}"}`,
  )
}

/** Where the payloads are that an event carries, by field. */
export function payloadsOf(event: SealedEvent): ReadonlyMap<string, Place> {
  const fields: readonly string[] = payloadFields[event.type as Event['type']] ?? []
  const found = new Map<string, Place>()
  if (fields.length === 0) return found
  const data = JSON.parse(event.data) as JsonObject
  for (const field of fields) {
    const place = placeOf(data[field], event.seq)
    if (place) found.set(field, place)
  }
  return found
}

/** Puts the payloads back in their places. */
export function unseal(event: SealedEvent, payload: Fetch): LoggedEvent {
  const data = JSON.parse(event.data) as Record<string, Json>
  for (const field of (payloadFields[event.type as Event['type']] ?? []) as readonly string[]) {
    const place = placeOf(data[field], event.seq)
    const body = place && payload(place)
    if (body !== undefined) data[field] = JSON.parse(body) as Json
  }
  return { ...event, data } as unknown as LoggedEvent
}

/** Reads a reference. Without a sequence number the payload was stored with the event itself. */
function placeOf(value: Json | undefined, seq: number): Place | undefined {
  if (typeof value !== 'object' || value === null || !('$payload' in value)) return undefined
  return { hash: String(value['$payload']), seq: typeof value['seq'] === 'number' ? value['seq'] : seq }
}

/**
 * Proves one task's events: dense from 1, each hashed onto the one before, ending at the head that the task's row
 * remembers. Names the first event that is not as it was written, or undefined when all are.
 */
export function verifyChain(
  taskId: string,
  events: readonly SealedEvent[],
  head: Head | undefined,
  payload: Fetch,
): Finding | undefined {
  const found = (kind: Finding['kind'], seq: number, problem: string): Finding => ({ taskId, seq, kind, problem })
  const places = new Map(events.map((event) => [event.hash, event.seq]))
  let previous = genesis
  for (const event of events) {
    const { seq, prevHash, hash } = event
    if (seq !== previous.seq + 1) return found('removed', previous.seq + 1, `event ${previous.seq + 1} is missing`)
    if (prevHash !== previous.hash) {
      const place = places.get(prevHash)
      if (place === undefined) return found('inserted', seq, `event ${seq} was put in: it follows no event of this log`)
      return found(
        'moved',
        seq,
        `event ${seq} does not follow event ${seq - 1} but event ${place}: something was put in or moved`,
      )
    }
    if (hashOf(event) !== hash) {
      const successor = events.find((other) => other.prevHash === hash)
      const moved = successor !== undefined && successor.seq !== seq + 1
      return found(moved ? 'moved' : 'edited', seq, `event ${seq} (${event.type}) is not what was written there`)
    }
    const problem = payloadProblem(event, payload)
    if (problem) return found('payload', seq, problem)
    previous = { seq, hash }
  }
  if (head === undefined) return found('inserted', 1, 'the log holds events of a task that was never recorded')
  if (previous.seq < head.seq)
    return found('cut', previous.seq + 1, `events ${previous.seq + 1} to ${head.seq} are missing at the end`)
  if (previous.seq > head.seq) return found('inserted', head.seq + 1, `event ${head.seq + 1} was put in behind the end`)
  return previous.hash === head.hash
    ? undefined
    : found('edited', previous.seq, 'the last event is not the one that was recorded')
}

function payloadProblem(event: SealedEvent, payload: Fetch): string | undefined {
  for (const [field, place] of payloadsOf(event)) {
    const body = payload(place)
    if (body === undefined) return `the ${field} of event ${event.seq} (${event.type}) is missing`
    if (sha256(body) !== place.hash) return `the ${field} of event ${event.seq} (${event.type}) was edited`
  }
  return undefined
}
