// A store whose commits are somebody else's to make, for tests of what comes of that.

import type { Store } from '../src/store/store.ts'

/** The same store, but for how it commits. */
export function withCommit(store: Store, commit: Store['commit']): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      return name === 'commit' ? commit : typeof value === 'function' ? value.bind(target) : value
    },
  })
}
