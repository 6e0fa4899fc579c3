// `signalbox graph FILE`: draws the machines of a file as text for mermaid.

import { Option, type Command } from 'commander'
import { holdShape } from '../core/check.ts'
import { graph } from '../graph.ts'
import { command, type Leave } from './command.ts'
import { chooseAgent, loadModule } from './module.ts'
import { exitCodes, print, printJson } from './terminal.ts'

export function graphCommand(leave: Leave): Command {
  return command('graph', 'draw a machine')
    .argument('<file>', 'a TypeScript or JavaScript module that exports agents')
    .option('--agent <name>', 'which agent (default: all)')
    .addOption(new Option('--format <format>', 'how').choices(['mermaid']).default('mermaid'))
    .action(async (file: string, flags: { agent?: string; json?: boolean }) => {
      const { agents } = await loadModule(file)
      const chosen = flags.agent === undefined ? agents : [chooseAgent(agents, flags.agent)]
      for (const agent of chosen) {
        holdShape(agent)
        if (flags.json) printJson({ agent: agent.name, version: agent.version, format: 'mermaid', text: graph(agent) })
        else print(graph(agent))
      }
      leave(exitCodes.well)
    })
}
