// Values of one column, as an array in PostgreSQL's binary form: nothing is escaped, and nothing is parsed.

import type { Value } from '../tx.ts'

/** The type of a column that is written. */
export type ColumnType = 'text' | 'bigint'

const oids: Readonly<Record<ColumnType, number>> = { text: 25, bigint: 20 }

/** A list of a type as a parameter of the type `ColumnType[]`. */
export function columnOf(type: ColumnType, values: readonly Value[]): Buffer {
  const sizes = values.map((value) => (typeof value === 'string' ? Buffer.byteLength(value) : 8))
  const column = Buffer.allocUnsafe(sizes.reduce((sum, size) => sum + 4 + size, 20))
  // One dimension; there may be nulls; what it is of; how many; counted from 1.
  let at = 0
  for (const field of [1, 1, oids[type], values.length, 1]) at = column.writeInt32BE(field, at)
  for (const [index, value] of values.entries()) {
    at = column.writeInt32BE(value === null ? -1 : sizes[index]!, at)
    if (typeof value === 'string') at += column.write(value, at)
    else if (value !== null) at = column.writeBigInt64BE(BigInt(value), at)
  }
  return column.subarray(0, at)
}
