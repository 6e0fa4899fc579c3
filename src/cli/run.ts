// `signalbox run FILE`: starts a task, or goes on with one, and works until it ends or waits.

import type { Command } from 'commander'
import type { Agent } from '../core/agent.ts'
import { compileChecked } from '../core/check.ts'
import { start } from '../core/start.ts'
import { sayMs } from '../core/duration.ts'
import { Fault, isFault } from '../core/fault.ts'
import type { Limits } from '../core/limits.ts'
import { usd } from '../core/price.ts'
import type { StartOptions } from '../requests/begin.ts'
import { createOrchestrator, type Orchestrator } from '../orchestrator.ts'
import { systemRuntime } from '../runtime.ts'
import { treeMax, type TaskRow } from '../store/store.ts'
import type { TaskView } from '../view.ts'
import { command, defaultStore, storeOption, type Leave, sameStore, withStore } from './command.ts'
import { chooseAgent, loadModule } from './module.ts'
import {
  exitCodes,
  interruption,
  paint,
  parseCount,
  parseDollars,
  parseDuration,
  parseJson,
  parseSaid,
  printJson,
  tell,
  whoami,
} from './terminal.ts'
import { say, sayUsage } from './timeline.ts'
import { sayStatus } from './tree.ts'

interface RunFlags {
  agent?: string
  input?: string
  from?: string
  keys?: string
  id?: string
  by?: string
  steps?: number
  tokens?: number
  cost?: number
  duration?: number
  lease?: number
  store?: string
  json?: boolean
}

export function runCommand(leave: Leave): Command {
  return command('run', 'start a task and work until it ends or waits')
    .argument('<file>', 'a TypeScript or JavaScript module that exports agents')
    .option('--agent <name>', 'which agent, when the file has several')
    .option('--input <json>', "the task's input: a JSON object of context keys")
    .option('--from <task>', 'take some of the input from the context of this task, with what is known of it')
    .option('--keys <keys>', 'which keys of its context: a,b')
    .option('--id <task>', "the task's id; the id of a task that exists goes on with it, with no input or the same")
    .option('--by <who>', 'who starts it (default: you)', parseSaid('--by'))
    .option('--steps <n>', 'at most this many steps', parseCount('--steps', 1))
    .option('--tokens <n>', 'at most this many tokens, in and out', parseCount('--tokens', 1))
    .option('--cost <usd>', 'at most this many dollars', parseDollars('--cost'))
    .option('--duration <duration>', 'at most this long, waits included', parseDuration('--duration'))
    .option(
      '--lease <duration>',
      'how long another worker waits before it takes over from this one, should it die (default: 10s)',
      parseDuration('--lease'),
    )
    .addOption(storeOption())
    .action(async (file: string, flags: RunFlags) => leave(await run(file, flags)))
}

async function run(file: string, flags: RunFlags): Promise<number> {
  const { agents, config, store: configured } = await loadModule(file)
  const input = flags.input === undefined ? undefined : parseJson('--input', flags.input)
  const store = flags.store ?? configured ?? defaultStore
  // Looked at before a worker is here that takes it further.
  const before = flags.id === undefined ? [] : await lookAt(store, flags.id)
  const agent = agentOf(agents, flags.agent, before[0])
  const id = flags.id ?? systemRuntime.id()
  // Whatever is wrong with the input is found before a store is made for it.
  const from = fromOf(flags)
  const starts = input !== undefined || from !== undefined || flags.id === undefined
  if (starts && !from) proveInput(agent, id, input ?? {}, limitsOf(flags))
  const box = await createOrchestrator({
    store,
    agents,
    ...config,
    only: id,
    create: starts && !from,
    ...(flags.lease ? { leaseMs: flags.lease } : {}),
  })
  try {
    await begin(box, agent, id, input, before[0], flags)
    return await follow(box, id, new Map(before.map(({ taskId, seq }) => [taskId, seq])), file, flags)
  } finally {
    await box.stop()
  }
}

/** The agent that is run: a task that is known is of one already. Throws TASK_EXISTS or AGENT_UNKNOWN. */
function agentOf(agents: readonly Agent[], named: string | undefined, known: TaskRow | undefined): Agent {
  if (known && named !== undefined && named !== known.agent) {
    const what = `Task ${known.taskId} is of the agent ${known.agent}, and not of ${named}.`
    throw new Fault('TASK_EXISTS', what, 'Leave out --agent: the task goes on as what it is.')
  }
  return agents.find(({ name }) => name === (named ?? known?.agent)) ?? chooseAgent(agents, named)
}

