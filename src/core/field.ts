// Every field that a declaration may have. Another would be passed over in silence, and might have been a limit or a gate.

import type { Report } from './problem.ts'

const common = ['on', 'reads', 'writes', 'visits', 'timeout', 'visitTimeout', 'repeats', 'checkpoint', 'onFailure']

const fields = {
  agent: [
    'name',
    'version',
    'queue',
    'context',
    'initial',
    'limits',
    'policy',
    'strict',
    'onFailure',
    'onCancel',
    'signals',
    'on',
    'migrate',
    'states',
  ],
  limits: ['steps', 'toolCalls', 'handovers', 'duration', 'depth', 'descendants', 'tokens', 'cost', 'soft', 'onSoft'],
  key: ['schema', 'initial', 'merge', 'trust', 'privacy', 'outward'],
  exit: ['target', 'description', 'output', 'guard'],
  model: [
    ...common,
    'model',
    'instructions',
    'prompt',
    'tools',
    'turns',
    'refusals',
    'retry',
    'outputTokens',
    'outputTokensMin',
    'windowTokens',
    'temperature',
    'declassify',
  ],
  tool: [...common, 'tool', 'args', 'exit'],
  run: [...common, 'run', 'declassify'],
  human: [...common, 'human'],
  question: ['question', 'show', 'assignee', 'escalate'],
  wait: [...common, 'wait'],
  agentState: [...common, 'agent', 'limits', 'input', 'output', 'each', 'concurrency', 'join', 'failures'],
  quorum: ['quorum'],
  awaited: ['delay', 'signal', 'until'],
  final: ['type', 'failure', 'reads', 'output'],
  declassify: ['trust', 'privacy', 'reason'],
  sink: ['in'],
  approval: ['when', 'by', 'quorum', 'expires', 'assignee', 'escalate'],
  escalation: ['after', 'to'],
} as const

/** Reports every field of a declaration that means nothing. */
export function checkFields(kind: keyof typeof fields, value: object, place: string, report: Report): void {
  const known: readonly string[] = fields[kind]
  for (const field of Object.keys(value)) {
    if (known.includes(field)) continue
    const cure = `Remove it; there may be: ${known.join(', ')}.`
    report('FIELD_UNKNOWN', `${place}.${field}`, `${field} means nothing here.`, cure)
  }
}
