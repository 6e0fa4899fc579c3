// A column of rows, as an array in PostgreSQL's binary form: nothing is escaped, and nothing is parsed.

import type { Value } from '../tx.ts'

/** The type of a column that is written. */
export type ColumnType = 'text' | 'bigint'

const oids: Readonly<Record<ColumnType, number>> = { text: 25, bigint: 20 }

/** The values in one place of each row, as a parameter of the type `ColumnType[]`. */
export function columnOf(rows: readonly (readonly Value[])[], place: number, type: ColumnType): Buffer {
  let size = 20
  for (const row of rows) {
    const value = row[place] ?? null
    size += 4 + (typeof value === 'string' ? Buffer.byteLength(value) : 8)
  }
  const column = Buffer.allocUnsafe(size)
  // One dimension; there may be nulls; what it is of; how many; counted from 1.
  let at = 0
  for (const field of [1, 1, oids[type], rows.length, 1]) at = column.writeInt32BE(field, at)
  for (const row of rows) {
    const value = row[place] ?? null
    if (value === null) at = column.writeInt32BE(-1, at)
    else if (typeof value === 'string') {
      const length = column.write(value, at + 4)
      at = column.writeInt32BE(length, at) + length
    } else at = column.writeBigInt64BE(BigInt(value), column.writeInt32BE(8, at))
  }
  return column.subarray(0, at)
}
