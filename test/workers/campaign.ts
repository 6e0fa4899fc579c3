// A worker of the campaign against the engine. It writes down what was acknowledged to it before it goes on.
//
// node campaign.ts STORE SERVICE ACKNOWLEDGED

import { appendFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { isFault } from '../../src/core/fault.ts'
import { createOrchestrator } from '../../src/orchestrator.ts'
import { systemRuntime } from '../../src/runtime.ts'
import { openStore } from '../../src/store/open.ts'
import { agents, main } from './campaign-agents.ts'

const [, , address, , acknowledged] = process.argv as unknown as [string, string, string, string, string]
const open = async (): Promise<Awaited<ReturnType<typeof openStore>>> => {
  for (;;) {
    try {
      return await openStore(address, { runtime: systemRuntime })
    } catch (thrown) {
      if (!isFault(thrown)) throw thrown
      await pause(200)
    }
  }
}
const store = await open()
store.watch(({ taskId, seq }) => appendFileSync(acknowledged, `${taskId} ${seq}\n`))
for (;;) {
  try {
    await createOrchestrator({
      store,
      agents,
      models: { main },
      leaseMs: 1_500,
      concurrency: 20,
      onFault: () => undefined,
    })
    break
  } catch (thrown) {
    if (!isFault(thrown)) throw thrown
    await pause(200)
  }
}
process.stdout.write('works\n')
