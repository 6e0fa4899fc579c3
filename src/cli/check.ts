// `signalbox check FILE`: proves the machines of a file sound before they run.

import type { Command } from 'commander'
import { check } from '../core/check.ts'
import { command, type Leave } from './command.ts'
import { loadModule } from './module.ts'
import { exitCodes, paint, printJson, tell } from './terminal.ts'

export function checkCommand(leave: Leave): Command {
  return command('check', 'prove the machines of a file sound before they run; exit 1 on an error')
    .argument('<file>', 'a TypeScript or JavaScript module that exports agents')
    .action(async (file: string, flags: { json?: boolean }) => {
      const { agents, windows } = await loadModule(file)
      const checked = agents.map((agent) => ({
        name: agent.name,
        version: agent.version,
        problems: check(agent, windows),
      }))
      for (const { name, version, problems } of checked) {
        const errors = problems.filter((problem) => problem.severity === 'error').length
        for (const { severity, code, place, problem, cure } of problems) {
          tell(`${paint(severity === 'error' ? 'red' : 'yellow', `${severity} ${code}`)} ${place}: ${problem} ${cure}`)
        }
        tell(
          errors === 0
            ? paint('green', `${name} v${version} is sound.`)
            : `${name} v${version} has ${errors} error${errors === 1 ? '' : 's'}.`,
        )
      }
      const ok = checked.every(({ problems }) => problems.every((problem) => problem.severity !== 'error'))
      if (flags.json) printJson({ ok, agents: checked })
      leave(ok ? exitCodes.well : exitCodes.badly)
    })
}
