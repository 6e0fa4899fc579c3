// A store that does some of what it is asked for in another way, for tests of what comes of that.

import type { Store } from '../src/store/store.ts'

/** The same store, but for what is given. */
export function changedStore(store: Store, changes: Partial<Store>): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(name in changes ? changes : target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
