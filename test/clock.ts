// The clock of the testing kit, for tests of vitest: what it opens is closed when the running test ends.

import { onTestFinished } from 'vitest'
import { VirtualClock as Clock } from '../src/virtual-clock.ts'
import type { Store } from '../src/store/store.ts'

export class VirtualClock extends Clock {
  override async open(address: string): Promise<Store> {
    const store = await super.open(address)
    onTestFinished(() => store.close())
    return store
  }
}
