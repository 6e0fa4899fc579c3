// One statement as the superuser, on a connection of its own.

import { Client } from 'pg'

/** Runs SQL and gives the rows; of several statements, those of the last. */
export async function admin(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url })
  // A statement that fails says so itself; a connection that breaks between two is told of here, and must be heard.
  client.on('error', () => undefined)
  await client.connect()
  try {
    const results = [await client.query<Record<string, unknown>>(sql)].flat()
    return results.at(-1)?.rows ?? []
  } finally {
    await client.end()
  }
}
