// `signalbox verify [TASK]`: proves the log whole, or names the first event of each task that is not as it was written;
// with --anchors also what no log can say of itself. What stays unknown is said, too.

import type { Command } from 'commander'
import { Fault } from '../core/fault.ts'
import type { Orchestrator } from '../orchestrator.ts'
import type { Finding } from '../store/store.ts'
import { readKey } from './checkpoint.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import { exitCodes, paint, printJson, tell } from './terminal.ts'

interface VerifyFlags {
  anchors?: string
  publicKey?: string[]
  store?: string
  json?: boolean
}

export function verifyCommand(leave: Leave): Command {
  return storeCommand(
    'verify',
    'prove the log whole; exit 1 when an event was edited, removed, inserted, moved or cut off',
  )
    .argument('[task]', 'only this one (default: all)')
    .option('--anchors <file>', 'hold the store against what checkpoint wrote there')
    .option('--public-key <file...>', 'whose signatures count: the .pub file of each key (default: not checked)')
    .action(async (taskId: string | undefined, flags: VerifyFlags) => {
      const audit = await withStore(flags.store, (box) => look(box, taskId, flags))
      const { tasks, events, erased, anchors, findings, notProved } = audit
      for (const finding of findings) tell(paint('red', sayFinding(finding)))
      const ok = findings.length === 0
      const seen = `${tasks} task${tasks === 1 ? '' : 's'}, ${events} events`
      const gone = erased === 0 ? '' : `, ${erased} payloads erased`
      const held = anchors === 0 ? '' : `, against ${anchors} anchor${anchors === 1 ? '' : 's'}`
      tell(
        ok
          ? paint('green', `verified: ${seen}${gone}${held}`)
          : paint(
              'red',
              `not verified: ${findings.length} finding${findings.length === 1 ? '' : 's'} in ${seen}${held}`,
            ),
      )
      if (notProved.length > 0) {
        tell(`${anchors === 0 ? 'Without --anchors it is' : 'It is'} not proved:`)
        for (const unknown of notProved) tell(`  ${unknown}`)
      }
      if (flags.json) printJson({ ok, tasks, events, erased, anchors, findings, notProved })
      leave(ok ? exitCodes.well : exitCodes.badly)
    })
}

async function look(
  box: Orchestrator,
  taskId: string | undefined,
  { anchors, publicKey }: VerifyFlags,
): ReturnType<Orchestrator['verify']> {
  let told = Date.now()
  const progress = (tasks: number): void => {
    if (Date.now() - told < 1_000) return
    told = Date.now()
    tell(`… ${tasks} tasks`)
  }
  if (publicKey && anchors === undefined) {
    throw new Fault('FLAG_INVALID', '--public-key proves anchors, and none are given.', 'Give --anchors FILE.')
  }
  const publicKeys = publicKey?.map((file) => readKey('--public-key', file))
  const audit = await box.verify(taskId, {
    progress,
    ...(anchors === undefined ? {} : { anchors }),
    ...(publicKeys ? { publicKeys } : {}),
  })
  if (taskId !== undefined && audit.events === 0 && audit.findings.length === 0) {
    throw new Fault('TASK_UNKNOWN', `There is no task ${taskId} in this store.`, 'List them: signalbox tasks.')
  }
  return audit
}

function sayFinding({ taskId, seq, kind, problem }: Finding): string {
  const where = taskId === null ? '' : `task ${taskId}, event ${seq}, `
  return `${where}${kind}: ${problem}`
}
