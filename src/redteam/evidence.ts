// What is left of a play, for verdicts to be made of: the logs as they were hashed, what the outside saw, what models were
// asked. Nothing here judges.

import type { Promised } from './caller.ts'
import type { Event } from '../core/event.ts'
import type { Json } from '../core/json.ts'
import type { Machine } from '../core/machine.ts'
import type { Message } from '../core/model.ts'
import type { WritePoint } from '../runtime.ts'
import type { InboxRow, LoggedEvent, SealedEvent, TaskRow, Verification } from '../store/store.ts'

/** An order that a stranger gives, in words, and the call that a gullible model makes of it. */
export interface Injection {
  readonly text: string
  readonly tool: string
  readonly arguments: Json
  /** A tool whose answer it is put into; undefined: the input that is declared untrusted. */
  readonly source: string | undefined
}

/** Something that was done outside. */
export interface Act {
  readonly taskId: string
  readonly agent: string
  readonly state: string
  readonly tool: string
  readonly arguments: Json
  readonly key: string
  readonly attempt: number
  readonly atMs: number
  readonly kind: 'act' | 'undo'
  /** The outside knew the key, and did nothing more. */
  readonly again: boolean
}

/** A request that a model was sent. */
export interface Asked {
  readonly taskId: string
  readonly state: string
  readonly model: string
  readonly atMs: number
  /** Whether it is certain which task it was; it is as a rule. */
  readonly isKnown: boolean
  readonly messages: readonly Message[]
}

/** A task that is given to somebody, and until when somebody else had it before, as far as the outside could know. */
export interface Grant {
  readonly taskId: string
  readonly lease: string
  readonly atMs: number
  readonly before?: { readonly lease: string; readonly untilMs: number }
}

/** An invariant that did not hold, and where. */
export interface Violation {
  readonly invariant: string
  readonly problem: string
}

/** A write by somebody who holds a task. `held`: the lease under which it had been given to somebody last. */
export interface Holding {
  readonly taskId: string
  readonly seq: number
  readonly lease: string
  readonly held: string
}

/** A task of the world, as its store has it at the end. */
export interface Told {
  readonly taskId: string
  readonly machine: Machine
  readonly events: readonly LoggedEvent[]
  readonly sealed: readonly SealedEvent[]
  readonly row: TaskRow
}

/** Everything that verdicts are made of. The root task comes first. */
export interface Evidence {
  readonly tasks: readonly Told[]
  /** Every event, in the order in which it was written, as far as the world saw it. */
  readonly written: readonly Event[]
  /** What was done outside. */
  readonly acts: readonly Act[]
  readonly asked: readonly Asked[]
  readonly holdings: readonly Holding[]
  readonly grants: readonly Grant[]
  /** What people were told is done. */
  readonly told: readonly Promised[]
  /** What did not hold in the store after a commit, where somebody looked. */
  readonly watched: readonly Violation[]
  readonly verification: Verification
  /** What waits for a human at the end. */
  readonly inbox: readonly InboxRow[]
  /** It neither ended nor waits for anybody. */
  readonly stalled: boolean
  /** How often a fault struck, and how often each kind did. */
  readonly struck: number
  readonly struckBy: ReadonlyMap<string, number>
  /** What time it is at the end, and how much has passed. */
  readonly endedAtMs: number
  readonly elapsedMs: number
  /** Faults of the outside may hold time up by this much: crashes, leases, stores that are away. */
  readonly slackMs: number
  /** Writes in each state (`agent.state`) by their point, and whether somebody was asked there. */
  readonly writes: ReadonlyMap<string, ReadonlyMap<WritePoint, number>>
  readonly peopleAsked: ReadonlySet<string>
  readonly injection?: Injection
}

/** The root of the tree of each task. */
export function rootsOf(tasks: readonly Told[]): ReadonlyMap<string, string> {
  return new Map(tasks.map(({ taskId, row }) => [taskId, row.rootId ?? taskId]))
}
