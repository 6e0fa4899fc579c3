// Who plays the outside of an agent that is attacked: recorded tasks say what was said in them, a script or real models play the
// models. What nobody knows is made up, and no tool is called.

import type { Agent } from '../core/agent.ts'
import { compileChecked } from '../core/check.ts'
import { Fault } from '../core/fault.ts'
import type { Model } from '../core/model.ts'
import { resolveModel } from '../providers/registry.ts'
import type { Script } from '../providers/scripted.ts'
import { liveScript } from '../redteam/live.ts'
import type { Recorded } from '../redteam/recorded.ts'
import { teamOf } from '../redteam/route.ts'
import type { Outside } from '../redteam/scene.ts'
import { treeMax, type LoggedEvent } from '../store/store.ts'
import { withStore } from './command.ts'
import { importFile, type Config } from './module.ts'
import { readLog } from './replay.ts'
import { paint, tell } from './terminal.ts'

/** The flags that say who plays. */
export interface OutsideFlags {
  script?: string
  recorded?: readonly string[]
  store?: string
  live?: boolean
  calls?: number
}

/** The logs of the tasks that were named, and of all below those that are in the store. Throws TASK_UNKNOWN, EXPORT_INVALID, AGENT_UNKNOWN. */
export async function recordedLogs(
  { recorded = [], store }: OutsideFlags,
  agents: readonly Agent[],
): Promise<readonly (readonly LoggedEvent[])[]> {
  const named = await Promise.all(recorded.map((task) => readLog(task, store)))
  const isInStore = (log: readonly LoggedEvent[]): boolean => recorded.includes(log[0]!.taskId)
  const roots = named.filter((log) => isInStore(log) && log.some(({ type }) => type === 'child.started'))
  const below = await Promise.all(roots.map(([first]) => logsBelow(first!.taskId, store)))
  const logs = [...named, ...below.flat()]
  const known = new Set(agents.flatMap((agent) => [...teamOf(compileChecked(agent)).keys()]))
  const strange = named.find(([first]) => first?.type === 'task.started' && !known.has(first.data.agent))
  if (!strange) return logs
  const what = `Task ${strange[0]!.taskId} is of an agent that is not attacked here.`
  throw new Fault('AGENT_UNKNOWN', what, `Name a task of: ${[...known].join(', ')}.`)
}

function logsBelow(rootId: string, store: string | undefined): Promise<readonly (readonly LoggedEvent[])[]> {
  return withStore(store, async (box) => {
    const rows = (await box.store.tasks({ rootId, limit: treeMax })).filter(({ taskId }) => taskId !== rootId)
    return Promise.all(rows.map(({ taskId }) => box.store.read(taskId)))
  })
}

/** What a file says of its outside counts before what was recorded. */
export function both(recorded: Outside, outside: Outside): Outside {
  const { input, tools, outputs, signals } = recorded
  return {
    ...(input || outside.input ? { input: { ...input, ...outside.input } } : {}),
    tools: { ...tools, ...outside.tools },
    outputs: { ...outputs, ...outside.outputs },
    signals: { ...signals, ...outside.signals },
  }
}

export function tellRecorded({ name }: Agent, recorded: Recorded, logs: number): Recorded {
  const { input, tools, exits, signals, left } = recorded
  const list = (what: string, names: readonly string[]): readonly string[] => {
    return names.length > 0 ? [`${what}: ${names.join(', ')}`] : []
  }
  const parts = [
    ...(input ? ['its input'] : []),
    ...list(
      'answers',
      Object.entries(tools).map(([tool, count]) => `${tool} (${count})`),
    ),
    ...list('exits', exits),
    ...list('signals', signals),
  ]
  tell(`${name}, from ${logs === 1 ? '1 log' : `${logs} logs`}: ${parts.join('; ') || 'nothing that fits'}.`)
  for (const why of left) tell(paint('yellow', `Made up all the same: ${why}.`))
  return recorded
}

export function withoutOutside({ outside: _outside, ...rest }: Recorded): object {
  return rest
}

/** Who plays the models; undefined: they find their own way. How often real ones were asked, and whether that is enough. */
export interface Player {
  readonly script: Script | undefined
  readonly asked: () => number
  readonly isSpent: () => boolean
}

const callsDefault = 100

/** Finds who plays the models. Throws FLAG_INVALID or MODEL_UNKNOWN. */
export async function playerOf(
  { script, live = false, calls }: OutsideFlags,
  agents: readonly Agent[],
  config: Config,
): Promise<Player> {
  if (live && script !== undefined)
    throw new Fault('FLAG_INVALID', '--live and --script both say who plays the models.', 'Give one of them.')
  if (!live && calls !== undefined)
    throw new Fault('FLAG_INVALID', '--calls counts calls of real models, and none is asked.', 'Add --live.')
  if (script !== undefined) {
    const { loadScript } = await import('../providers/script-file.ts')
    return { script: loadScript((await importFile(script))['default']), asked: () => 0, isSpent: () => false }
  }
  if (!live) return { script: undefined, asked: () => 0, isSpent: () => false }
  let asked = 0
  const models = await modelsOf(agents, config)
  return {
    script: liveScript(models, () => (asked += 1)),
    asked: () => asked,
    isSpent: () => asked >= (calls ?? callsDefault),
  }
}

/** The real models of agents, by the names that they use. */
async function modelsOf(agents: readonly Agent[], { models = {} }: Config): Promise<ReadonlyMap<string, Model>> {
  const machines = agents.flatMap((agent) => [...teamOf(compileChecked(agent)).values()])
  const nodes = machines.flatMap(({ states }) => [...states.values()])
  const names = new Set(nodes.flatMap((node) => (node.kind === 'model' ? node.models : [])))
  const found = [...names].map(async (name) => [name, await resolveModel(name, { models, env: process.env })] as const)
  return new Map(await Promise.all(found))
}
