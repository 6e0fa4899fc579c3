// `signalbox worker FILE`: works on whatever is queued for the file's agents, until told to stop.

import type { Command } from 'commander'
import { createOrchestrator } from '../orchestrator.ts'
import { command, defaultStore, storeOption, type Leave } from './command.ts'
import { loadModule } from './module.ts'
import { exitCodes, interruption, parseCount, parseDuration, printJson, tell } from './terminal.ts'

interface WorkerFlags {
  concurrency?: number
  lease?: number
  drain?: number
  store?: string
  json?: boolean
}

export function workerCommand(leave: Leave): Command {
  return command('worker', 'work on whatever is queued, until told to stop')
    .argument('<file>', 'a TypeScript or JavaScript module that exports agents')
    .option('--concurrency <n>', 'tasks at a time (default: 16)', parseCount('--concurrency', 1))
    .option(
      '--lease <duration>',
      'how long another worker waits before it takes over from this one, should it die (default: 10s)',
      parseDuration('--lease'),
    )
    .option('--drain <duration>', 'how long steps may go on after SIGTERM (default: 10s)', parseDuration('--drain'))
    .addOption(storeOption())
    .action(async (file: string, flags: WorkerFlags) => leave(await work(file, flags)))
}

async function work(file: string, flags: WorkerFlags): Promise<number> {
  const { agents, config, store: configured } = await loadModule(file)
  const store = flags.store ?? configured ?? defaultStore
  const { concurrency, lease: leaseMs } = flags
  const box = await createOrchestrator({
    store,
    agents,
    ...config,
    ...(concurrency ? { concurrency } : {}),
    ...(leaseMs ? { leaseMs } : {}),
  })
  const names = agents.map((agent) => agent.name)
  tell(`Works on ${names.join(', ')} in ${store}. Ctrl-C or SIGTERM to stop.`)
  if (flags.json) printJson({ event: 'started', pid: process.pid, agents: names, store })
  await interruption('Drains')
  await box.stop(flags.drain)
  if (flags.json) printJson({ event: 'stopped', pid: process.pid })
  return exitCodes.well
}
