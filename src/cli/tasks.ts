// `signalbox tasks`: what runs, what waits, what has ended.

import type { Command } from 'commander'
import { Fault } from '../core/fault.ts'
import type { TaskStatus } from '../core/task.ts'
import type { Orchestrator } from '../orchestrator.ts'
import type { TaskRow } from '../store/store.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import { sayCosts } from './timeline.ts'
import { exitCodes, parseChoice, parseCount, print, printJson, table, tell } from './terminal.ts'

interface TasksFlags {
  status?: TaskStatus
  agent?: string
  root?: string
  parent?: string
  roots?: boolean
  limit?: number
  store?: string
  json?: boolean
}

const statuses: readonly TaskStatus[] = ['running', 'waiting', 'done', 'failed', 'cancelled']

export function tasksCommand(leave: Leave): Command {
  return storeCommand('tasks', 'list tasks, newest first')
    .option('--status <status>', 'running, waiting, done, failed or cancelled', parseChoice('--status', statuses))
    .option('--agent <name>', 'of this agent only')
    .option('--root <task>', 'only the tree that this task is in')
    .option('--parent <task>', 'only children of this task')
    .option('--roots', 'only those that no other task started')
    .option('--limit <n>', 'at most this many (default: 100)', parseCount('--limit', 1))
    .action(async (flags: TasksFlags) => {
      const { store, json, root, parent, ...filter } = flags
      const rows = await withStore(store, async (box) => {
        if (root !== undefined) Object.assign(filter, { rootId: (await known(box, root)).rootId ?? root })
        if (parent !== undefined) Object.assign(filter, { parentId: (await known(box, parent)).taskId })
        return box.tasks(filter)
      })
      if (json) for (const row of rows) printJson(row)
      else if (rows.length === 0) tell('No tasks.')
      else {
        const header = ['TASK', 'AGENT', 'STATUS', 'STATE', 'STEPS', 'TURNS', 'TOKENS', 'COST', 'STARTED']
        const lines = rows.map((row) => [
          row.taskId,
          row.agent,
          row.waitsFor === null ? row.status : `waits: ${row.waitsFor}`,
          row.state,
          String(row.steps),
          String(row.turns),
          String(row.inputTokens + row.outputTokens),
          sayCosts(row),
          new Date(row.startedAtMs).toISOString(),
        ])
        print(table([header, ...lines]))
      }
      leave(exitCodes.well)
    })
}

/** Throws TASK_UNKNOWN: a family that is not there is not one without members. */
async function known(box: Orchestrator, taskId: string): Promise<TaskRow> {
  const row = await box.store.task(taskId)
  if (row) return row
  throw new Fault('TASK_UNKNOWN', `There is no task ${taskId} in this store.`, 'List them: signalbox tasks --roots.')
}
