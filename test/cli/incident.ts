// The incident example, run to its end at the command line: what other commands are tried on.

import { join } from 'node:path'
import { mockModel, root, signalbox, workplace } from './signalbox.ts'

/** Runs it as task `t`, with its restart approved. Answers with its folder, and the environment that has its model. */
export async function incident(): Promise<{ cwd: string; env: Record<string, string> }> {
  const example = (path: string): string => join(root, 'examples/incident', path)
  const cwd = await workplace()
  const env = await mockModel(example('script.ts'))
  const input = JSON.stringify({ log: example('shop.log') })
  await signalbox(['run', example('agent.ts'), '--id', 't', '--input', input], { cwd, env })
  const [item] = (await signalbox(['inbox', '--json'], { cwd })).json
  await signalbox(['answer', item.item, '--decision', 'approve', '--by', 'ana', '--reason', 'seen'], { cwd })
  await signalbox(['run', example('agent.ts'), '--id', 't'], { cwd, env })
  return { cwd, env }
}
