// `signalbox migrate`: brings a store up to date, as opening it does, and says so; with --print-roles it writes nothing and
// prints what a database's owner runs so that workers may add to the log and never change it.

import type { Command } from 'commander'
import { Fault } from '../core/fault.ts'
import { systemRuntime } from '../runtime.ts'
import { migrateStore, rolesFor } from '../store/open.ts'
import { command, defaultStore, storeOption, type Leave } from './command.ts'
import { exitCodes, print, printJson, tell } from './terminal.ts'

interface MigrateFlags {
  printRoles?: boolean
  role?: string
  store?: string
  json?: boolean
}

const defaultRole = 'signalbox_worker'

export function migrateCommand(leave: Leave): Command {
  return command('migrate', 'bring a store up to date, or make one; every command that opens one does so too')
    .option('--print-roles', 'write nothing; print the SQL that makes a role for workers (PostgreSQL)')
    .option('--role <name>', `what that role is called (default: ${defaultRole})`)
    .addOption(storeOption())
    .action(async (flags: MigrateFlags) => {
      const address = flags.store ?? defaultStore
      if (flags.printRoles) roles(address, flags)
      else await migrate(address, flags)
      leave(exitCodes.well)
    })
}

function roles(address: string, { role = defaultRole, json }: MigrateFlags): void {
  // `public` is everybody, and what begins with pg_ is the database's own.
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(role) || /^(pg_.*|public|none)$/.test(role)) {
    const next = 'Give a name of small letters, digits and _ that is not public, none or pg_….'
    throw new Fault('FLAG_INVALID', `--role is ${JSON.stringify(role)}.`, next)
  }
  const sql = rolesFor(address, role)
  if (json) printJson({ role, sql })
  else print(sql.trimEnd())
}

async function migrate(address: string, { role, json }: MigrateFlags): Promise<void> {
  if (role !== undefined) throw new Fault('FLAG_INVALID', '--role goes with --print-roles.', 'Give both, or none.')
  const done = await migrateStore(address, { runtime: systemRuntime })
  const { store, version, applied } = done
  for (const migration of applied) tell(`Applied ${migration.version}: ${migration.name}.`)
  tell(`${store} is up to date: its schema is at version ${version}.`)
  if (applied.length > 0 && store.startsWith('postgres')) {
    tell('Workers with a role of their own need its grants again: signalbox migrate --print-roles.')
  }
  if (json) printJson(done)
}
