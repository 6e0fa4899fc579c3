// The front door: every public name, listed by hand.

export { defineAgent, isAgent } from './core/agent.ts'
export type {
  Agent,
  AgentDefinition,
  AgentState,
  ChildFailures,
  ChildResult,
  EngineExit,
  Exit,
  ExitDefinition,
  FinalState,
  HumanState,
  Join,
  Leaving,
  Migration,
  MigrationFrom,
  ModelState,
  RunState,
  State,
  ToolState,
  WaitState,
} from './core/agent.ts'
export { agentTool } from './core/agent-tool.ts'
export type { AgentToolOptions } from './core/agent-tool.ts'
export { check, examine } from './core/check.ts'
export type { Examination } from './core/check.ts'
export type { HumanAnswer, Signal } from './core/command.ts'
export { defineContext } from './core/context.ts'
export type { ContextDefinition, ContextOf, ContextShape, InputOf, KeyDefinition, Merge } from './core/context.ts'
export type { Duration } from './core/duration.ts'
export type { Event, EventData, EventType } from './core/event.ts'
export type { Deed } from './core/fork.ts'
export { Fault, isFault } from './core/fault.ts'
export type { FaultCode } from './core/fault.ts'
export type { Json, JsonObject } from './core/json.ts'
export type { Limits } from './core/limits.ts'
export type { Known } from './core/load.ts'
export type { Problem, ProblemCode } from './core/problem.ts'
export { usd } from './core/price.ts'
export type { Price, Usd } from './core/price.ts'
export type { Approval, Escalation } from './core/approval.ts'
export type { DeclaredLabel, Label, Privacy, Trust } from './core/label.ts'
export type { Judged, Rule, Verdict } from './core/policy.ts'
export { rules } from './core/rules.ts'
export type { Bound } from './core/rules.ts'
export type { Quota } from './core/quota.ts'
export type { Answer, Message, Model, ModelRequest, Reply } from './core/model.ts'
export type { Overlap } from './core/schedule.ts'
export type { Schema } from './core/schema.ts'
export type { TaskStatus, Usage } from './core/task.ts'
export type { Time } from './core/time.ts'
export { defineTool } from './core/tool.ts'
export type { Effect, Reconciled, Tool, ToolCall } from './core/tool.ts'
export type { Ceilings, StateWorst, Worst } from './core/worst.ts'
export type { FollowOptions } from './follow.ts'
export { graph } from './graph.ts'
export type { Webhook } from './notifier.ts'
export { createOrchestrator } from './orchestrator.ts'
export type { Orchestrator, OrchestratorOptions, RollbackEffect, RollbackPlan, TaskHandle } from './orchestrator.ts'
export type { Audit, VerifyOptions } from './requests/audit.ts'
export type { StartOptions } from './requests/begin.ts'
export type { Erased, EraseOptions } from './requests/erase.ts'
export type { Forked, ForkOptions } from './requests/fork.ts'
export type { ScheduleOptions } from './requests/timetable.ts'
export { rehearse } from './rehearse.ts'
export type { Rehearsed } from './rehearse.ts'
export type { SaidByModel, SaidByPerson, SaidByTool, Testimony } from './core/testimony.ts'
export { pinOf } from './outfit.ts'
export type { TaskView } from './view.ts'
export { fromAiSdk } from './providers/ai-sdk.ts'
export { startMockServer } from './providers/mock-server.ts'
export { scriptedModel } from './providers/scripted.ts'
export type { Script, ScriptAnswer, ScriptRequest } from './providers/scripted.ts'
export { createKeys } from './store/key.ts'
export type { Checkpoint } from './store/register.ts'
export { systemRuntime } from './runtime.ts'
export type { Runtime } from './runtime.ts'
export type { Redaction, SecretSource, SecretTable } from './secrets.ts'
export type { Finding, GateRow, InboxRow, LoggedEvent, ScheduleRow, Store, TaskRow } from './store/store.ts'
export type { Pulse } from './worker.ts'
