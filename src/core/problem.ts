// A problem is one thing that is wrong with a machine, by a stable code, with its place and its cure. `docs/CHECK.md` lists
// them all.

/** What can be wrong with a machine. */
export type ProblemCode =
  | 'NAME_INVALID'
  | 'NAME_RESERVED'
  | 'NAME_TWICE'
  | 'STATE_KIND'
  | 'STATE_UNREACHABLE'
  | 'STATE_DEAD_END'
  | 'FINAL_MISSING'
  | 'INITIAL_UNKNOWN'
  | 'TARGET_UNKNOWN'
  | 'EXIT_MISSING'
  | 'EXIT_INVALID'
  | 'KEY_UNKNOWN'
  | 'KEY_INVALID'
  | 'WRITE_UNDECLARED'
  | 'SIGNAL_UNKNOWN'
  | 'TOOL_INVALID'
  | 'CHILD_INVALID'
  | 'SCHEMA_INVALID'
  | 'LIMIT_INVALID'
  | 'FIELD_UNKNOWN'
  | 'FIELD_INVALID'
  | 'LABEL_INVALID'
  | 'SINK_INVALID'
  | 'EGRESS_INVALID'
  | 'APPROVAL_INVALID'
  | 'ESCALATION_INVALID'
  | 'POLICY_INVALID'
  | 'DECLASSIFY_INVALID'
  | 'FLOW_UNGATED'
  | 'MIGRATION_INVALID'
  | 'MIGRATION_MISSING'
  | 'MIGRATION_STATE'
  | 'MIGRATION_KEY'
  | 'MIGRATION_UNTOLD'
  | 'ROUTE_MISSING'
  | 'SINKS_MISSING'
  | 'LOOP_DEFAULT'
  | 'HANDOVER_LOOP'
  | 'DEPTH_EXCEEDED'
  | 'PARALLEL_WRITE'

/** One thing that is wrong, where, and how to mend it. A warning does not keep the machine from running. */
export interface Problem {
  readonly severity: 'error' | 'warning'
  readonly code: ProblemCode
  /** `investigator.states.search.on.FOUND`. */
  readonly place: string
  readonly problem: string
  readonly cure: string
}

/** Takes down a problem. `place` begins with the dot behind the agent's name. */
export type Report = (code: ProblemCode, place: string, problem: string, cure: string) => void

const warnings: ReadonlySet<ProblemCode> = new Set<ProblemCode>([
  'ROUTE_MISSING',
  'SINKS_MISSING',
  'LOOP_DEFAULT',
  'HANDOVER_LOOP',
  'DEPTH_EXCEEDED',
  'PARALLEL_WRITE',
  'MIGRATION_UNTOLD',
])

/** Does a problem keep the machine from running? */
export function severityOf(code: ProblemCode): Problem['severity'] {
  return warnings.has(code) ? 'warning' : 'error'
}
