// The testing kit, for suites of your own (`signalbox/testing`): a world with one seed in which a machine is played, faults to
// aim at it, the invariants that it is held to, and the campaign that tries all of them.

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
