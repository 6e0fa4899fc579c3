// The functions that a machine's author wrote, called where they may throw: a prompt, an argument mapper, a question.
// What they throw is a fact, and what they answer with is held to what it has to be.

import type { Leaving } from './agent.ts'
import { emit, type Draft } from './draft.ts'
import type { EventData } from './event.ts'
import { messageOf } from './fault.ts'
import { toJson, type Json, type JsonObject } from './json.ts'
import type { Leave } from './transition.ts'

/** Calls a function of the machine's author. When it throws, that is a fact, and the state leaves by `$error`. */
export function ask<T>(work: Draft, what: EventData['function.failed']['what'], call: () => T): T | undefined {
  try {
    return call()
  } catch (thrown) {
    emit(work, 'function.failed', { what, class: 'error', message: messageOf(thrown).toWellFormed() })
    return undefined
  }
}

/** A text, or what a function of the context makes of one. Throws when that is no text. */
export function render(text: string | ((given: { context: any }) => string), given: { context: JsonObject }): string {
  const rendered = typeof text === 'string' ? text : text(given)
  if (typeof rendered !== 'string') throw new Error(`it returned ${typeof rendered}, not a text`)
  return rendered.toWellFormed()
}

/** What a function answered with, as JSON; nothing is `{}`. Throws when it is not JSON. */
export function jsonOf(answer: unknown): Json {
  const json = toJson(answer ?? {})
  if (!json.ok) throw new Error(json.problem)
  return json.value
}

/** Reads what a function or a mapper answered with. Throws when it is neither an exit nor an exit with an output. */
export function leavingOf(answer: Leaving): Leave {
  if (typeof answer === 'string') return { exit: answer, output: {} }
  const output = toJson(answer?.output ?? {})
  if (typeof answer?.exit !== 'string') throw new Error('it must answer with an exit, or with { exit, output }')
  if (!output.ok) throw new Error(`its output: ${output.problem}`)
  return { exit: answer.exit, output: output.value }
}
