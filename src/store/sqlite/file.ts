// A store's file: opens it, brings its tables up to date, and refuses what is not ours before anything is written.

import { DatabaseSync } from 'node:sqlite'
import { Fault } from '../../core/fault.ts'
import { alteredStore, newerStore, type Migrated, type Migration } from '../migration.ts'
import { applicationId, migrations } from './schema.ts'

/**
 * Opens a SQLite file as a store of ours, with every migration applied. Throws STORE_NOT_OURS, STORE_NEWER or
 * STORE_ALTERED, and whatever SQLite throws; then the file is as it was.
 */
export function openFile(path: string, now: () => number, migrated: Migrated = () => undefined): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 0 })
  try {
    const read = (pragma: string): number => Object.values(db.prepare(`PRAGMA ${pragma}`).get()!)[0] as number
    const tables = db.prepare('SELECT count(*) AS count FROM sqlite_schema').get()!['count'] as number
    if (tables > 0 && read('application_id') !== applicationId) {
      throw new Fault(
        'STORE_NOT_OURS',
        `${path} is a database of another program.`,
        'Choose another file with --store sqlite:PATH; this one was not touched.',
      )
    }
    const version = read('user_version')
    if (version > migrations.at(-1)!.version) throw newerStore(path, version, migrations.at(-1)!.version)
    if (read('journal_mode') !== ('wal' as unknown)) db.exec('PRAGMA journal_mode = WAL')
    // What is deleted is overwritten: an erased payload must be gone, and what a full page leaves behind when it is split.
    db.exec(
      'PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -65536; PRAGMA secure_delete = ON',
    )
    for (const made of migrate(db, path, version, now)) migrated(made)
    return db
  } catch (thrown) {
    db.close()
    throw thrown
  }
}

function migrate(db: DatabaseSync, path: string, version: number, now: () => number): readonly Migration[] {
  const made: Migration[] = []
  if (version === migrations.at(-1)!.version) {
    proveMigrations(db, path)
    return made
  }
  db.exec('BEGIN IMMEDIATE')
  try {
    db.exec(
      'CREATE TABLE IF NOT EXISTS migrations (version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, appliedAtMs INTEGER NOT NULL) STRICT',
    )
    // Another process may have been first while we waited for the lock.
    const applied = new Set(
      db
        .prepare('SELECT version FROM migrations')
        .all()
        .map((row) => row['version']),
    )
    for (const migration of migrations) {
      if (applied.has(migration.version)) continue
      db.exec(migration.sql)
      db.prepare('INSERT INTO migrations VALUES (?, ?, ?, ?)').run(
        migration.version,
        migration.name,
        migration.checksum,
        now(),
      )
      made.push(migration)
    }
    db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${migrations.at(-1)!.version}`)
    db.exec('COMMIT')
  } catch (thrown) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw thrown
  }
  proveMigrations(db, path)
  return made
}

function proveMigrations(db: DatabaseSync, path: string): void {
  const applied = new Map(
    db
      .prepare('SELECT version, checksum FROM migrations')
      .all()
      .map((row) => [row['version'], row['checksum']]),
  )
  for (const migration of migrations) {
    if (applied.get(migration.version) !== migration.checksum) throw alteredStore(path, migration)
  }
}
