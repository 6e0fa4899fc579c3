// `signalbox signal TASK NAME`: tells a task something from outside.

import type { Command } from 'commander'
import { secretsOption, storeCommand, withStore, type Leave } from './command.ts'
import { exitCodes, parseJson, parseSaid, printJson, tell, whoami } from './terminal.ts'

export function signalCommand(leave: Leave): Command {
  return storeCommand('signal', 'send a task a signal; one that nobody waits for yet is kept')
    .argument('<task>')
    .argument('<name>')
    .option('--data <json>', 'what it says (default: {})')
    .option('--by <who>', 'who sends it (default: you)', parseSaid('--by'))
    .option('--key <key>', 'two signals of one name with the same key count once')
    .addOption(secretsOption())
    .action(
      async (
        taskId: string,
        name: string,
        flags: { data?: string; by?: string; key?: string; store?: string; json?: boolean; secretsOf?: string },
      ) => {
        const data = parseJson('--data', flags.data ?? '{}')
        const by = flags.by ?? `cli:${whoami()}`
        const key = flags.key === undefined ? {} : { key: flags.key }
        await withStore(flags.store, (box) => box.signal(taskId, { name, data, by, ...key }), flags.secretsOf)
        tell(`Sent ${name} to ${taskId}. Whether it fits is seen by the worker: signalbox log ${taskId}.`)
        if (flags.json) printJson({ taskId, name, by })
        leave(exitCodes.well)
      },
    )
}
