// A service outside, made up: it writes down whatever is done at it, with the key under which it was, and says which key did
// something twice. Its functions are the bodies of tools, so a suite sees what an agent would have done to the world.

import type { Json } from '../core/json.ts'
import type { Reconciled, ToolCall } from '../core/tool.ts'

/** Something that was done at it. */
export interface Entry {
  readonly kind: 'act' | 'undo'
  /** The idempotency key: the same for every try of one step, and of no other. */
  readonly key: string
  readonly taskId: string
  readonly attempt: number
  readonly input: unknown
  /** It knew the key and did nothing more: only where it honours keys. */
  readonly again: boolean
}

/** How a made-up service is. */
export interface LedgerOptions {
  /** A second call with a known key does nothing, and is answered as the first was. Default: it acts again. */
  readonly honoursKeys?: boolean
}

/** A made-up service that writes down what is done at it. */
export function ledger(options: LedgerOptions = {}): Ledger {
  return new Ledger(options)
}

/** What was done at a made-up service. */
export class Ledger {
  readonly #entries: Entry[] = []
  readonly #answers = new Map<string, unknown>()
  readonly #honoursKeys: boolean

  /** @internal */
  constructor({ honoursKeys = false }: LedgerOptions) {
    this.#honoursKeys = honoursKeys
  }

  /** Everything, in order. */
  get entries(): readonly Entry[] {
    return this.#entries
  }

  /** What was really done: without calls whose key was honoured. */
  get effects(): readonly Entry[] {
    return this.#entries.filter(({ again }) => !again)
  }

  /** The keys under which more was done than once. None, where all is well. */
  get twice(): readonly string[] {
    return actedTwice(this.#entries)
  }

  /** The body of a tool (`execute`). It is written down before `answer` is asked: one that throws has acted, and its answer is lost. */
  acts<Input, Output>(
    answer: (input: Input, call: ToolCall) => Output | Promise<Output>,
  ): (input: Input, call: ToolCall) => Promise<Output> {
    return (input, call) => this.#do('act', input, call, () => answer(input, call))
  }

  /** The way back of a tool (`undo`). */
  undoes(): (input: unknown, result: unknown, call: ToolCall) => Promise<Json> {
    return (input, _, call) => this.#do('undo', input, call, () => ({ undone: true }))
  }

  /** What it says when it is asked whether a call was done (`reconcile`). */
  reconciles<Output>(answer: (input: any) => Output): (input: any, call: ToolCall) => Reconciled<Output> {
    return (input, { idempotencyKey }) => {
      const done = this.#entries.some(({ kind, key }) => kind === 'act' && key === idempotencyKey)
      return done ? { done, result: answer(input) } : { done }
    }
  }

  async #do<Output>(
    kind: Entry['kind'],
    input: unknown,
    call: ToolCall,
    answer: () => Output | Promise<Output>,
  ): Promise<Output> {
    const { idempotencyKey: key, taskId, attempt } = call
    const place = `${kind} ${key}`
    const again = this.#honoursKeys && this.#entries.some((one) => one.kind === kind && one.key === key)
    this.#entries.push({ kind, key, taskId, attempt, input, again })
    if (again && this.#answers.has(place)) return this.#answers.get(place) as Output
    const said = await answer()
    this.#answers.set(place, said)
    return said
  }
}

/** The keys under which something was done more than once: of a ledger, or of the `acts` of a play. */
export function actedTwice(
  acts: readonly { readonly kind: string; readonly key: string; readonly again: boolean }[],
): readonly string[] {
  const done = acts.filter(({ again }) => !again)
  const groups = Map.groupBy(done, ({ kind, key }) => `${kind} ${key}`)
  return [...groups.values()].flatMap((its) => (its.length > 1 ? [its[0]!.key] : []))
}
