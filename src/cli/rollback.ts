// `signalbox rollback TASK --to SEQ|CHECKPOINT`: takes a task back to an earlier point of its own, and says what that
// takes: what its tools will take back, and what they cannot.

import type { Command } from 'commander'
import { head } from '../core/json.ts'
import type { RollbackPlan } from '../orchestrator.ts'
import { storeCommand, withStore, type Leave, sameStore } from './command.ts'
import { exitCodes, paint, parseSaid, printJson, tell, whoami } from './terminal.ts'

interface RollbackFlags {
  to: string
  by?: string
  reason: string
  store?: string
  json?: boolean
}

export function rollbackCommand(leave: Leave): Command {
  return storeCommand('rollback', 'take a task back to an earlier point; its tools take back what they did since')
    .argument('<task>')
    .requiredOption('--to <point>', 'the number of an event, as signalbox log shows it, or the name of a checkpoint')
    .option('--by <who>', 'who takes it back (default: you)', parseSaid('--by'))
    .option('--reason <why>', 'why', parseSaid('--reason'), 'not said')
    .action(async (taskId: string, flags: RollbackFlags) => {
      const by = flags.by ?? `cli:${whoami()}`
      const to = /^\d+$/.test(flags.to) ? Number(flags.to) : flags.to
      const plan = await withStore(flags.store, (box) => box.rollback(taskId, { to, by, reason: flags.reason }))
      say(taskId, plan, flags.store)
      if (flags.json) printJson({ taskId, ...plan, by, reason: flags.reason })
      leave(plan.without.length > 0 ? exitCodes.waits : exitCodes.well)
    })
}

function say(taskId: string, { to, state, undo, without }: RollbackPlan, address: string | undefined): void {
  const store = sameStore(address)
  const run = `signalbox run FILE --id ${taskId}${store}`
  tell(`Recorded: ${taskId} goes back to event ${to} (${state}). A worker takes it there, or: ${run}`)
  if (undo.length > 0) tell('Will be taken back, in this order:')
  for (const effect of undo) tell(`  ${line(effect)}`)
  if (without.length === 0) return
  tell(paint('yellow', 'Cannot be taken back; the task asks first, as soon as it is run:'))
  for (const effect of without) tell(`  ${line(effect)}${effect.result === undefined ? ' (may have been done)' : ''}`)
  tell(`Run it (${run}, or a worker), then see what it asks: signalbox inbox --task ${taskId}${store}`)
}

function line({ step, tool, arguments: input }: RollbackPlan['undo'][number]): string {
  return `step ${step}: ${tool} ${head(JSON.stringify(input), 140)}`
}
