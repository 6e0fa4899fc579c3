// One transaction on one connection. What nobody waits for is kept back until there is a question, or the end, and goes with
// it in one turn on the wire.

import type { PoolClient, QueryResult } from 'pg'
import { assert } from '../../core/fault.ts'
import type { Call, Tx } from '../tx.ts'
import { batch, single, type Sent } from './batch.ts'
import { codeOf } from './fault.ts'

/** What a transaction begins with. */
export type Mode = 'write' | 'steady write' | 'steady read'

const begins: Readonly<Record<Mode, string>> = {
  write: 'BEGIN',
  'steady write': 'BEGIN ISOLATION LEVEL REPEATABLE READ',
  'steady read': 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
}

/** Runs a transaction to its end, and commits it. Throws what the database says; then it is taken back, or lost with the connection. */
export async function transact<T>(client: PoolClient, mode: Mode, tx: Tx<T>, inside: () => void): Promise<T> {
  const begin: Sent = { name: `begin ${mode}`, text: begins[mode], values: [] }
  const kept: Call[] = []
  let begun = false
  const flush = (...asked: Sent[]): Promise<QueryResult[]> => {
    const sent = [...(begun ? [] : [begin]), ...batch(kept.splice(0)), ...asked]
    begun = true
    return send(client, sent)
  }
  const ask = async (calls: readonly Call[]): Promise<unknown[]> => {
    const results = await flush(...calls.map(({ name, params }) => single(name, params)))
    return calls.map((call, index) => answerOf(call, results.at(index - calls.length)!))
  }
  try {
    let { done, value } = tx.next()
    while (!done) {
      const asked = value as Call | readonly Call[]
      let answer: unknown
      if (!('name' in asked)) answer = await ask(asked)
      else if (asked.want === 'run') kept.push(asked)
      else [answer] = await ask([asked])
      ;({ done, value } = tx.next(answer))
    }
    const end = flush({ name: 'commit', text: 'COMMIT', values: [] })
    inside()
    const committed = (await end).at(-1)!
    assert(committed.command === 'COMMIT', 'what has failed is thrown')
    return value as T
  } catch (thrown) {
    // On a connection that is gone this fails, too, and there is nothing to take back.
    if (begun) await client.query('ROLLBACK').catch(() => undefined)
    throw thrown
  }
}

/** Runs what asks once, or not at all: without a transaction around it. */
export async function askAlone<T>(query: (sent: Sent) => Promise<QueryResult>, tx: Tx<T>): Promise<T> {
  let { done, value } = tx.next()
  while (!done) {
    const asked = value as Call | readonly Call[]
    const calls = 'name' in asked ? [asked] : asked
    const results = await Promise.all(calls.map(({ name, params }) => query(single(name, params))))
    const answers = calls.map((call, index) => answerOf(call, results[index]!))
    ;({ done, value } = tx.next('name' in asked ? answers[0] : answers))
  }
  return value as T
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
