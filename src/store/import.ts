// Reads the file of a task (see export), and proves it before anything is believed: a file is anyone's words.

import { z } from 'zod'
import { messageOf } from '../core/fault.ts'
import { depthMax, isTooDeep, tooDeep } from '../core/json.ts'
import { exportInvalid, format } from './export.ts'
import { unseal, verifyChain } from './log.ts'
import { inMemory } from './payloads.ts'
import type { WholeTask } from './store.ts'

const hash = z.string().regex(/^[0-9a-f]{64}$/)
const shape = z.strictObject({
  format: z.literal(format),
  taskId: z.string().regex(/^[\w.:-]{1,128}$/),
  events: z
    .array(
      z.strictObject({
        taskId: z.string(),
        seq: z.int().min(1),
        at: z.int(),
        type: z.string(),
        data: z.string(),
        costMicros: z.int().nullable(),
        prevHash: hash,
        hash,
      }),
    )
    .min(1),
  payloads: z.array(
    z.strictObject({ seq: z.int().min(1), hash, salt: z.string().nullable(), body: z.string().nullable() }),
  ),
})

/** Reads a file, and proves it whole. Throws EXPORT_INVALID, naming what is wrong, or LOG_NEWER. */
export function readExport(text: string): WholeTask {
  const { taskId, events, payloads } = parse(text)
  const foreign = events.find((event) => event.taskId !== taskId)
  if (foreign) throw exportInvalid(`event ${foreign.seq} is of another task, ${foreign.taskId}`)
  const { seq, hash: last } = events.at(-1)!
  try {
    const { finding } = verifyChain(taskId, events, { seq, hash: last }, inMemory(payloads))
    if (finding) throw exportInvalid(finding.problem)
    for (const event of events) {
      // An event holds what came in by a few levels more.
      const { data } = unseal(event, inMemory(payloads))
      if (isTooDeep(data, depthMax + 10)) throw exportInvalid(`event ${event.seq}: ${tooDeep}`)
    }
  } catch (thrown) {
    if (thrown instanceof SyntaxError) throw exportInvalid('an event in it is no JSON object')
    throw thrown
  }
  return { taskId, events, payloads }
}

function parse(text: string): WholeTask {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (thrown) {
    throw exportInvalid(messageOf(thrown))
  }
  const parsed = shape.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw exportInvalid(`${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trim())
}
