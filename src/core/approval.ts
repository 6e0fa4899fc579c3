// An approval is a person's yes to one call: this tool, these arguments, under this policy. It is bound to the hash of
// the three, so it fits nothing else; it is used once, it expires, and where more than one must agree they are named.

import { toMs, type Duration } from './duration.ts'
import { defaults } from './limits.ts'

/** To whom something goes that nobody has answered, and after how long since it was asked. */
export interface Escalation {
  readonly after: Duration
  readonly to: string
}

/** How a tool is approved. */
export interface Approval {
  /** `always` (default), or `asked`: only when the policy asks. */
  readonly when?: 'always' | 'asked'
  /** Only these people may decide. Default: anyone who can reach the store. */
  readonly by?: readonly string[]
  /** How many of them must agree; one who does not is enough to refuse. Default 1. */
  readonly quorum?: number
  /** How long it is waited for; then it is refused. Default 24 h. */
  readonly expires?: Duration
  /** Who is expected to decide. */
  readonly assignee?: string
  /** To whom it goes when nobody has answered for so long. */
  readonly escalate?: readonly Escalation[]
}

/** An approval's terms, ready. Durations are in milliseconds. */
export interface ApprovalTerms {
  readonly always: boolean
  readonly by: readonly string[] | undefined
  readonly quorum: number
  readonly expiresMs: number
  readonly assignee: string | undefined
  readonly ladder: readonly Rung[]
}

/** One step of an escalation: after how long, and to whom. */
export interface Rung {
  readonly afterMs: number
  readonly to: string
}

/** The terms of a tool that is only asked about when the policy says so. */
export const defaultApproval: ApprovalTerms = {
  always: false,
  by: undefined,
  quorum: 1,
  expiresMs: defaults.approvalMs,
  assignee: undefined,
  ladder: [],
}

/** Makes a tool's approval ready. Throws DURATION_INVALID. */
export function resolveApproval(approval: 'always' | Approval | undefined): ApprovalTerms {
  if (approval === undefined) return defaultApproval
  if (approval === 'always') return { ...defaultApproval, always: true }
  const { when, by, quorum, expires, assignee, escalate } = approval
  return {
    always: when !== 'asked',
    by,
    quorum: quorum ?? 1,
    expiresMs: expires === undefined ? defaults.approvalMs : toMs(expires),
    assignee,
    ladder: ladderOf(escalate),
  }
}

/** An escalation ladder, ready, its first rung first. Throws DURATION_INVALID. */
export function ladderOf(escalate: readonly Escalation[] = []): readonly Rung[] {
  return escalate.map(({ after, to }) => ({ afterMs: toMs(after), to })).sort((a, b) => a.afterMs - b.afterMs)
}
