// The command line: one file a command, all of them listed here. A command returns its exit code.

import { createRequire } from 'node:module'
import { Command, CommanderError } from 'commander'
import { answerCommand } from './answer.ts'
import { breakersCommand } from './breakers.ts'
import { cancelCommand } from './cancel.ts'
import { checkCommand } from './check.ts'
import { checkpointCommand } from './checkpoint.ts'
import { copyCommand } from './copy.ts'
import { eraseCommand } from './erase.ts'
import { exportCommand } from './export.ts'
import { forkCommand } from './fork.ts'
import { graphCommand } from './graph.ts'
import { importCommand } from './import.ts'
import { inboxCommand } from './inbox.ts'
import { keygenCommand } from './keygen.ts'
import { logCommand } from './log.ts'
import { migrateCommand } from './migrate.ts'
import { mockModelCommand } from './mock-model.ts'
import { replayCommand } from './replay.ts'
import { redteamCommand } from './redteam.ts'
import { rollbackCommand } from './rollback.ts'
import { runCommand } from './run.ts'
import { scheduleCommand } from './schedule.ts'
import { showCommand } from './show.ts'
import { signalCommand } from './signal.ts'
import { tasksCommand } from './tasks.ts'
import { exitCodes, report } from './terminal.ts'
import { workersCommand } from './workers.ts'
import { testifyCommand } from './testify.ts'
import { verifyCommand } from './verify.ts'
import { workerCommand } from './worker.ts'

const commands = [
  runCommand,
  workerCommand,
  tasksCommand,
  showCommand,
  logCommand,
  inboxCommand,
  answerCommand,
  signalCommand,
  cancelCommand,
  rollbackCommand,
  forkCommand,
  replayCommand,
  testifyCommand,
  scheduleCommand,
  breakersCommand,
  workersCommand,
  checkCommand,
  graphCommand,
  redteamCommand,
  verifyCommand,
  exportCommand,
  importCommand,
  copyCommand,
  migrateCommand,
  keygenCommand,
  checkpointCommand,
  eraseCommand,
  mockModelCommand,
]

/** Runs one command line (without the program's name) and answers with its exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  let code: number = exitCodes.well
  const program = new Command('signalbox')
    .description('Agents as state machines, accountable step by step.')
    .version((createRequire(import.meta.url)('../../package.json') as { version: string }).version)
    .showHelpAfterError('(add --help for what it takes)')
    .exitOverride()
  for (const make of commands) {
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
