// The log's form: how an event is hashed and chained, and how that is proved again later. An event is hashed as
// canonical JSON (RFC 8785) of { at, costMicros, data, prevHash, seq, taskId, type }; large values are payloads, kept
// apart with a salt, and the event carries the SHA-256 of both in their place. So a payload can be erased with its salt,
// the chain holds all the same, and the hash that is left says nothing about what it was.

import { hash as digest } from 'node:crypto'
import canonicalize from 'canonicalize'
import { payloadFields, type Event } from '../core/event.ts'
import { erased } from '../core/erasure.ts'
import { assert, Fault, messageOf } from '../core/fault.ts'
import { newerIn } from '../core/format.ts'
import { isObject, keysInOrder, type Json, type JsonObject } from '../core/json.ts'
import type { Finding, Head, LoggedEvent, SealedEvent } from './store.ts'

/** The head of a log without events. */
export const genesis: Head = { seq: 0, hash: '0'.repeat(64) }

/** Canonical JSON of a value. Throws TEXT_INVALID where there is none: half a character, or too deep to be read. */
export function canonical(value: Json): string {
  let text: string | undefined
  try {
    text = isCanonical(value) ? JSON.stringify(value) : canonicalize(value)
  } catch (thrown) {
    throw new Fault(
      'TEXT_INVALID',
      `This cannot be written down as JSON: ${messageOf(thrown)}.`,
      'Leave out half characters, and more than a few thousand levels; nothing was written.',
      { cause: thrown },
    )
  }
  assert(text !== undefined, 'only JSON is stored')
  return text
}

/**
 * Is JSON.stringify enough, because nothing is to be put in order, left out or refused? Of what we write nearly all is like
 * that, and the library takes several times as much memory.
 */
function isCanonical(value: Json): boolean {
  if (typeof value === 'string') return value.isWellFormed()
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || value === null) return typeof value === 'boolean' || value === null
  if (Array.isArray(value)) return value.every(isCanonical)
  const keys = Object.keys(value)
  for (let index = 0; index < keys.length; index += 1) {
    const key = keys[index]!
    if ((index > 0 && keys[index - 1]! >= key) || !key.isWellFormed()) return false
    if (!isCanonical((value as JsonObject)[key]!)) return false
  }
  return true
}

/** SHA-256 of a text, in hexadecimal. */
export function sha256(text: string): string {
  return digest('sha256', text, 'hex')
}

/** The hash of a payload: of its salt and its canonical JSON, one behind the other. */
export function commitment(salt: string, body: string): string {
  return sha256(salt + body)
}

/** Where a payload is: with which event it was stored, and its hash. */
export interface Place {
  readonly seq: number
  readonly hash: string
}

/** A payload as it is stored. Both are null once it is erased. */
export interface Payload {
  readonly salt: string | null
  readonly body: string | null
}

/** Finds a payload, or does not. */
export type Fetch = (place: Place) => Payload | undefined

/** The longest body that is remembered whole. */
const contentMax = 128

/** A payload that is to be stored. `content` is its body, or the hash of that alone: for finding it again, and never stored. */
export interface NewPayload extends Place {
  readonly salt: string
  readonly body: string
  readonly content: string
}

/** Events in their final form, and the payloads that are to be stored with them. */
export interface Sealed {
  readonly events: readonly SealedEvent[]
  readonly payloads: readonly NewPayload[]
  readonly head: Head
}

/**
 * Puts events behind a head: takes their payloads out and hashes each event onto the one before. A payload whose content
 * is `known` to be stored with an earlier event is not stored again; the reference says with which.
 */
export function seal(
  head: Head,
  events: readonly Event[],
  known: (content: string) => Place | undefined,
  salt: () => string,
): Sealed {
  const payloads: NewPayload[] = []
  const sealed: SealedEvent[] = []
  let { seq, hash } = head
  for (const event of events) {
    seq += 1
    assert(event.seq === seq, `event ${event.seq} of task ${event.taskId} goes behind event ${seq - 1}`)
    const data = canonical(takeOut(event, payloads, known, salt))
    const { taskId, at, type, costMicros } = event
    const row = { taskId, seq, at, type, data, costMicros, prevHash: hash }
    hash = hashOf(row)
    sealed.push({ ...row, hash })
  }
  return { events: sealed, payloads, head: { seq, hash } }
}

