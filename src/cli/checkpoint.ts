// `signalbox checkpoint`: signs what is new in the store and appends one line to the anchors file; with --every, again and
// again until told to stop. It works beside workers, in a process of its own, so that they never see the key.

import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { Fault, messageOf } from '../core/fault.ts'
import type { Orchestrator } from '../orchestrator.ts'
import { systemRuntime } from '../runtime.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import { exitCodes, interruption, parseDuration, printJson, report, tell } from './terminal.ts'

interface CheckpointFlags {
  key: string
  anchors: string
  every?: number
  store?: string
  json?: boolean
}

export function checkpointCommand(leave: Leave): Command {
  return storeCommand('checkpoint', 'sign the heads of all logs, and append an anchor to a file')
    .requiredOption('--key <file>', 'the private key; see keygen')
    .requiredOption('--anchors <file>', 'where the anchor goes: best where nobody who can write to the store can')
    .option('--every <duration>', 'again and again, until Ctrl-C or SIGTERM', parseDuration('--every'))
    .action(async (flags: CheckpointFlags) => {
      const key = readKey('--key', flags.key)
      await withStore(flags.store, async (box) => {
        await once(box, key, flags)
        if (flags.every !== undefined) await again(box, key, flags, flags.every)
      })
      leave(exitCodes.well)
    })
}

async function once(box: Orchestrator, key: string, { anchors, json }: CheckpointFlags): Promise<void> {
  const done = await box.checkpoint({ key, anchors })
  const { checkpoint, made, written } = done
  if (!checkpoint) tell('Nothing to sign: the store has no tasks yet.')
  else {
    const { number, tasks, events } = checkpoint
    const what = made
      ? `Checkpoint ${number}: ${events} events of ${tasks} tasks`
      : `Nothing new since checkpoint ${number}`
    tell(`${what}; ${written} line${written === 1 ? '' : 's'} to ${anchors}.`)
  }
  if (json) printJson(done)
}

/** One that fails is told, and tried again: the next holds all that this one would have held. */
async function again(box: Orchestrator, key: string, flags: CheckpointFlags, everyMs: number): Promise<void> {
  let stopped = false
  const stop = interruption('Stops').then(() => {
    stopped = true
  })
  while (!stopped) {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = systemRuntime.setTimer(everyMs, resolve)
    await Promise.race([promise, stop])
    cancel()
    await once(box, key, flags).catch((thrown: unknown) => report(thrown, flags.json === true))
  }
}

/** Reads a key from the file that a flag names. Throws KEY_INVALID. */
export function readKey(flag: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (thrown) {
    const next = `Check ${flag}; signalbox keygen --key FILE makes a pair.`
    throw new Fault('KEY_INVALID', `${file} cannot be read: ${messageOf(thrown)}.`, next, { cause: thrown })
  }
}
