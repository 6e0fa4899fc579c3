// One transaction on one connection. What nobody waits for is kept back until there is a question, or the end, and goes with
// it in one turn on the wire.

import type { PoolClient, QueryResult } from 'pg'
import { assert } from '../../core/fault.ts'
import { playOn, type Call, type Tx } from '../tx.ts'
import { batch, single, type Sent } from './batch.ts'
import { codeOf } from './fault.ts'

/** What a transaction begins with. */
export type Mode = 'write' | 'steady write' | 'steady read'

const beginOf = (mode: Mode, text: string): Sent => ({ name: `begin ${mode}`, text, values: [] })

/** How each begins. */
export const begins: Readonly<Record<Mode, Sent>> = {
  write: beginOf('write', 'BEGIN'),
  'steady write': beginOf('steady write', 'BEGIN ISOLATION LEVEL REPEATABLE READ'),
  'steady read': beginOf('steady read', 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'),
}
/** How every transaction that comes to its end is ended. */
export const commit: Sent = { name: 'commit', text: 'COMMIT', values: [] }

/** Runs a transaction to its end, and commits it. Throws what the database says; then it is taken back, or lost with the connection. */
export async function transact<T>(client: PoolClient, mode: Mode, tx: Tx<T>, inside: () => void): Promise<T> {
  const kept: Call[] = []
  let begun = false
  const flush = (...asked: Sent[]): Promise<QueryResult[]> => {
    const sent = [...(begun ? [] : [begins[mode]]), ...batch(kept.splice(0)), ...asked]
    begun = true
    return send(client, sent)
  }
  const ask = async (calls: readonly Call[]): Promise<unknown[]> => {
    const results = await flush(...calls.map(({ name, params }) => single(name, params)))
    return calls.map((call, index) => answerOf(call, results.at(index - calls.length)!))
  }
  try {
    const value = await playOn(tx, ask, (call) => call.want === 'run' && kept.push(call) > 0)
    const end = flush(commit)
    inside()
    const committed = (await end).at(-1)!
    assert(committed.command === 'COMMIT', 'what has failed is thrown')
    return value
  } catch (thrown) {
    // On a connection that is gone this fails, too, and there is nothing to take back.
    if (begun) await client.query('ROLLBACK').catch(() => undefined)
    throw thrown
  }
}

/** Runs what asks once, or not at all: without a transaction around it. */
export function askAlone<T>(client: PoolClient, tx: Tx<T>): Promise<T> {
  const ask = async (calls: readonly Call[]): Promise<unknown[]> => {
    const results = await send(
      client,
      calls.map(({ name, params }) => single(name, params)),
    )
    return calls.map((call, index) => answerOf(call, results[index]!))
  }
  return playOn(tx, ask, () => false)
}

/** What `pg` writes to, which can hold back until everything is there. */
interface Wire {
  readonly connection: { readonly stream: { cork(): void; uncork(): void } }
}

/** Sends all at once, and waits for all. Throws the first that failed by itself, and not because another had. */
export async function send(client: PoolClient, sent: readonly Sent[]): Promise<QueryResult[]> {
  const { stream } = (client as unknown as Wire).connection
  stream.cork()
  const settling = Promise.allSettled(sent.map((query) => client.query({ ...query, values: [...query.values] })))
  stream.uncork()
  const settled = await settling
  const failed = settled.filter((result) => result.status === 'rejected')
  if (failed.length > 0) throw (failed.find(({ reason }) => codeOf(reason) !== '25P02') ?? failed[0]!).reason
  return settled.map((result) => (result as PromiseFulfilledResult<QueryResult>).value)
}

function answerOf({ want }: Call, { rows, rowCount }: QueryResult): unknown {
  if (want === 'one') return rows[0]
  if (want === 'all') return rows
  return want === 'change' ? (rowCount ?? 0) : undefined
}
