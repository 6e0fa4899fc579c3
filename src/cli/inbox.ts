// `signalbox inbox`: what waits for a human.

import type { Command } from 'commander'
import { head, type Json } from '../core/json.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import { exitCodes, print, printJson, tell } from './terminal.ts'

export function inboxCommand(leave: Leave): Command {
  return storeCommand('inbox', 'list what waits for a human, oldest first')
    .option('--task <task>', 'of this task only')
    .action(async (flags: { task?: string; store?: string; json?: boolean }) => {
      const items = await withStore(flags.store, (box) =>
        box.inbox(flags.task === undefined ? {} : { taskId: flags.task }),
      )
      if (flags.json) for (const item of items) printJson(item)
      else if (items.length === 0) tell('Nothing waits.')
      else {
        for (const { item, kind, question, show, options, assignee, openedAtMs, expiresAtMs, hash, agreed } of items) {
          print(
            `${item}  ${kind}, since ${new Date(openedAtMs).toISOString()}${expiresAtMs === null ? '' : `, until ${new Date(expiresAtMs).toISOString()}`}${assignee === null ? '' : `, for ${assignee}`}`,
          )
          print(`  ${question}`)
          if (show !== null) print(`  ${kind === 'approval' ? sayApproval(show) : head(JSON.stringify(show), 1_000)}`)
          if (agreed.length > 0) print(`  agreed so far: ${agreed.join(', ')}`)
          if (hash !== null) print(`  hash ${hash}`)
          print(`  decide: ${options.join(', ')}`)
        }
      }
      leave(exitCodes.well)
    })
}

/** What exactly is asked about: never cut, since what is not seen would be agreed to as well. */
function sayApproval(show: Json): string {
  const {
    tool,
    arguments: input,
    label,
    reasons,
  } = show as {
    tool: string
    arguments: Json
    label: string
    reasons: readonly { rule: string; reason: string }[]
  }
  const why = reasons.map(({ rule, reason }) => `${rule}: ${reason}`).join('\n    ')
  return `${tool} ${JSON.stringify(input)}\n  seen before: ${label}\n    ${why}`
}
