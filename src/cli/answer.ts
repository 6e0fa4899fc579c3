// `signalbox answer ITEM`: a human decides. Who, what and why go into the log.

import type { Command } from 'commander'
import { secretsOption, storeCommand, withStore, type Leave } from './command.ts'
import { exitCodes, parseJson, parseSaid, printJson, tell } from './terminal.ts'

interface AnswerFlags {
  decision: string
  by: string
  reason: string
  data?: string
  hash?: string
  store?: string
  json?: boolean
  secretsOf?: string
}

export function answerCommand(leave: Leave): Command {
  return storeCommand('answer', 'decide something that waits for a human')
    .argument('<item>', 'its id, as signalbox inbox shows it')
    .requiredOption('--decision <decision>', 'one of its options')
    .requiredOption('--by <who>', 'who decides', parseSaid('--by'))
    .requiredOption('--reason <why>', 'why', parseSaid('--reason'))
    .option('--data <json>', 'what the decision hands over, where it takes something; to edit, the other arguments')
    .option('--hash <hash>', 'of an approval: what was shown; with another, nothing is approved')
    .addOption(secretsOption())
    .action(async (item: string, flags: AnswerFlags) => {
      const { decision, by, reason } = flags
      const data = flags.data === undefined ? {} : { data: parseJson('--data', flags.data) }
      const hash = flags.hash === undefined ? {} : { hash: flags.hash }
      await withStore(
        flags.store,
        (box) => box.answer(item, { decision, by, reason, ...data, ...hash }),
        flags.secretsOf,
      )
      tell(`Recorded: ${by} decided ${decision}. A worker goes on with the task.`)
      if (flags.json) printJson({ item, decision, by, reason })
      leave(exitCodes.well)
    })
}
