// The steps of a schema, for every engine: numbered, going forward only, each known again by the checksum of its text.

import { Fault } from '../core/fault.ts'
import { sha256 } from './log.ts'

/** One step of a schema. Its text never changes once released: the checksum would tell. */
export interface Migration {
  readonly version: number
  readonly name: string
  readonly sql: string
}

/** A step that is known again by its text, whatever blanks are in it. */
export type Checked = Migration & { readonly checksum: string }

/** Told of each step of the schema that opening a store has made. */
export type Migrated = (migration: Pick<Migration, 'version' | 'name'>) => void

/** Steps with their checksums. */
export function checked(migrations: readonly Migration[]): readonly Checked[] {
  return migrations.map((migration) => ({
    ...migration,
    checksum: sha256(migration.sql.replaceAll(/\s+/g, ' ').trim()),
  }))
}

/** The schema of a store has steps that are not known here. */
export function newerStore(address: string, version: number, known: number): Fault {
  return new Fault(
    'STORE_NEWER',
    `${address} was written by a newer Signalbox (schema ${version}, this one knows ${known}).`,
    'Update Signalbox; this store was not touched.',
  )
}

/** A step was made with another text than the one that is known here. */
export function alteredStore(address: string, { version, name }: Migration): Fault {
  return new Fault(
    'STORE_ALTERED',
    `Migration ${version} (${name}) of ${address} is not the one this Signalbox has.`,
    'Use the version that made the store, or restore a backup.',
  )
}
