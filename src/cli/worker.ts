// `signalbox worker FILE`: works on whatever is queued for the file's agents, until told to stop.

import type { Command } from 'commander'
import { familyOf } from '../core/machine.ts'
import { queueOf } from '../core/queue.ts'
import { startHealth, type Address } from '../health.ts'
import { createOrchestrator, type Orchestrator } from '../orchestrator.ts'
import { command, defaultStore, storeOption, type Leave } from './command.ts'
import { loadModule } from './module.ts'
import {
  exitCodes,
  interruption,
  parseAddress,
  parseCount,
  parseDuration,
  parseNames,
  printJson,
  tell,
} from './terminal.ts'

interface WorkerFlags {
  queues?: readonly string[]
  concurrency?: number
  lease?: number
  drain?: number
  health?: Address
  store?: string
  json?: boolean
}

const help = `
SIGTERM or Ctrl-C: no more tasks are taken, and steps that are being performed have --drain to come to their end. Then they are
called off, and other workers take over at once. A second SIGTERM or Ctrl-C ends the process on the spot (exit code 130): what it
held is taken over when its leases run out.

--health: GET /healthz answers 200 while the process turns; GET /readyz while it takes tasks and its store answers, else 503 and why.`

/** How long a process whose work is over is kept by what its tools have left open. */
const leftOpenMs = 1_000

export function workerCommand(leave: Leave): Command {
  return command('worker', 'work on whatever is queued, until told to stop')
    .argument('<file>', 'a TypeScript or JavaScript module that exports agents')
    .option(
      '--queues <names>',
      'only on tasks of agents whose queue is one of these, such as gpu,default (default: of all agents)',
      parseNames('--queues'),
    )
    .option('--concurrency <n>', 'tasks at a time (default: 16)', parseCount('--concurrency', 1))
    .option(
      '--lease <duration>',
      'how long another worker waits before it takes over from this one, should it die (default: 10s)',
      parseDuration('--lease'),
    )
    .option('--drain <duration>', 'how long steps may go on after SIGTERM (default: 10s)', parseDuration('--drain'))
    .option(
      '--health <address>',
      'tell how it is over HTTP, at PORT of 127.0.0.1 or HOST:PORT; port 0 is any that is free',
      parseAddress('--health'),
    )
    .addOption(storeOption())
    .addHelpText('after', help)
    .action(async (file: string, flags: WorkerFlags) => leave(await work(file, flags)))
}

async function work(file: string, flags: WorkerFlags): Promise<number> {
  const { agents, config, store: configured } = await loadModule(file)
  const store = flags.store ?? configured ?? defaultStore
  const { queues, concurrency, lease: leaseMs } = flags
  let box: Orchestrator | undefined
  // First of all, so that nothing is taken where the port cannot be had.
  const health = flags.health && (await startHealth(flags.health, () => box?.pulse()))
  try {
    box = await createOrchestrator({
      store,
      agents,
      ...config,
      ...(queues ? { queues } : {}),
      ...(concurrency ? { concurrency } : {}),
      ...(leaseMs ? { leaseMs } : {}),
    })
    const chosen = queues ? agents.flatMap(familyOf).filter((agent) => queues.includes(queueOf(agent))) : agents
    const names = [...new Set(chosen.map((agent) => agent.name))]
    const where = queues ? ` (queues ${queues.join(', ')})` : ''
    tell(`Works on ${names.join(', ')}${where} in ${store}. Ctrl-C or SIGTERM to stop.`)
    if (health) tell(`Tells how it is at ${health.url}/healthz and ${health.url}/readyz.`)
    if (flags.json) {
      const told = { ...(queues ? { queues } : {}), ...(health ? { health: health.url } : {}) }
      printJson({ event: 'started', pid: process.pid, agents: names, store, ...told })
    }
    await interruption('Drains')
    await box.stop(flags.drain)
  } finally {
    await health?.close()
  }
  if (flags.json) printJson({ event: 'stopped', pid: process.pid })
  endAnyway(exitCodes.well)
  return exitCodes.well
}

/** A tool that does not heed its signal may leave a timer or a connection behind. */
function endAnyway(code: number): void {
  setTimeout(() => {
    tell('A step that was called off has left something open. It is not waited for.')
    process.exit(code)
  }, leftOpenMs).unref()
}
