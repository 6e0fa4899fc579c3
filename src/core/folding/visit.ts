// What events do to a visit: where a task stands, and what it has seen, been refused and come to there.

import type { EventData } from '../event.ts'
import { keyOf, type Json } from '../json.ts'
import { clear, join, type Label } from '../label.ts'
import { pastOf, whole, type Task, type Visit } from '../task.ts'

/** A visit begins, and whatever belonged to the one before is over. */
export function enter(task: Task, entered: EventData['state.entered']): void {
  const { state, kind, visit, deadlineAtMs, checkpoint, agent } = entered
  task.state = state
  task.rollback = undefined
  leaveBehind(task)
  task.visits.set(state, visit)
  const actor = actorOf(state, kind, agent)
  if (isHandover(task, actor)) task.handovers += 1
  task.handedFrom = undefined
  const before = task.entries.get(state)
  const times = before?.progress === task.progress ? before.times + 1 : 1
  task.entries.set(state, { progress: task.progress, times })
  task.visit = {
    state,
    kind,
    actor,
    base: new Map(task.versions),
    plan: undefined,
    deadlineAtMs,
    prompt: undefined,
    label: clear,
    cut: whole,
    turns: [],
    refusals: 0,
    refusedTurn: 0,
    answers: new Map(),
    repeats: 0,
    ended: undefined,
    leaving: undefined,
  }
  if (checkpoint !== undefined) task.checkpoints = [...task.checkpoints, pastOf(task, checkpoint)]
}

/** Who acts in a state: its model, or the agent that is started there. */
export function actorOf(state: string, kind: Visit['kind'], agent?: string): string | undefined {
  return kind === 'model' ? state : agent === undefined ? undefined : `agent ${agent}`
}

/** Does somebody else act now than in the state that was left? */
export function isHandover({ handedFrom }: Task, actor: string | undefined): boolean {
  return actor !== undefined && handedFrom !== undefined && handedFrom !== actor
}

/** Leaves behind what only the old machine knows: the visit, what counts as no progress, the points to go back to. */
export function move(task: Task, { from, version, definition, state }: EventData['task.migrated']): void {
  task.moves = [...task.moves, { definition: from.definition, seq: task.seq }]
  task.version = version
  task.definition = definition
  task.state = state
  leaveBehind(task)
  task.entries.clear()
  task.progress += 1
  task.handedFrom = undefined
  task.checkpoints = []
}

/** Drops what belongs to a visit that is over. */
export function leaveBehind(task: Task): void {
  task.visit = undefined
  task.item = undefined
  task.wait = undefined
  task.door = undefined
  task.awaits = undefined
  task.delayed.clear()
  task.doubts.clear()
}

/** What is decided now is decided on the context as it is. */
export function look(task: Task): void {
  if (task.sharing && task.visit) task.visit.base = new Map(task.versions)
}

/** What is seen in a visit makes all that comes of it as untrusted, and as private. */
export function see({ visit }: Task, label: Label | undefined): void {
  if (visit && label) visit.label = join(visit.label, label)
}

/** Tells a visit what was refused in it, and counts an answer once. */
export function refuse(task: Task, refused: EventData['step.refused']): void {
  const { reason, turn, index, correction, rule, key, label } = refused
  const { visit } = task
  see(task, label)
  if (reason === 'stale-write' && visit) {
    // A person is asked anew, and shown all; a model is told of this key alone.
    const now = key === undefined ? task.versions : new Map(visit.base).set(key, task.versions.get(key) ?? 0)
    visit.base = new Map(now)
    visit.leaving = undefined
  }
  if (!visit || turn === undefined) return
  if (visit.refusedTurn !== turn) {
    visit.refusedTurn = turn
    visit.refusals += 1
  }
  const last = visit.turns.at(-1)
  if (!last) return
  if (index === undefined) last.note = correction
  else
    last.results.set(index, {
      value: rule === undefined ? correction : { refused: true, rule, correction },
      failed: true,
    })
}

/** No progress is the same call with the same answer again; any other answer is news, and the count begins anew. */
export function compare(visit: Visit, call: string, answer: Json): void {
  const before = visit.answers.get(call)
  const times = before && keyOf(before.answer) === keyOf(answer) ? before.times + 1 : 1
  visit.answers.set(call, { answer, times })
  visit.repeats = Math.max(visit.repeats, times)
}
