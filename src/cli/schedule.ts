// `signalbox schedule`: tasks that are started again and again. Added, listed and removed here; a worker starts them.

import { Command } from 'commander'
import { overlaps, type Overlap } from '../core/schedule.ts'
import { createOrchestrator } from '../orchestrator.ts'
import type { ScheduleOptions } from '../requests/timetable.ts'
import type { ScheduleRow } from '../store/store.ts'
import { command, defaultStore, secretsOption, storeCommand, storeOption, withStore, type Leave } from './command.ts'
import { chooseAgent, loadModule } from './module.ts'
import {
  exitCodes,
  parseChoice,
  parseCount,
  parseJson,
  parseSaid,
  print,
  printJson,
  table,
  tell,
  whoami,
} from './terminal.ts'

interface AddFlags {
  agent?: string
  cron: string
  timezone?: string
  overlap?: Overlap
  input?: string
  by?: string
  reason: string
  store?: string
  json?: boolean
}

const nextCount = 5

export function scheduleCommand(leave: Leave): Command {
  return new Command('schedule')
    .description('start tasks by a cron expression: add, list, next, remove')
    .addCommand(addCommand(leave))
    .addCommand(listCommand(leave))
    .addCommand(nextCommand(leave))
    .addCommand(removeCommand(leave))
}

function addCommand(leave: Leave): Command {
  return command('add', 'add a schedule; whoever works on its agent starts its tasks')
    .argument('<name>', 'what the schedule is called; the ids of its tasks begin with it')
    .argument('<file>', 'a TypeScript or JavaScript module that exports agents')
    .requiredOption('--cron <expression>', "minute, hour, day, month, weekday: '0 8 * * 1-5'; with seconds, six fields")
    .option('--timezone <name>', 'of the IANA list, such as Europe/Berlin (default: UTC)')
    .option(
      '--overlap <rule>',
      'while the task before has not ended: skip, queue or allow (default: skip)',
      parseChoice('--overlap', overlaps),
    )
    .option('--agent <name>', 'which agent, when the file has several')
    .option('--input <json>', "each task's input: a JSON object of context keys")
    .option('--by <who>', 'who wants it (default: you)', parseSaid('--by'))
    .option('--reason <why>', 'why', parseSaid('--reason'), 'not said')
    .addOption(storeOption())
    .action(async (name: string, file: string, flags: AddFlags) => leave(await add(name, file, flags)))
}

async function add(name: string, file: string, flags: AddFlags): Promise<number> {
  const { agents, config, store: configured } = await loadModule(file)
  const { cron, timezone, overlap, reason } = flags
  const given: ScheduleOptions = {
    agent: chooseAgent(agents, flags.agent),
    cron,
    input: flags.input === undefined ? {} : parseJson('--input', flags.input),
    by: flags.by ?? `cli:${whoami()}`,
    reason,
    ...(timezone === undefined ? {} : { timezone }),
    ...(overlap === undefined ? {} : { overlap }),
  }
  const { secrets, redact } = config
  const into = async (store: string): Promise<readonly number[]> => {
    const box = await createOrchestrator({ store, agents, secrets, redact, work: false })
    try {
      await box.schedule(name, given)
      return await box.upcoming(name, nextCount)
    } finally {
      await box.stop()
    }
  }
  // Whatever is wrong is found before a store is made for it.
  await into('sqlite::memory:')
  const times = await into(flags.store ?? configured ?? defaultStore)
  tell(`Added ${name}. It comes round at ${times.map(sayTime).join(', ')}, …`)
  if (flags.json) printJson({ name, next: times.map(sayTime) })
  return exitCodes.well
}

function listCommand(leave: Leave): Command {
  return storeCommand('list', 'list schedules, and what has become of each')
    .option('--all', 'those that were removed, too')
    .action(async (flags: { all?: boolean; store?: string; json?: boolean }) => {
      const rows = await withStore(flags.store, (box) => box.schedules({ removed: flags.all === true }))
      if (flags.json) for (const row of rows) printJson(row)
      else if (rows.length === 0) tell('No schedules.')
      else sayRows(rows)
      leave(exitCodes.well)
    })
}

function sayRows(rows: readonly ScheduleRow[]): void {
  const header = ['NAME', 'AGENT', 'CRON', 'TIMEZONE', 'OVERLAP', 'NEXT', 'LAST TASK']
  const counts = ['STARTED', 'WAITING', 'SKIPPED', 'MISSED', 'FAILED']
  const lines = rows.map((row) => [
    row.name,
    row.agent,
    row.cron,
    row.timezone,
    row.overlap,
    row.removedAtMs === null ? sayTime(row.nextAtMs) : `removed by ${row.removedBy}`,
    row.lastTaskId ?? '-',
    ...[row.started, row.waiting.length, row.skipped, row.missed, row.failed].map(String),
  ])
  print(table([[...header, ...counts], ...lines]))
  for (const { name, problem } of rows) if (problem !== null) tell(`${name}: ${problem}`)
}

function nextCommand(leave: Leave): Command {
  return storeCommand('next', 'say when a schedule comes round next')
    .argument('<name>')
    .option('--count <n>', `how many times (default: ${nextCount})`, parseCount('--count', 1))
    .action(async (name: string, flags: { count?: number; store?: string; json?: boolean }) => {
      const times = await withStore(flags.store, (box) => box.upcoming(name, flags.count ?? nextCount))
      if (flags.json) printJson({ name, next: times.map(sayTime) })
      else for (const time of times) print(sayTime(time))
      leave(exitCodes.well)
    })
}

function removeCommand(leave: Leave): Command {
  return storeCommand('remove', 'end a schedule; tasks that it has started go on')
    .argument('<name>')
    .option('--by <who>', 'who ends it (default: you)', parseSaid('--by'))
    .option('--reason <why>', 'why', parseSaid('--reason'), 'not said')
    .addOption(secretsOption())
    .action(
      async (
        name: string,
        flags: { by?: string; reason: string; store?: string; json?: boolean; secretsOf?: string },
      ) => {
        const by = flags.by ?? `cli:${whoami()}`
        await withStore(flags.store, (box) => box.unschedule(name, { by, reason: flags.reason }), flags.secretsOf)
        tell(`Removed ${name}.`)
        if (flags.json) printJson({ name, by, reason: flags.reason })
        leave(exitCodes.well)
      },
    )
}

function sayTime(atMs: number | null): string {
  return atMs === null ? '-' : new Date(atMs).toISOString()
}
