// The tools of an agent: each by itself, and that no two have one name.

import type { Agent } from '../agent.ts'
import { checkToolBoundary } from '../boundary.ts'
import { isCeiling } from '../limits.ts'
import { quoted } from '../json.ts'
import type { Report } from '../problem.ts'
import { readOn } from '../read-on.ts'
import { quotaProblem } from '../quota.ts'
import type { Tool } from '../tool.ts'
import { checkCeiling, checkDuration, checkSchema, isCallName } from './parts.ts'

/** All tools of an agent. */
export function checkTools(agent: Agent, report: Report): void {
  const seen = new Map<string, Tool>()
  for (const [stateName, state] of Object.entries(agent.states)) {
    const place = `.states.${stateName}`
    const tools = state.model !== undefined ? (state.tools ?? []) : state.tool !== undefined ? [state.tool] : []
    const here = new Set(state.model === undefined ? [] : [readOn.name, ...Object.keys(state.on ?? {})])
    for (const tool of tools) {
      if (!checkTool(agent, tool, `${place}.tools`, report)) continue
      if (here.has(tool.name))
        report(
          'NAME_TWICE',
          `${place}.tools.${tool.name}`,
          `${tool.name} names two tools or exits of one state.`,
          'Rename one; a model could not tell them apart.',
        )
      here.add(tool.name)
      if ((seen.get(tool.name) ?? tool) !== tool)
        report(
          'NAME_TWICE',
          `${place}.tools.${tool.name}`,
          `${tool.name} names two different tools of one agent.`,
          'Rename one; the log could not tell them apart.',
        )
      seen.set(tool.name, tool)
    }
  }
}

function checkTool(agent: Agent, tool: Tool, place: string, report: Report): boolean {
  if (typeof tool !== 'object' || tool === null || !isCallName(tool.name)) {
    report(
      'TOOL_INVALID',
      place,
      'A tool has no valid name.',
      'Use defineTool, and 1 to 64 letters, digits, "_" or "-".',
    )
    return false
  }
  const where = `${place}.${tool.name}`
  if (typeof tool.execute !== 'function')
    report('TOOL_INVALID', where, 'The tool has no execute function.', 'Give it one.')
  if (tool.effect !== undefined && !['read', 'write', 'external'].includes(tool.effect)) {
    report('TOOL_INVALID', where, `There is no effect ${quoted(tool.effect)}.`, 'Use read, write or external.')
  }
  checkUndo(tool, `${where}.undo`, report)
  checkDuration(tool.timeout, `${where}.timeout`, report)
  const quota = quotaProblem(tool)
  if (quota !== undefined) report('LIMIT_INVALID', where, `${quota}.`, 'Change it.')
  checkCeiling(tool.retry?.attempts, `${where}.retry.attempts`, report)
  if (
    isCeiling(tool.retry?.attempts) &&
    tool.retry.attempts > 1 &&
    (tool.idempotent ?? (tool.effect ?? 'read') === 'read') === false
  ) {
    report(
      'TOOL_INVALID',
      where,
      'A tool that may not be called twice cannot be tried again.',
      'Make it idempotent by its key, or remove retry.',
    )
  }
  checkSchema(tool.inputSchema, `${where}.inputSchema`, report)
  checkToolBoundary(agent, tool, where, report)
  return true
}

function checkUndo({ undo, effect = 'read' }: Tool, place: string, report: Report): void {
  if (undo === undefined || effect !== 'read') return
  report(
    'TOOL_INVALID',
    place,
    'A tool that only reads has nothing to take back.',
    'Declare its effect, or remove undo.',
  )
}
