// How PostgreSQL says what the statements say: parameters are $1, and names that are not all in small letters stand in
// quotes.

import { statements, type Dialect, type StatementName } from '../statements.ts'

const dialect: Dialect = {
  texts: (list) => `SELECT json_array_elements_text(CAST(${list} AS json))`,
  isIn: (column, list) =>
    `${column} = ANY (ARRAY(SELECT CAST(json_array_elements_text(CAST(${list} AS json)) AS BIGINT)))`,
  hold: (table) => `FOR UPDATE OF ${table}`,
  holdFree: (table) => `FOR UPDATE OF ${table} SKIP LOCKED`,
  many: (text) => text,
  feed: {
    columns: 'CAST(xid AS TEXT) AS place',
    order: 'xid, taskId, seq',
    behind: '(xid, taskId, seq) > (CAST(CAST(?2 AS TEXT) AS XID8), ?3, ?4)',
    // Whoever is still writing has a number from here on: nobody can be written in behind the reader.
    settled: 'xid < pg_snapshot_xmin(pg_current_snapshot())',
  },
}

/** Every statement as PostgreSQL takes it. */
export const texts: Readonly<Record<StatementName, string>> = Object.fromEntries(
  Object.entries(statements(dialect)).map(([name, text]) => [name, quoted(text).replaceAll(/\?(\d+)/g, '$$$1')]),
) as Record<StatementName, string>

/** A text with quotes around every name that needs them. What stands in single quotes is left alone. */
export function quoted(text: string): string {
  return text
    .split(/('[^']*')/)
    .map((part, index) => (index % 2 === 1 ? part : part.replaceAll(/(?<!")\b[a-z]+(?:[A-Z]\w*)\b/g, '"$&"')))
    .join('')
}
