// What every command has in common: the flags that name a store and ask for JSON, and a look at a store without a
// worker.

import { Command, Help, Option } from 'commander'
import { createOrchestrator, type Orchestrator, type OrchestratorOptions } from '../orchestrator.ts'
import { systemRuntime } from '../runtime.ts'
import { openStore } from '../store/open.ts'
import { loadModule } from './module.ts'
import { tellUsage } from './terminal.ts'

/** Where a command leaves its exit code. */
export type Leave = (code: number) => void

/** The store where nobody names one. */
export const defaultStore = 'sqlite:./signalbox.db'

const describe = (option: Option): string => new Help().optionDescription(option)

/** A command with the flag --json. */
export function command(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .configureOutput({ writeErr: tellUsage })
    .configureHelp({ optionDescription: (option) => `${describe(option)}${option.mandatory ? ' (required)' : ''}` })
    .option('--json', 'print machine-readable output on stdout')
}

/** The flag that names a store. */
export function storeOption(): Option {
  return new Option('--store <address>', `sqlite:PATH or postgres://… (default: ${defaultStore})`)
}

/** The flag that names a store again, in a command that is told to somebody: a password is not told. */
export function sameStore(address: string | undefined): string {
  if (address === undefined) return ''
  if (!/^postgres(ql)?:/.test(address) || !URL.canParse(address)) return ` --store ${address}`
  const url = new URL(address)
  url.password = ''
  url.searchParams.delete('password')
  return ` --store '${url.href}'`
}

/** A command on a store that exists. */
export function storeCommand(name: string, description: string): Command {
  return command(name, description).addOption(storeOption())
}

/** The flag that names the secrets that somebody might say by mistake. */
export function secretsOption(): Option {
  return new Option(
    '--secrets-of <file>',
    'a module whose secrets, and what it redacts, are kept out of what is said here',
  )
}

/**
 * Opens a store that exists, does something with it, and closes it. No work is done on its tasks. `file` is a module whose
 * secrets are kept out of what is said.
 */
export async function withStore<T>(
  address: string | undefined,
  look: (box: Orchestrator) => Promise<T>,
  file?: string,
): Promise<T> {
  const { secrets, redact } = file === undefined ? {} : (await loadModule(file)).config
  return withStoreAs(address, { secrets, redact }, look)
}

/** What an orchestrator that does no work may know. */
export type Known = Pick<OrchestratorOptions, 'agents' | 'secrets' | 'redact'>

/** The same, where agents may be known. */
export async function withStoreAs<T>(
  address: string | undefined,
  known: Known,
  look: (box: Orchestrator) => Promise<T>,
): Promise<T> {
  const store = await openStore(address ?? defaultStore, { runtime: systemRuntime, create: false })
  try {
    const box = await createOrchestrator({ store, work: false, ...known })
    try {
      return await look(box)
    } finally {
      await box.stop()
    }
  } finally {
    await store.close()
  }
}
