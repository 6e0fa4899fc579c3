// A process that works a task through twenty effects, takes it back to one of them, and lets it run again, or cancels it, so that
// it takes all of them back; and that can be killed while it does so: at a write point for the n-th time, or in an undo, before or after it acted. Run again on
// the same store, it goes on where it was.
//
// node rollback-child.ts STORE LEDGER BACK|cancel 'POINT PHASE N'

import { systemRuntime, type Probe } from '../../src/runtime.ts'
import { openStore } from '../../src/store/open.ts'
import { createOrchestrator } from '../../src/orchestrator.ts'
import { entryOf, ledgerOf, twenty } from '../twenty.ts'

const [address, ledgerPath, back, killAt] = process.argv.slice(2) as [string, string, string, string]

const places: Record<string, number> = {}
let backwards = false
const visit = (place: string): void => {
  if (!backwards) return
  places[place] = (places[place] ?? 0) + 1
  if (`${place} ${places[place]}` === killAt) process.kill(process.pid, 'SIGKILL')
}
const probe: Probe = (point, phase) => visit(`${point} ${phase}`)

const store = await openStore(address, { runtime: { ...systemRuntime, probe } })
const agent = { ...twenty(ledgerOf(ledgerPath), (phase) => visit(`undo ${phase}`)), onCancel: 'undo' as const }
const box = await createOrchestrator({ store, agents: [agent], runtime: { ...systemRuntime, probe }, leaseMs: 300 })
const task = await box.start(agent, {}, { id: 't' })
await task.rest()
const events = await store.read('t')
if (!events.some(({ type }) => type === 'rollback.started')) {
  backwards = true
  if (back === 'cancel') await box.cancel('t', { by: 'ana', reason: 'not wanted' })
  else await box.rollback('t', { to: entryOf(events, back), by: 'ana', reason: 'wrong from there' })
}
await task.rest()
await box.stop()
await store.close()
