// How a database is reached: its address, and what every connection is set to. Whatever libpq's environment says counts,
// as far as `pg` knows it (PGHOST, PGUSER, PGPASSWORD, PGSSLMODE, ...).

import type { ClientConfig } from 'pg'
import { toMs, type Duration } from '../../core/duration.ts'
import { Fault, messageOf } from '../../core/fault.ts'

/** Where a store is, as its address says. */
export interface Address {
  /** For people and logs: without the password. */
  readonly shown: string
  readonly schema: string
  readonly config: ClientConfig
}

const schemaDefault = 'signalbox'
const timeoutDefaultMs = 30_000

/**
 * Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME&timeout=DURATION`; every part but the first may be left out.
 * The timeout is how long a statement, a lock, or a transaction that does nothing may take. Throws STORE_UNSUPPORTED.
 */
export function readAddress(address: string, given?: number): Address {
  const url = parse(address)
  const timeoutMs = given ?? readTimeout(url.searchParams.get('timeout'))
  const schema = url.searchParams.get('schema') ?? schemaDefault
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    throw invalid(`a schema is named by small letters, digits and _, and ${JSON.stringify(schema)} is not`)
  }
  const options = [url.searchParams.get('options') ?? process.env['PGOPTIONS'] ?? '', ...settings(schema)].join(' ')
  url.searchParams.delete('schema')
  url.searchParams.delete('timeout')
  url.searchParams.delete('options')
  const shown = new URL(url)
  if (shown.password !== '') shown.password = '***'
  return {
    shown: `${shown.href}${schema === schemaDefault ? '' : `${shown.search === '' ? '?' : '&'}schema=${schema}`}`,
    schema,
    config: {
      connectionString: url.href,
      options: options.trim(),
      application_name: 'signalbox',
      keepAlive: true,
      connectionTimeoutMillis: timeoutMs + 2_000,
      // The database gives up first, and says so; if it says nothing at all, we do.
      statement_timeout: timeoutMs,
      lock_timeout: timeoutMs,
      idle_in_transaction_session_timeout: timeoutMs,
      query_timeout: timeoutMs + 2_000,
      pipeline: true,
    },
  }
}

function readTimeout(text: string | null): number {
  if (text === null) return timeoutDefaultMs
  try {
    return toMs(text as Duration)
  } catch (thrown) {
    throw invalid(messageOf(thrown))
  }
}

function parse(address: string): URL {
  try {
    return new URL(address)
  } catch {
    throw invalid('it cannot be read as a URL')
  }
}

function invalid(why: string): Fault {
  return new Fault(
    'STORE_UNSUPPORTED',
    `This address of a database is not one: ${why}.`,
    'Write postgres://USER@HOST:5432/DATABASE, with ?schema=NAME if the tables are to be elsewhere than in "signalbox".',
  )
}

/** Every statement finds its rows by an index, however small or new a table is, and is planned once. */
function settings(schema: string): readonly string[] {
  return [
    `-c search_path=${schema}`,
    '-c plan_cache_mode=force_generic_plan',
    '-c enable_seqscan=off',
    '-c enable_hashjoin=off',
    '-c enable_mergejoin=off',
    '-c jit=off',
    '-c default_transaction_isolation=read\\ committed',
  ]
}
