// A process that works on a schedule of every second until three of its tasks have ended, and that can be killed when it
// comes to a write point for the n-th time. Run again on the same store, it goes on where it was.
//
// node schedule-child.ts STORE 'POINT PHASE N'

import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { isFault } from '../../src/core/fault.ts'
import { createOrchestrator } from '../../src/orchestrator.ts'
import { systemRuntime, type Probe } from '../../src/runtime.ts'
import { openStore } from '../../src/store/open.ts'

const [address, killAt] = process.argv.slice(2) as [string, string]

const places: Record<string, number> = {}
const probe: Probe = (point, phase) => {
  const place = `${point} ${phase}`
  places[place] = (places[place] ?? 0) + 1
  if (`${place} ${places[place]}` === killAt) process.kill(process.pid, 'SIGKILL')
}

const quick = defineAgent({
  name: 'quick',
  version: '1',
  context: defineContext({}),
  initial: 'work',
  on: { $error: 'failed', $timeout: 'failed' },
  states: {
    work: { run: () => 'NEXT', on: { NEXT: 'done' } },
    done: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

const store = await openStore(address, { runtime: { ...systemRuntime, probe } })
const box = await createOrchestrator({ store, agents: [quick], runtime: { ...systemRuntime, probe }, leaseMs: 300 })
const said = { by: 'ana', reason: 'often' }
try {
  await box.schedule('often', { agent: quick, cron: '* * * * * *', overlap: 'queue', ...said })
} catch (thrown) {
  if (!isFault(thrown, 'SCHEDULE_EXISTS')) throw thrown
}
const until = async (holds: () => Promise<boolean>): Promise<void> => {
  while (!(await holds())) await new Promise((wake) => setTimeout(wake, 20))
}
await until(async () => (await box.tasks({ status: 'done' })).length >= 3)
await box.unschedule('often', { by: 'ana', reason: 'enough' })
await until(async () => (await box.tasks()).every(({ status }) => status === 'done'))
await box.stop()
await store.close()
