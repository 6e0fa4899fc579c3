// What PostgreSQL, and the way to it, say when the world fails, as Faults.

import { Fault, isFault, messageOf, type FaultCode } from '../../core/fault.ts'

/** By SQLSTATE, or by the system's name for what became of a connection. */
const causes: Readonly<Record<string, readonly [FaultCode, string, string]>> = {
  '28000': ['STORE_DENIED', 'The database does not let this user in', 'Check user, password and pg_hba.conf.'],
  '28P01': ['STORE_DENIED', 'The database does not take this password', 'Check PGPASSWORD, ~/.pgpass or the address.'],
  '42501': [
    'STORE_DENIED',
    'This user may not do that',
    'Grant what `signalbox migrate --print-roles` prints, or run migrate as the owner.',
  ],
  '3D000': ['STORE_MISSING', 'There is no such database', 'Create it, or check the address.'],
  '3F000': ['STORE_MISSING', 'There is no such schema', 'Run signalbox migrate, or check the address.'],
  '42P01': ['STORE_MISSING', 'The tables of a store are not there', 'Run signalbox migrate, or check the address.'],
  '25006': ['STORE_READ_ONLY', 'The database cannot be written', 'Is it a standby? Connect to the primary.'],
  '53100': ['STORE_FULL', 'The disk is full', 'Nothing was written; make room, and the workers go on by themselves.'],
  '55P03': ['STORE_LOCKED', 'Somebody holds what is needed', 'Nothing was written; try again, or look into pg_locks.'],
  '40001': ['STORE_LOCKED', 'Others were always first', 'Nothing was written; try again.'],
  '40P01': ['STORE_LOCKED', 'Others always stood in the way', 'Nothing was written; try again.'],
  '57014': [
    'STORE_LOCKED',
    'It took longer than it may',
    'Nothing was written; try again, or look for what holds it up.',
  ],
  XX001: ['STORE_CORRUPT', 'The database is damaged', 'Stop all workers, and restore a backup.'],
  XX002: ['STORE_CORRUPT', 'The database is damaged', 'Stop all workers, keep a copy, and rebuild its indexes.'],
}

const away: readonly [FaultCode, string, string] = [
  'STORE_FAILED',
  'The database cannot be reached',
  'Whether the last write is there is not known; what works on it goes on by itself when the database is back.',
]

const stopped: readonly [FaultCode, string, string] = [
  'STORE_FULL',
  'The disk is full, and the database has stopped',
  'Make room and start it, and the workers go on by themselves; whether the last write is there is not known.',
]

/** Reads what `pg` threw. Faults of ours pass through; so does what is a defect and not the world's failure. */
export function toFault(thrown: unknown, address: string): unknown {
  if (isFault(thrown)) return thrown
  const [code, what, next] = isLast(thrown) ? stopped : (causes[codeOf(thrown)] ?? (isGone(thrown) ? away : []))
  if (code === undefined) return thrown
  return new Fault(code, `${what}: ${address} (${messageOf(thrown)}).`, next!, {
    cause: thrown,
    data: { address, sqlState: codeOf(thrown) },
  })
}

/** SQLSTATE, or the system's name. */
export function codeOf(thrown: unknown): string {
  return String((thrown as { code?: unknown } | undefined)?.code ?? '')
}

/** Did the database stop because it has no room for its write-ahead log? */
function isLast(thrown: unknown): boolean {
  return codeOf(thrown) === '53100' && (thrown as { severity?: unknown }).severity === 'PANIC'
}

/** Has the connection, or the server, gone? */
export function isGone(thrown: unknown): boolean {
  const code = codeOf(thrown)
  // Of the server: connection exceptions, shutdowns, too many connections, and failures that only it understands.
  if (/^(08...|57P0.|53...|58...|F0...|XX000|25P03)$/.test(code)) return true
  if (/^E[A-Z_]+$/.test(code) && 'syscall' in (thrown as object)) return true
  return (
    /terminated|timeout|not queryable|closed|ended|SSL|certificate/i.test(messageOf(thrown)) && !/^\w{5}$/.test(code)
  )
}

/** Did the database take everything back because others were at the same rows? Then it may be done again at once. */
export function isBeaten(thrown: unknown): boolean {
  return ['40001', '40P01', '23505'].includes(codeOf(thrown))
}
