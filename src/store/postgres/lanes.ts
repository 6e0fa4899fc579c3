// Commits that ask nothing share statements: while one is on its way, those that come meanwhile wait for the next. With few
// of them each goes at once; with many, many go together.

import type { PoolClient } from 'pg'
import { assert } from '../../core/fault.ts'
import type { Probe, WritePoint } from '../../runtime.ts'
import { play, type Call, type Tx } from '../tx.ts'
import { batch } from './batch.ts'
import { isGone } from './fault.ts'
import { begins, commit, send } from './session.ts'

/** A commit on its way. */
interface Passenger {
  readonly point: WritePoint
  readonly body: () => Tx<unknown>
  readonly resolve: (value: any) => void
  readonly reject: (reason: unknown) => void
}

/** On how many connections at once. More of them make smaller groups, and each costs the database a flush. */
const lanesMax = 2
const groupMax = 64

/** Lends a connection for as long as something is done with it. */
export type Use = <T>(work: (client: PoolClient) => Promise<T>) => Promise<T>

/** Commits in groups, each whole or not at all: if one of a group cannot be written as it is, none of it is, and each is told. */
export class Lanes {
  readonly #use: Use
  readonly #probe: Probe
  #waiting: Passenger[] = []
  #underWay = 0
  #scheduled = false

  constructor(use: Use, probe: Probe) {
    this.#use = use
    this.#probe = probe
  }

  /** Writes a transaction that asks nothing. Rejected when what it took for granted does not hold, or for any other reason. */
  write<T>(point: WritePoint, body: () => Tx<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ point, body, resolve, reject })
      this.#schedule()
    })
  }

  /** Fulfilled when everything that was asked for is written, or has failed. */
  async idle(): Promise<void> {
    while (this.#waiting.length > 0 || this.#underWay > 0) await new Promise((wake) => setImmediate(wake))
  }

  #schedule(): void {
    if (this.#scheduled || this.#underWay >= lanesMax || this.#waiting.length === 0) return
    this.#scheduled = true
    // All that come in this turn of the event loop go together.
    setImmediate(() => {
      this.#scheduled = false
      if (this.#waiting.length === 0) return
      this.#underWay += 1
      void this.#go(this.#waiting.splice(0, groupMax)).finally(() => {
        this.#underWay -= 1
        this.#schedule()
      })
      this.#schedule()
    })
  }

  async #go(group: readonly Passenger[]): Promise<void> {
    for (const { point } of group) this.#probe(point, 'before')
    try {
      const made = group.map(({ body }) => collect(body()))
      const sent = batch(made.flatMap(({ calls }) => calls))
      await this.#use(async (client) => {
        const sending = send(client, sent.length === 1 ? sent : [begins.write, ...sent, commit])
        for (const { point } of group) this.#probe(point, 'inside')
        await sending
      })
      for (const { point } of group) this.#probe(point, 'after')
      for (const [index, { resolve }] of group.entries()) resolve(made[index]!.value)
    } catch (thrown) {
      // One that cannot be written must not take the others with it. Where the connection is gone nobody knows.
      if (group.length === 1 || isGone(thrown)) for (const { reject } of group) reject(thrown)
      else for (const half of halves(group)) await this.#go(half)
    }
  }
}

function halves<T>(group: readonly T[]): readonly (readonly T[])[] {
  const middle = Math.ceil(group.length / 2)
  return [group.slice(0, middle), group.slice(middle)]
}

/** What a transaction runs, and what it comes to. */
function collect<T>(tx: Tx<T>): { readonly calls: readonly Call[]; readonly value: T } {
  const calls: Call[] = []
  const value = play(tx, (call) => {
    assert(call.want === 'run', 'what takes everything for granted asks nothing')
    calls.push(call)
  })
  return { calls, value }
}
