// An agent tested by values: given what has happened, when something happens, then these events follow. The engine's own
// functions decide; nothing is called, nothing is waited for. It belongs to no test runner: what does not hold is thrown as an
// AssertionError, which every one of them shows.

import { AssertionError } from 'node:assert'
import { isAgent, type Agent } from '../core/agent.ts'
import type { ContextShape, InputOf } from '../core/context.ts'
import type { Event } from '../core/event.ts'
import { Fault, isFault, type FaultCode } from '../core/fault.ts'
import type { Happening } from './happening.ts'
import { problemIn, sayEvent, sayPattern, type Pattern } from './pattern.ts'
import { Trial, type Subject } from './trial.ts'

/**
 * A task of an agent, and what has happened to it: its input and what was said to it since, or the events of a log from its first
 * one on. Each of `past` is decided by the engine before the next happens. Throws AGENT_UNSOUND, INPUT_INVALID, GIVEN_INVALID, or
 * whatever one of them is refused with.
 */
export function given<Shape extends ContextShape>(
  subject: Agent<Shape, any> | Subject<Shape>,
  from: InputOf<Shape> | readonly Event[],
  ...past: readonly Happening[]
): Given {
  const tried: Subject = isAgent(subject) ? { agent: subject } : (subject as Subject)
  const trial = new Trial(tried, Array.isArray(from) ? { log: from as readonly Event[] } : { input: from })
  for (const { happen } of past) happen(trial)
  return new Given(trial)
}

/** What was given. */
export class Given {
  readonly #trial: Trial

  /** @internal */
  constructor(trial: Trial) {
    this.#trial = trial
  }

  /** What happens now; of several, one after the other. What the engine refuses is for `thenRefused` to say. */
  when(first: Happening, ...more: readonly Happening[]): Came {
    const before = this.#trial.log.length
    for (const { happen } of [first, ...more]) {
      try {
        happen(this.#trial)
      } catch (thrown) {
        if (!isFault(thrown) || thrown.code === 'GIVEN_INVALID') throw thrown
        return new Came(this.#trial, before, thrown)
      }
    }
    return new Came(this.#trial, before)
  }
}

/** What came of it. */
export class Came {
  /** The events that were decided, in order. */
  readonly events: readonly Event[]
  /** With what it was refused. */
  readonly refused: Fault | undefined
  readonly #trial: Trial

  /** @internal */
  constructor(trial: Trial, before: number, refused?: Fault) {
    this.#trial = trial
    this.events = trial.log.slice(before)
    this.refused = refused
  }

  /** The state that the task is in, and what its context holds now. */
  get state(): string {
    return this.#trial.task.state
  }

  /** What the context holds now, by key. */
  get context(): Readonly<Record<string, unknown>> {
    return Object.fromEntries([...this.#trial.task.context].map(([key, { value }]) => [key, value]))
  }

  /**
   * These events followed, in this order; others may lie between them. `no(…)` may stand anywhere: none like it followed at
   * all. Throws an AssertionError that says which is missing, what came nearest, and what was decided.
   */
  // oxlint-disable-next-line unicorn/no-thenable -- given, when, then: whoever awaits it is told so
  then(expected: readonly Pattern[]): void {
    if (typeof expected === 'function')
      throw misused(
        'What came of it was awaited or returned, and nothing was said of it.',
        'End with .then([event(…)]).',
      )
    if (expected.length === 0)
      throw misused(
        'then() says nothing, and would always hold.',
        "Name events, or say what is not: no('tool.called').",
      )
    this.#prove(this.#refusal ?? problemIn(this.events, expected), expected, this.then)
  }

  /** These events followed, in this order, and no others. */
  thenOnly(expected: readonly Pattern[]): void {
    this.#prove(this.#refusal ?? problemIn(this.events, expected, { only: true }), expected, this.thenOnly)
  }

  /** It was refused with this code, and these events followed all the same. */
  thenRefused(code: FaultCode, expected: readonly Pattern[] = []): void {
    const how = this.#refusal ?? 'It was not.'
    const wrong = this.refused?.code === code ? undefined : `It was to be refused with ${code}. ${how}`
    this.#prove(wrong ?? problemIn(this.events, expected), expected, this.thenRefused)
  }

  get #refusal(): string | undefined {
    return this.refused && `It was refused: ${this.refused.message}`
  }

  /** `said` is where the stack of the error begins: with the line of the test. */
  #prove(problem: string | undefined, expected: readonly Pattern[], said: (...given: never[]) => void): void {
    if (problem === undefined) return
    const list = (lines: readonly string[]): string => lines.map((line) => `  ${line}`).join('\n') || '  nothing'
    const parts = [
      problem,
      `Expected:\n${list(expected.map(sayPattern))}`,
      `Decided:\n${list(this.events.map(sayEvent))}`,
      `Now ${this.#trial.stands()}.`,
    ]
    throw new AssertionError({ message: parts.join('\n\n'), operator: 'then', stackStartFn: said })
  }
}

function misused(what: string, next: string): Fault {
  return new Fault('GIVEN_INVALID', what, next)
}
