// The command line: one file a command, all of them listed here by their names. A command returns its exit code.

import { createRequire } from 'node:module'
import { Command, CommanderError } from 'commander'
import type { Leave } from './command.ts'
import { exitCodes, report } from './terminal.ts'

/** What makes each command. Only the file of the one that is named is loaded; for everything else, all of them are. */
export const commands: Readonly<Record<string, () => Promise<(leave: Leave) => Command>>> = {
  run: async () => (await import('./run.ts')).runCommand,
  worker: async () => (await import('./worker.ts')).workerCommand,
  tasks: async () => (await import('./tasks.ts')).tasksCommand,
  show: async () => (await import('./show.ts')).showCommand,
  log: async () => (await import('./log.ts')).logCommand,
  inbox: async () => (await import('./inbox.ts')).inboxCommand,
  answer: async () => (await import('./answer.ts')).answerCommand,
  signal: async () => (await import('./signal.ts')).signalCommand,
  cancel: async () => (await import('./cancel.ts')).cancelCommand,
  rollback: async () => (await import('./rollback.ts')).rollbackCommand,
  fork: async () => (await import('./fork.ts')).forkCommand,
  replay: async () => (await import('./replay.ts')).replayCommand,
  testify: async () => (await import('./testify.ts')).testifyCommand,
  schedule: async () => (await import('./schedule.ts')).scheduleCommand,
  breakers: async () => (await import('./breakers.ts')).breakersCommand,
  workers: async () => (await import('./workers.ts')).workersCommand,
  check: async () => (await import('./check.ts')).checkCommand,
  graph: async () => (await import('./graph.ts')).graphCommand,
  redteam: async () => (await import('./redteam.ts')).redteamCommand,
  verify: async () => (await import('./verify.ts')).verifyCommand,
  export: async () => (await import('./export.ts')).exportCommand,
  import: async () => (await import('./import.ts')).importCommand,
  copy: async () => (await import('./copy.ts')).copyCommand,
  migrate: async () => (await import('./migrate.ts')).migrateCommand,
  keygen: async () => (await import('./keygen.ts')).keygenCommand,
  checkpoint: async () => (await import('./checkpoint.ts')).checkpointCommand,
  erase: async () => (await import('./erase.ts')).eraseCommand,
  'mock-model': async () => (await import('./mock-model.ts')).mockModelCommand,
}

function makersFor([name]: readonly string[]): Promise<readonly ((leave: Leave) => Command)[]> {
  const named = name !== undefined && Object.hasOwn(commands, name) ? [commands[name]!] : Object.values(commands)
  return Promise.all(named.map((load) => load()))
}

/** Runs one command line (without the program's name) and answers with its exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  let code: number = exitCodes.well
  const program = new Command('signalbox')
    .description('Agents as state machines, accountable step by step.')
    .version((createRequire(import.meta.url)('../../package.json') as { version: string }).version)
    .showHelpAfterError('(add --help for what it takes)')
    .exitOverride()
  for (const make of await makersFor(argv)) {
    const command = make((ended) => {
      code = ended
    })
    for (const each of [command, ...command.commands]) {
      each.exitOverride().showHelpAfterError('(add --help for what it takes)')
    }
    program.addCommand(command)
  }
  program.addHelpText(
    'after',
    '\nExit codes: 0 done well; 1 did not end well; 2 wrong usage; 3 waits for a human or a signal; 130 interrupted.',
  )
  // A reader that goes away (signalbox log … | head) is not a failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  try {
    if (argv.length === 0) program.help({ error: true })
    await program.parseAsync([...argv], { from: 'user' })
    return code
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? exitCodes.well : exitCodes.usage
    return report(thrown, argv.includes('--json'))
  }
}