function takeOut(
  event: Event,
  payloads: NewPayload[],
  known: (content: string) => Place | undefined,
  salt: () => string,
): JsonObject {
  const fields: readonly string[] | undefined = payloadFields[event.type]
  const data = event.data as unknown as JsonObject
  const slim: Record<string, Json> = {}
  for (const field of keysInOrder(data)) if (data[field] !== undefined) slim[field] = data[field]
  if (!fields) return slim
  for (const field of fields) {
    const value = slim[field]
    if (value === undefined) continue
    const body = canonical(value)
    // Short ones stand for themselves: most are, and a hash would cost more than it saves.
    const content = body.length <= contentMax ? body : sha256(body)
    let place = known(content) ?? payloads.find((payload) => payload.content === content)
    if (!place) {
      const own = salt()
      const stored = { seq: event.seq, hash: commitment(own, body), salt: own, body, content }
      payloads.push(stored)
      place = stored
    }
    const { seq, hash } = place
    slim[field] = seq === event.seq ? { $payload: hash } : { $payload: hash, seq }
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

/** An event's data as it was hashed. Throws a SyntaxError where it is no JSON object. */
export function dataOf({ data }: Pick<SealedEvent, 'data'>): JsonObject {
  const value: unknown = JSON.parse(data)
  if (isObject(value)) return value as JsonObject
  throw new SyntaxError('the data of an event is a JSON object')
}

/** A type may be anything where somebody else wrote it: also the name of what every object has. */
function payloadFieldsOf(type: string): readonly string[] {
  return Object.hasOwn(payloadFields, type) ? (payloadFields[type as Event['type']] ?? []) : []
}

/** Where the payloads are that an event carries, by field. */
export function payloadsOf(event: SealedEvent): ReadonlyMap<string, Place> {
  const fields = payloadFieldsOf(event.type)
  const found = new Map<string, Place>()
  if (fields.length === 0) return found
  const data = dataOf(event)
  for (const field of fields) {
    const place = placeOf(data[field], event.seq)
    if (place) found.set(field, place)
  }
  return found
}

/**
 * Puts the payloads back in their places; where one was erased, what says so. Every event that is folded or shown comes
 * through here. Throws LOG_NEWER when only a newer engine knows what it says.
 */
export function unseal(event: SealedEvent, payload: Fetch): LoggedEvent {
  const data: Record<string, Json> = dataOf(event)
  const newer = newerIn(event.type, data)
  if (newer !== undefined) {
    const { taskId, seq, type } = event
    throw new Fault(
      'LOG_NEWER',
      `Event ${seq} of task ${taskId} ${newer}, which this Signalbox cannot read: nothing of the task was read or written.`,
      'Use a newer Signalbox; the events as they were hashed: signalbox log --raw.',
      { data: { taskId, seq, type } },
    )
  }
  for (const field of payloadFieldsOf(event.type)) {
    const place = placeOf(data[field], event.seq)
    const stored = place && payload(place)
    if (stored) data[field] = read(stored)
  }
  return { ...event, data } as unknown as LoggedEvent
}

/** A stored payload as a value. */
export function read({ body }: Pick<Payload, 'body'>): Json {
  return body === null ? erased : (JSON.parse(body) as Json)
}

/** Reads a reference. Without a sequence number the payload was stored with the event itself. */
function placeOf(value: Json | undefined, seq: number): Place | undefined {
  if (typeof value !== 'object' || value === null || !('$payload' in value)) return undefined
  return { hash: String(value['$payload']), seq: typeof value['seq'] === 'number' ? value['seq'] : seq }
}

/** What the proof of one task looked at and found. */
export interface Proof {
  readonly events: number
  /** Payloads that are gone, as the log says. */
  readonly erased: number
  readonly finding: Finding | undefined
}

/**
 * Proves one task's events: dense from 1, each hashed onto the one before, ending at the head that the task's row
 * remembers; every payload as its event says, or erased as a later one says. Names the first event that is not as it was
 * written.
 */
export function verifyChain(
  taskId: string,
  events: readonly SealedEvent[],
  head: Head | undefined,
  payload: Fetch,
): Proof {
  const finding = findProblem(taskId, events, head, payload)
  return { events: events.length, erased: finding ? 0 : erasuresOf(events).size, finding }
}

function findProblem(
  taskId: string,
  events: readonly SealedEvent[],
  head: Head | undefined,
  payload: Fetch,
): Finding | undefined {
  const found = (kind: Finding['kind'], seq: number, problem: string): Finding => ({ taskId, seq, kind, problem })
  const places = new Map(events.map((event) => [event.hash, event.seq]))
  const erasures = erasuresOf(events)
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
    const problem = payloadProblem(event, payload, erasures)
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

/** The payloads that a log says were erased, with the number of the event that says so. */
export function erasuresOf(events: readonly SealedEvent[]): ReadonlyMap<string, number> {
  const found = new Map<string, number>()
  for (const event of events) {
    if (event.type === 'payload.erased') found.set(keyOf(dataOf(event) as unknown as Place), event.seq)
  }
  return found
}

function keyOf({ seq, hash }: Place): string {
  return `${seq} ${hash}`
}

function payloadProblem(event: SealedEvent, payload: Fetch, erasures: ReadonlyMap<string, number>): string | undefined {
  for (const [field, place] of payloadsOf(event)) {
    const what = `the ${field} of event ${event.seq} (${event.type})`
    const { salt, body } = payload(place) ?? { salt: null, body: null }
    const erasure = erasures.get(keyOf(place))
    if (erasure !== undefined) {
      if (salt === null && body === null) continue
      return `${what} is there, though event ${erasure} erased it`
    }
    if (salt === null || body === null) return `${what} is missing, and no event says that it was erased`
    if (commitment(salt, body) !== place.hash) return `${what} was edited`
  }
  return undefined
}
