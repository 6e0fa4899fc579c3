// A script from a module or a JSON file, which may hold anything.

import { z } from 'zod'
import { Fault } from '../core/fault.ts'
import { isTooDeep, tooDeep } from '../core/json.ts'
import type { Script } from './scripted.ts'

const answerShape = z.strictObject({
  text: z.string().optional(),
  reasoning: z.string().optional(),
  calls: z
    .array(
      z.strictObject({
        name: z.string(),
        arguments: z.json().optional(),
        raw: z.string().optional(),
        id: z.string().optional(),
      }),
    )
    .optional(),
  finish: z.enum(['stop', 'length', 'content-filter', 'tool-calls', 'error', 'other']).optional(),
  usage: z.record(z.string(), z.unknown()).optional(),
  delayMs: z.number().nonnegative().optional(),
  status: z.int().min(200).max(599).optional(),
  headers: z.record(z.string(), z.string()).optional(),
  body: z.string().optional(),
  drop: z.enum(['before', 'middle']).optional(),
  hang: z.boolean().optional(),
})

/** Reads what a module or a JSON file holds as a script. Throws SCRIPT_INVALID, naming the answer and the field. */
export function loadScript(value: unknown): Script {
  if (typeof value === 'function') return value as Script
  const invalid = (problem: string): Fault =>
    new Fault(
      'SCRIPT_INVALID',
      `The script is not one: ${problem}.`,
      'Export a list of answers, or a function of the request, as default.',
    )
  if (isTooDeep(value)) throw invalid(tooDeep)
  const parsed = z.array(answerShape).min(1).safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw invalid(`${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`)
}
