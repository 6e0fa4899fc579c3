// A draft is a task and the events that were decided for it but are not in the log yet. Each event is folded in as it
// is decided, so the next decision sees it. The caller appends the events and goes on, or throws the whole draft away.

import type { Agent } from './agent.ts'
import type { Event, EventData, EventType, Fact } from './event.ts'
import { openGate, type Gate } from './breaker.ts'
import { defaults } from './limits.ts'
import { inOrder, type Json } from './json.ts'
import type { Rule } from './policy.ts'
import type { Pricing } from './price.ts'
import { boundsOf, type Bounds } from './quota.ts'
import { plainRedactor, type Redactor } from './redact.ts'
import { evolve } from './fold.ts'
import type { Task } from './task.ts'
import type { Tree } from './tree.ts'

/** What is known outside of the task: values and pure functions, so that the core asks nobody. */
export interface Terms {
  readonly price: Pricing
  /** The tokens of a model's window, in and out. */
  readonly window: (model: string) => number
  /** The bounds of a model. */
  readonly bounds: (model: string) => Bounds
  /** The gate of a model or tool, as the store had it last. */
  readonly gate: (key: string) => Gate
  /** The orchestrator's own rules, and what tells one set of rules from another. */
  readonly policy: { readonly rules: readonly Rule[]; readonly version: string }
  /** A text's hash, for what people approve. */
  readonly hash: (text: string) => string
  /** Until when there is no place for a step, as its store said; undefined: it did not say. */
  readonly fullUntilMs: (step: number) => number | undefined
  /** The hash of an agent's definition. */
  readonly definition: (agent: Agent) => string
  /** The tree that the task is in, as the store had it last; undefined for a task alone. */
  readonly tree: Tree | undefined
  /** Takes secrets out of everything that is decided, before it is folded in. */
  readonly redact: Redactor
}

/** Terms under which nothing is known: no prices, no bounds, every gate open to all. */
export const noTerms: Terms = {
  price: () => null,
  window: () => defaults.windowTokens,
  bounds: () => boundsOf({}),
  gate: () => openGate,
  policy: { rules: [], version: '' },
  hash: (text) => text,
  fullUntilMs: () => undefined,
  definition: ({ name }) => name,
  tree: undefined,
  redact: plainRedactor,
}

/** What the commit of a draft depends on besides the log: places that must be free when it is written. */
export interface Take {
  readonly key: string
  readonly step: number
  readonly concurrency: number | null
  readonly rate: { readonly calls: number; readonly periodMs: number } | null
}

/** A task on its way forward. */
export interface Draft {
  readonly task: Task
  /** The time of every event decided in this draft, in ms since 1970. */
  readonly nowMs: number
  readonly terms: Terms
  readonly events: Event[]
  /** Gates as this draft has changed them. */
  readonly gates: Map<string, Gate>
  /** Keys of gates that must still let everyone through when this is committed. */
  readonly admits: Set<string>
  readonly takes: Take[]
  /** Child tasks that begin with the same commit. */
  readonly children: Draft[]
  /** Folds in an event that was decided, and keeps it. */
  readonly keep: Keeper
}

/** What becomes of an event that was decided. Where a task is told again, its log has a say in that. */
export type Keeper = (draft: Draft, event: Event) => void

const keepAsDecided: Keeper = ({ task, events }, event) => {
  evolve(task, event)
  events.push(event)
}

/** Opens a draft on a task. The task belongs to the draft from here on. */
export function draft(task: Task, nowMs: number, terms: Terms = noTerms, keep = keepAsDecided): Draft {
  return { task, nowMs, terms, events: [], gates: new Map(), admits: new Set(), takes: [], children: [], keep }
}

/** Decides one event, as a log will have it and without the secrets that may be in it. `costMicros` is what it cost, in millionths of a dollar; null when a price is unknown. */
export function emit<Type extends EventType>(
  draft: Draft,
  type: Type,
  data: EventData[Type],
  costMicros: number | null = 0,
): void {
  const { task } = draft
  const fact = { type, data: clean(data, task.id, draft.terms.redact), at: draft.nowMs, costMicros } as Fact
  draft.keep(draft, { ...fact, taskId: task.id, seq: task.seq + 1 })
}

// Made of hashes and of the task's id, never of what somebody said: the task hangs on them.
const ours: ReadonlySet<string> = new Set(['definition', 'idempotencyKey', 'hash', 'binding'])

function clean<Data extends object>(data: Data, taskId: string, redact: Redactor): Data {
  let changed: Record<string, unknown> | undefined
  for (const field of Object.keys(data)) {
    const value = (data as Record<string, Json | undefined>)[field]
    if (value === undefined || ours.has(field) || (field === 'item' && isItemOf(value, taskId))) continue
    const kept = inOrder(redact.value(value))
    if (kept === value) continue
    changed ??= { ...(data as Record<string, unknown>) }
    changed[field] = kept
  }
  return (changed as Data | undefined) ?? data
}

/** An item's id may also be what somebody made up. */
function isItemOf(item: Json, taskId: string): boolean {
  return typeof item === 'string' && item.startsWith(`${taskId}.`) && /^\d{1,15}$/.test(item.slice(taskId.length + 1))
}
