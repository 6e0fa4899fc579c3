// What this process knows of the gates of a store: the breakers as it read or changed them last. It may be behind the store;
// then a commit is refused, the gates are read anew, and the same is decided again on what holds now.

import { openGate, type Gate } from './core/breaker.ts'
import { gatesOf } from './store/rows.ts'
import type { Store } from './store/store.ts'

/** The gates of a store, as one worker knows them. */
export class Gates {
  readonly #store: Store
  #known: ReadonlyMap<string, Gate> = new Map()
  #proposed = new Map<string, Gate>()

  constructor(store: Store) {
    this.#store = store
  }

  /** The gate of a key. What was decided here and is being committed counts already. */
  get(key: string): Gate {
    return this.#proposed.get(key) ?? this.#known.get(key) ?? openGate
  }

  /** Is any known to be shut? Then another process, or a human, may open it. */
  get someShut(): boolean {
    return [...this.#known.values(), ...this.#proposed.values()].some(({ breaker }) => breaker.status !== 'closed')
  }

  /** Takes what a draft has made of gates as what holds. */
  propose(gates: ReadonlyMap<string, Gate>): void {
    for (const [key, { version, breaker }] of gates) this.#proposed.set(key, { version, breaker })
  }

  /** What was proposed is committed, and so nothing else that somebody here proposed in its place. */
  accept(gates: ReadonlyMap<string, Gate>): void {
    if (gates.size === 0) return
    this.#learn(new Map([...gates].map(([key, { version, breaker }]) => [key, { version, breaker }])))
    for (const [key, { version }] of gates)
      if ((this.#proposed.get(key)?.version ?? Infinity) <= version) this.#proposed.delete(key)
  }

  /** What was read before something was committed here may be heard of after it: a gate never goes back. */
  #learn(gates: ReadonlyMap<string, Gate>): void {
    const known = new Map(this.#known)
    for (const [key, gate] of gates) if (gate.version >= (known.get(key)?.version ?? 0)) known.set(key, gate)
    this.#known = known
  }

  /** Drops what was decided here and could not be committed. */
  forget(): void {
    this.#proposed = new Map()
  }

  /** Reads the gates anew. */
  async refresh(): Promise<void> {
    this.#learn(gatesOf(await this.#store.gates()))
    this.#proposed = new Map()
  }
}
