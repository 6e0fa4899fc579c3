// The testing kit, for suites of your own (`signalbox/testing`): an agent by values (given, when, then); a world with one seed in
// which a machine is played, faults to aim at it, the invariants that it is held to, and the campaign that tries all of them; a
// worker that is killed, and a service that writes down what was done at it.

export { given } from './testing/given.ts'
export type { Came, Given } from './testing/given.ts'
export {
  answer,
  cancel,
  childEnds,
  functionFails,
  functionReturns,
  modelCalls,
  modelFails,
  modelSays,
  rollback,
  signal,
  timePasses,
  toolAnswers,
  toolFails,
  workerDies,
} from './testing/happening.ts'
export type { Happening, Saying } from './testing/happening.ts'
export { event, no } from './testing/pattern.ts'
export type { Pattern, Some } from './testing/pattern.ts'
export type { Subject } from './testing/trial.ts'
export { actedTwice, ledger } from './testing/ledger.ts'
export type { Entry, Ledger, LedgerOptions } from './testing/ledger.ts'
export { outlive } from './testing/outlive.ts'
export type { Crash, Outlived, Working } from './testing/outlive.ts'

export { VirtualClock } from './virtual-clock.ts'
export type { Life } from './virtual-clock.ts'
export { campaign } from './redteam/campaign.ts'
export type { Breach, Campaign, CampaignOptions, Cell, Expectation, Row } from './redteam/campaign.ts'
export { defineFault, faultKinds } from './redteam/fault-kinds.ts'
export type { FaultKind, Layer, ModelMoment, ToolMoment } from './redteam/fault-kinds.ts'
export { invariants } from './redteam/invariants.ts'
export type { Invariant } from './redteam/invariants.ts'
export { fault, state, tool, transition, writePoint } from './redteam/plan.ts'
export type { Aim, Place } from './redteam/plan.ts'
export type { Target } from './redteam/route.ts'
export { play } from './redteam/world.ts'
export type { Outside, Scene } from './redteam/scene.ts'
export type { Act, Asked, Evidence, Holding, Injection, Told, Violation } from './redteam/evidence.ts'
export { scriptedModel } from './providers/scripted.ts'
export type { Script, ScriptAnswer, ScriptRequest } from './providers/scripted.ts'
