// What SQLite says when the world fails, as Faults.

import { Fault, isFault, messageOf } from '../../core/fault.ts'

/** SQLITE_IOERR_SHMSIZE: the index of the write-ahead log could not be made longer. */
const noRoomForIndex = 4874

/** Reads what node:sqlite threw. Faults of ours pass through; so does what is a defect and not the world's failure. */
export function toFault(thrown: unknown, path: string): unknown {
  if (isFault(thrown)) return thrown
  const errcode = (thrown as { errcode?: unknown })?.errcode
  if (typeof errcode !== 'number') return thrown
  const fault = (code: ConstructorParameters<typeof Fault>[0], what: string, next: string): Fault => {
    return new Fault(code, `${what}: ${path} (${messageOf(thrown)}).`, next, { cause: thrown, data: { path, errcode } })
  }
  // It comes after the log was written: should every process on the store end before the next write, it is found there.
  if (errcode === noRoomForIndex) {
    return fault(
      'STORE_FULL',
      'The disk is full',
      'Make room, and the workers go on by themselves; read the log before you write again.',
    )
  }
  switch (errcode & 0xff) {
    case 5:
    case 6:
      return fault(
        'STORE_LOCKED',
        'The store is locked by another process',
        'Nothing was written; try again, or find who holds it.',
      )
    case 8:
      return fault(
        'STORE_READ_ONLY',
        'The store cannot be written',
        'Make the file and its folder writable, or choose another with --store.',
      )
    case 11:
      return fault(
        'STORE_CORRUPT',
        'The store is damaged',
        'Stop all workers, keep a copy of the file, and restore a backup.',
      )
    case 13:
      return fault(
        'STORE_FULL',
        'The disk is full',
        'Nothing was written; make room, and the workers go on by themselves.',
      )
    case 14:
      return fault('STORE_MISSING', 'The store cannot be opened', 'Check the path and its folder.')
    case 26:
      return fault('STORE_NOT_OURS', 'This file is not a SQLite database', 'Choose another with --store sqlite:PATH.')
    default:
      return fault(
        'STORE_FAILED',
        'The store failed',
        'Whether the last write is there is not known; read the log before you write again.',
      )
  }
}

/** Did the database refuse because another connection is writing? */
export function isBusy(thrown: unknown): boolean {
  const errcode = (thrown as { errcode?: unknown })?.errcode
  return typeof errcode === 'number' && (errcode & 0xff) === 5
}