/** A task as it stands, and its tree; nothing where there is none. */
async function lookAt(address: string, id: string): Promise<readonly TaskRow[]> {
  try {
    return await withStore(address, async ({ store }) => {
      const task = await store.task(id)
      if (!task) return []
      const { rootId } = task
      return rootId === null ? [task] : [task, ...(await store.tasks({ rootId, limit: treeMax }))]
    })
  } catch (thrown) {
    if (isFault(thrown, 'STORE_MISSING')) return []
    throw thrown
  }
}

function proveInput(agent: Agent, taskId: string, input: unknown, limits: Limits): void {
  start(compileChecked(agent), { taskId, definition: '', input, by: '', seed: 0, limits }, 0)
}

/** What is taken from another task. */
function fromOf({ from: taskId, keys }: RunFlags): StartOptions['from'] {
  if (taskId === undefined && keys === undefined) return undefined
  if (taskId !== undefined && keys !== undefined) return { taskId, keys: keys.split(',') }
  throw new Fault(
    'FLAG_INVALID',
    '--from and --keys go together.',
    'Say of which task, and which keys: --from T --keys a,b.',
  )
}

function limitsOf({ steps, tokens, cost, duration }: RunFlags): Limits {
  return {
    ...(steps === undefined ? {} : { steps }),
    ...(tokens === undefined ? {} : { tokens }),
    ...(cost === undefined ? {} : { cost: usd(cost) }),
    ...(duration === undefined ? {} : { duration }),
  }
}

/** Starts the task, or takes up one that is known. */
async function begin(
  box: Orchestrator,
  agent: Agent,
  id: string,
  input: unknown,
  known: TaskRow | undefined,
  flags: RunFlags,
): Promise<void> {
  const from = fromOf(flags)
  const by = flags.by ?? `cli:${whoami()}`
  const start = async (): Promise<void> => {
    await box.start(agent, (input ?? {}) as never, { id, by, limits: limitsOf(flags), ...(from ? { from } : {}) })
  }
  if (known) {
    await box.adopt(id)
    // Another agent or input than the task was started with is not its: that it goes on all the same is asked for without.
    if (input !== undefined || from !== undefined) await start()
    tell(`Goes on with task ${id} in ${known.state}, after event ${known.seq}.`)
    const { definition } = (await box.store.task(id))!
    const dueMs = await box.store.nextDueMs([definition], id)
    const waitMs = (dueMs ?? 0) - systemRuntime.now()
    if (known.status === 'running' && waitMs > 0) {
      tell(`A worker holds it, or died while it did: its lease ends in ${sayMs(waitMs)}.`)
    }
    return
  }
  if (input === undefined && from === undefined && flags.id !== undefined) {
    throw new Fault(
      'TASK_UNKNOWN',
      `There is no task ${id} in this store, and no --input to start it with.`,
      'Give --input, or see what there is: signalbox tasks.',
    )
  }
  await start()
}

/** Tells events as they come, of the task and of all below it, until it ends, waits, or is interrupted. */
async function follow(
  box: Orchestrator,
  id: string,
  told: Map<string, number>,
  file: string,
  flags: RunFlags,
): Promise<number> {
  const telling = new AbortController()
  const tellAll = async (signal: AbortSignal): Promise<void> => {
    for await (const event of box.treeEvents(id, { after: told, signal })) {
      told.set(event.taskId, event.seq)
      const line = say(event, id)
      if (line !== undefined) tell(line)
    }
  }
  // What a store that was away for a moment kept from being told is told below.
  const live = tellAll(telling.signal).catch(() => undefined)
  const ended = await Promise.race([box.task(id).rest(), interruption('Stopping').then(() => 'interrupted' as const)])
  if (ended === 'interrupted') await box.drain()
  telling.abort()
  await live
  await tellAll(telling.signal)
  if (ended !== 'interrupted') return conclude(ended, flags)
  const [agent, store] = [flags.agent ? ` --agent ${flags.agent}` : '', sameStore(flags.store)]
  tell(`Go on with: signalbox run ${file}${agent} --id ${id}${store}`)
  return exitCodes.interrupted
}

function conclude(view: TaskView, flags: RunFlags): number {
  const { taskId, status, state, outcome, context, tree, treeUsage: usage, inbox } = view
  const tasks = tree.length > 1 ? `${tree.length} tasks, ` : ''
  tell(`${status === 'waiting' ? `${sayStatus(view, tree)}, in` : `${status} in`} ${state}: ${tasks}${sayUsage(usage)}`)
  const store = sameStore(flags.store)
  for (const { item, options } of inbox) {
    tell(
      paint(
        'magenta',
        `decide: signalbox answer ${item} --decision ${options.join('|')} --by YOU --reason WHY${store}`,
      ),
    )
  }
  if (flags.json) printJson({ taskId, status, state, outcome, context, usage })
  if (status === 'waiting') return exitCodes.waits
  return status === 'done' ? exitCodes.well : exitCodes.badly
}
