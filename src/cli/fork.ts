// `signalbox fork TASK --at SEQ|CHECKPOINT`: starts a new task where another one was, and says what that one has done outside:
// it stands, and is not done again unasked.

import type { Command } from 'commander'
import type { Deed } from '../core/fork.ts'
import { head } from '../core/json.ts'
import type { Forked } from '../requests/fork.ts'
import { sameStore, storeCommand, withStoreAs, type Known, type Leave } from './command.ts'
import { loadModule } from './module.ts'
import { exitCodes, paint, parseSaid, printJson, tell, whoami } from './terminal.ts'

interface ForkFlags {
  at: string
  id?: string
  by?: string
  reason: string
  store?: string
  json?: boolean
}

export function forkCommand(leave: Leave): Command {
  return storeCommand(
    'fork',
    'start a new task where another one was; what that one did outside is not done again unasked',
  )
    .argument('<task>')
    .argument('[file]', 'a module with its agent, to go on with as it is today (default: as it was)')
    .requiredOption('--at <point>', 'the number of an event, as signalbox log shows it, or the name of a checkpoint')
    .option('--id <task>', "the new task's id (default: a new one)")
    .option('--by <who>', 'who forks it (default: you)', parseSaid('--by'))
    .option('--reason <why>', 'why', parseSaid('--reason'), 'not said')
    .action(async (taskId: string, file: string | undefined, flags: ForkFlags) => {
      const { reason, by = `cli:${whoami()}` } = flags
      const at = /^\d+$/.test(flags.at) ? Number(flags.at) : flags.at
      const given = { at, by, reason, ...(flags.id === undefined ? {} : { id: flags.id }) }
      const known = file === undefined ? {} : await knownIn(file)
      const forked = await withStoreAs(flags.store, known, (box) => box.fork(taskId, given))
      say(forked, file ?? 'FILE', flags.store)
      if (flags.json) printJson({ ...forked, by, reason })
      leave(exitCodes.well)
    })
}

/** The agents of a file, and what is kept out of what is said. */
async function knownIn(file: string): Promise<Known> {
  const { agents, config } = await loadModule(file)
  const { secrets, redact } = config
  return { agents, secrets, redact }
}

function say({ taskId, from, seq, state, deeds }: Forked, file: string, address: string | undefined): void {
  const run = `signalbox run ${file} --id ${taskId}${sameStore(address)}`
  tell(`Recorded: ${taskId} begins where ${from} was at event ${seq} (${state}). A worker goes on with it, or: ${run}`)
  if (deeds.length === 0) return
  tell(paint('yellow', 'This was done outside, and stands. Before it would be done again, somebody is asked:'))
  for (const deed of deeds) tell(`  ${line(deed)}`)
}

function line({ task, step, tool, arguments: input, result, since }: Deed): string {
  const known = result === undefined ? ' (may have been done)' : ''
  const whatever = since ? ', whatever its arguments' : ''
  return `${task}, step ${step}: ${tool} ${head(JSON.stringify(input), 140)}${known}${whatever}`
}
