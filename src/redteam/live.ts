// Real models in a simulated world: a script that asks them. The clock of the world stands still while they think, so a run is no
// slower for them than they say; what they answer is theirs, and no seed brings it back.

import { defaults } from '../core/limits.ts'
import type { Answer, Failure, FailureClass, Model, Reply } from '../core/model.ts'
import type { Script, ScriptAnswer } from '../providers/scripted.ts'

/** Plays models by asking real ones, by the names that agents use. `asked` is told of every call before it is made. */
export function liveScript(models: ReadonlyMap<string, Model>, asked: () => void): Script {
  return async ({ model, messages, offers, outputTokensMax = defaults.outputTokens, temperature }) => {
    asked()
    const request = { messages, offers, outputTokensMax, ...(temperature === undefined ? {} : { temperature }) }
    return scripted(await models.get(model)!.call(request, AbortSignal.timeout(patienceMs)))
  }
}

// The deadline of a state is the world's, and cannot come while the clock stands still.
const patienceMs = 120_000

/** A real answer as a script gives it. */
function scripted(reply: Reply): ScriptAnswer {
  return reply.ok ? said(reply.answer) : failed(reply.failure)
}

function said({ content, finish, usage }: Answer): ScriptAnswer {
  const words = (type: 'text' | 'reasoning'): string =>
    content.flatMap((part) => (part.type === type ? part.text : [])).join('\n')
  const calls = content.flatMap((part) => {
    if (part.type !== 'call') return []
    const { id, name, arguments: input, raw } = part
    return [{ id, name, ...(raw === undefined ? {} : { raw }), ...(input === undefined ? {} : { arguments: input }) }]
  })
  const [text, reasoning] = [words('text'), words('reasoning')]
  return {
    ...(text === '' ? {} : { text }),
    ...(reasoning === '' ? {} : { reasoning }),
    calls,
    finish,
    usage: { ...usage },
  }
}

/** A failure in the words of the wire, from which it is read as the same again. */
function failed({ class: kind, status, retryAfterMs }: Failure): ScriptAnswer {
  if (kind === 'timeout' || kind === 'abort') return { hang: true }
  if (kind === 'transport') return { drop: 'before' }
  if (kind === 'malformed') return { body: '' }
  const [usual, code] = wire[kind] ?? [503, 'failing']
  return {
    status: status ?? usual,
    body: JSON.stringify({ error: { code } }),
    ...(retryAfterMs === undefined ? {} : { headers: { 'retry-after-ms': String(retryAfterMs) } }),
  }
}

const wire: { readonly [Kind in FailureClass]?: readonly [status: number, code: string] } = {
  auth: [401, 'not_accepted'],
  'rate-limit': [429, 'rate_limit'],
  'spend-limit': [429, 'insufficient_quota'],
  'context-overflow': [400, 'context_length_exceeded'],
  'content-filter': [400, 'content_filter'],
  'invalid-request': [400, 'invalid_request'],
}
