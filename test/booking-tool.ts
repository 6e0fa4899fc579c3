// A tool that changes the world and does nothing: what a machine played by values asks for.

import { z } from 'zod'
import { defineTool, type Tool } from '../src/core/tool.ts'

/** Takes a number; external and idempotent, unless said otherwise. */
export function bookingTool(name: string, change: Partial<Tool<any>> = {}): Tool<any> {
  return defineTool({
    name,
    description: name,
    inputSchema: z.object({ n: z.number() }),
    effect: 'external',
    idempotent: true,
    execute: () => null,
    ...change,
  })
}
