// Salts: what makes the hash of a payload say nothing about the payload. Without one, who holds a log could try every
// likely name or number against the hash of an erased payload, and the erasure would be none.

import { randomFillSync } from 'node:crypto'

const saltBytes = 16
const saltsMax = 256

/** Makes salts: 16 random bytes in hexadecimal. Drawn from the system many at a time, because each call there costs more than a salt. */
export function randomSalts(): () => string {
  const pool = Buffer.alloc(saltBytes * saltsMax)
  let at = pool.length
  return () => {
    if (at === pool.length) {
      randomFillSync(pool)
      at = 0
    }
    at += saltBytes
    return pool.toString('hex', at - saltBytes, at)
  }
}
