// Effects are what the steps of a task did outside: more than reading. The fold keeps them as they become known, so that
// a rollback can say what was done since, take back what can be taken back, once, and ask about the rest. Nothing is
// forgotten because it looks like a failure: a call whose answer was lost may have acted, and is kept as unknown.

import type { EventData } from './event.ts'
import type { Json } from './json.ts'
import type { FailureClass } from './model.ts'

/** What one step did outside, or may have done. */
export interface Effect {
  readonly step: number
  readonly tool: string
  readonly arguments: Json
  readonly idempotencyKey: string
  readonly effect: NonNullable<EventData['tool.called']['effect']>
  /** What the tool answered; undefined: nobody knows whether it was done. */
  readonly result: Json | undefined
  /** The tool can take it back. */
  readonly undoable: boolean
  /** The step that took it back last, or tried to. */
  readonly undoStep: number | undefined
  /** Why that failed for good. */
  readonly failure: { readonly class: FailureClass; readonly message: string } | undefined
  /** The event that says it is taken back. */
  readonly undoneSeq: number | undefined
  /** A human said that it stands. */
  readonly kept: boolean
}

/** The effects of a task by their step, in the order in which they became known. */
export type Effects = Map<number, Effect>

/** A call that may have acted. */
type Call = Pick<EventData['tool.called'], 'step' | 'tool' | 'arguments' | 'idempotencyKey' | 'effect'> & {
  readonly undoable?: boolean
}

/** It was done, and this came of it; without a result: it may have been done. */
export function note(effects: Effects, call: Call, result?: Json): void {
  const { step, tool, effect, undoable = false, idempotencyKey } = call
  if (effect === undefined) return
  const before = effects.get(step)
  if (before && (result === undefined || before.result !== undefined)) return
  // What was unknown until now became known last: it is taken back first.
  effects.delete(step)
  effects.set(step, {
    step,
    tool,
    arguments: call.arguments,
    idempotencyKey,
    effect,
    result,
    undoable,
    undoStep: undefined,
    failure: undefined,
    undoneSeq: undefined,
    kept: before?.kept ?? false,
  })
}

/** A result that came late says that a call was done after all, or that it is taken back. */
export function noteLate(effects: Effects, step: number, result: Json, seq: number): void {
  const known = effects.get(step)
  if (known) note(effects, known, result)
  for (const effect of effects.values()) if (effect.undoStep === step) change(effects, effect.step, { undoneSeq: seq })
}

/** Changes what is known of an effect, where it is one. */
export function change(effects: Effects, step: number, changes: Partial<Effect>): void {
  const effect = effects.get(step)
  if (effect) effects.set(step, { ...effect, ...changes })
}

/** Classes of failures after which nobody knows whether a tool has acted. */
const unsure: ReadonlySet<FailureClass> = new Set<FailureClass>(['timeout', 'abort', 'lost', 'malformed', 'transport'])

/** After a failure of this class, may the tool have acted all the same? */
export function mayHaveActed(failure: FailureClass): boolean {
  return unsure.has(failure)
}

/** The effects of steps after `lastStep` that stand and that no human let stand, the latest first. */
export function standing(effects: Effects, lastStep: number): readonly Effect[] {
  const since = [...effects.values()].filter(({ step, undoneSeq, kept }) => {
    return step > lastStep && undoneSeq === undefined && !kept
  })
  return since.reverse()
}
