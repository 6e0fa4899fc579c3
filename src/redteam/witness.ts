// Sees everything that happens in a world, and knows from that alone where every task stands: what was written, what was done
// outside, what models were asked, who was given a task to work on. It changes nothing and judges nothing.

import type { Event } from '../core/event.ts'
import { dueAtMs } from '../core/task.ts'
import { textOf, type Message } from '../core/model.ts'
import type { WritePoint } from '../runtime.ts'
import type { Claim, ClaimRequest, Commit, Renewal, Renewed } from '../store/store.ts'
import type { Promised } from './caller.ts'
import type { Act, Asked, Grant, Holding, Violation } from './evidence.ts'

/** Where a task stands. */
export interface Standing {
  readonly agent: string
  /** The root of its tree. */
  readonly root: string
  state: string
  /** The last event that was written of it. */
  seq: number
  /** How many states it has entered. */
  entered: number
  readonly parent: { readonly task: string; readonly state: string } | undefined
  /** Calls of each tool in this visit, and states that were entered so far. */
  calls: Map<string, number>
  readonly seen: Set<string>
}

/** A model's answer that is waited for. */
export interface Awaited {
  readonly taskId: string
  readonly model: string
  readonly state: string
  readonly deadlineAtMs: number
}

/** What was seen so far. */
export class Witness {
  readonly written: Event[] = []
  readonly acts: Act[] = []
  readonly asked: Asked[] = []
  readonly holdings: Holding[] = []
  readonly watched: Violation[] = []
  readonly writes = new Map<string, Map<WritePoint, number>>()
  readonly peopleAsked = new Set<string>()
  readonly #standing = new Map<string, Standing>()
  readonly #prompts = new Map<string, string>()
  readonly grants: Grant[] = []
  readonly told: Promised[] = []
  readonly #leases = new Map<string, { readonly lease: string; readonly untilMs: number }>()
  #awaited: Awaited[] = []
  /** A model has read the order of a stranger. */
  isOrderRead = false
  /** Something was written since it was last looked. */
  dirty = true
  /** When something was written last, since the world began. */
  writtenAtMs = 0

  /** Where a task stands; undefined where it is not known yet. */
  standing(taskId: string): Standing | undefined {
    return this.#standing.get(taskId)
  }

  /** The states that tasks of an agent have been in. */
  seenBy(agent: string): ReadonlySet<string> {
    const all = [...this.#standing.values()].filter((task) => task.agent === agent)
    return new Set(all.flatMap(({ seen }) => [...seen]))
  }

  /** Something is about to be written in a state. */
  countWrite(agent: string, state: string, point: WritePoint): void {
    const place = `${agent}.${state}`
    const counts = this.writes.get(place) ?? new Map<WritePoint, number>()
    this.writes.set(place, counts.set(point, (counts.get(point) ?? 0) + 1))
  }

  /** A worker was given tasks, until then. */
  noteClaims(claims: readonly Claim[], { leaseMs, nowMs }: ClaimRequest): void {
    for (const { taskId, lease } of claims) {
      const before = this.#leases.get(taskId)
      this.grants.push({ taskId, lease, atMs: nowMs, ...(before ? { before } : {}) })
      this.#leases.set(taskId, { lease, untilMs: nowMs + leaseMs })
    }
  }

  /** Leases were prolonged. */
  noteRenewals(asked: readonly Renewal[], found: readonly Renewed[]): void {
    for (const { taskId, held, untilMs } of found) {
      const lease = asked.find((one) => one.taskId === taskId)?.lease
      const known = this.#leases.get(taskId)
      // What was given back meanwhile stays so.
      if (held && known && known.lease === lease && known.untilMs > 0) this.#leases.set(taskId, { ...known, untilMs })
    }
  }

  /** Leases are given back. */
  noteReleases(leases: readonly Renewal[]): void {
    for (const { taskId, lease } of leases) this.#free(taskId, lease)
  }

  #free(taskId: string, lease: string): void {
    if (this.leaseOf(taskId) === lease) this.#leases.set(taskId, { lease, untilMs: 0 })
  }

  /** The lease under which a task was given to somebody last. */
  leaseOf(taskId: string): string | undefined {
    return this.#leases.get(taskId)?.lease
  }

  /** Something is about to be written: who will not go on has the task no more, from some moment from now on. */
  noteBegin({ task, lease, keep }: Commit): void {
    if (lease !== undefined && !(keep && dueAtMs(task) !== null)) this.#free(task.id, lease)
  }

  /** Something was written; `held` is the lease that was the last one when it was begun. */
  note(given: Commit, held: string | undefined, elapsedMs: number): void {
    this.dirty = true
    this.writtenAtMs = elapsedMs
    const { task, lease } = given
    if (lease !== undefined && held !== undefined)
      this.holdings.push({ taskId: task.id, seq: given.head.seq, lease, held })
    for (const { task: its, events } of [given, ...(given.children ?? [])]) {
      this.written.push(...events)
      for (const event of events) this.#noteEvent(its.id, event)
    }
  }

  #noteEvent(taskId: string, event: Event): void {
    const known = this.#standing.get(taskId)
    if (event.type === 'task.started') {
      const { agent, parent } = event.data
      const above = parent && this.#standing.get(parent.task)
      this.#standing.set(taskId, {
        agent,
        root: above?.root ?? taskId,
        state: '',
        seq: event.seq,
        entered: 0,
        parent: parent && { task: parent.task, state: above?.state ?? '' },
        calls: new Map(),
        seen: new Set(),
      })
    }
    if (!known) return
    known.seq = event.seq
    if (event.type === 'state.entered') {
      known.state = event.data.state
      known.entered += 1
      known.calls = new Map()
      known.seen.add(event.data.state)
    }
    if (event.type === 'tool.called') count(known, event.data.tool)
    if (event.type === 'step.refused') count(known, event.data.asked)
    if (event.type === 'child.started' && event.data.tool !== undefined) known.calls.set(event.data.tool, 1)
    if (event.type === 'human.asked') this.peopleAsked.add(`${known.agent}.${event.data.state}`)
    if (event.type !== 'model.called' && event.type !== 'step.queued') return
    // What is to be asked is told once: also where it has to wait at the gate first.
    const { prompt } = event.data
    if (prompt) this.#prompts.set(taskId, `${prompt.system}\n${prompt.user}`)
    if (event.type !== 'model.called') return
    const { model, deadlineAtMs } = event.data
    // A task asks one model at a time; what it asked before is waited for no longer.
    this.#awaited = this.#awaited.filter((it) => it.taskId !== taskId)
    this.#awaited.push({ taskId, model, state: known.state, deadlineAtMs })
  }

  /** Which task asks a model: a request is known by its prompt. */
  claimAwaited(model: string, messages: readonly Message[]): (Awaited & { readonly isKnown: boolean }) | undefined {
    const text = `${textOf(messages, 'system')}\n${textOf(messages, 'user')}`
    const exact = this.#awaited.findIndex((it) => it.model === model && this.#prompts.get(it.taskId) === text)
    const index = exact >= 0 ? exact : this.#awaited.findIndex((it) => it.model === model)
    const [found] = index < 0 ? [] : this.#awaited.splice(index, 1)
    return found && { ...found, isKnown: exact >= 0 }
  }
}

function count(known: Standing, asked: string): void {
  known.calls.set(asked, (known.calls.get(asked) ?? 0) + 1)
}
