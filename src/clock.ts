// The clock that all workers of a store go by. Where the store has one of its own, as a database on another machine does,
// leases and deadlines are times of that one: it is asked now and then, and in between this machine only counts. So a
// machine whose clock is wrong, or is set while it works, changes nothing.

import type { Runtime } from './runtime.ts'
import type { Store } from './store/store.ts'

const asksAtOnce = 3
const askAgainMs = 30_000

/** A runtime by the store's clock, and how to stop asking. Where the store has none it is the runtime itself. */
export async function byClockOf(store: Store, runtime: Runtime): Promise<{ runtime: Runtime; stop: () => void }> {
  const first = await ask(store)
  if (first === undefined) return { runtime, stop: () => undefined }
  let [offsetMs, latestMs] = [first, 0]
  let stopped = false
  let cancel: () => void = () => undefined
  const again = (): void => {
    cancel = runtime.setTimer(askAgainMs, () => {
      // Who cannot be asked now is asked the next time.
      void ask(store)
        .then((offset) => {
          offsetMs = offset ?? offsetMs
        })
        .catch(() => undefined)
        .finally(() => {
          if (!stopped) again()
        })
    })
  }
  again()
  return {
    runtime: {
      ...runtime,
      // It never goes back, whatever the store's clock does.
      now: () => (latestMs = Math.max(latestMs, Math.floor(performance.now() + offsetMs))),
    },
    stop() {
      stopped = true
      cancel()
    },
  }
}

/** How far the store's clock is ahead of what this process counts; by the quickest answer, which is the closest. */
async function ask(store: Store): Promise<number | undefined> {
  let [bestMs, offsetMs] = [Infinity, 0]
  for (let asked = 0; asked < asksAtOnce; asked += 1) {
    const beforeMs = performance.now()
    const nowMs = await store.now()
    if (nowMs === undefined) return undefined
    const tookMs = performance.now() - beforeMs
    if (tookMs < bestMs) [bestMs, offsetMs] = [tookMs, nowMs - beforeMs - tookMs / 2]
  }
  return offsetMs
}
