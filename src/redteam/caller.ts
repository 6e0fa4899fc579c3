// How people speak to whoever works: as ever; and what they were told is done is remembered, to be held against the log.

import { taskOf } from '../core/item.ts'
import type { Orchestrator } from '../orchestrator.ts'
import type { Witness } from './witness.ts'

/** What somebody was told is done. `about`: the item, or the name of the signal. */
export interface Promised {
  readonly taskId: string
  readonly what: 'answer' | 'signal' | 'cancel' | 'rollback'
  readonly about?: string
  /** The hash that was agreed to. */
  readonly hash?: string
  /** A signal that counts once, however often it is sent. */
  readonly once?: true
}

/** The same orchestrator; whoever it says yes to is remembered. */
export function heardBy(box: Orchestrator, witness: Witness): Orchestrator {
  const remember =
    <Args extends readonly any[]>(say: (...args: Args) => Promise<unknown>, told: (...args: Args) => Promised) =>
    async (...args: Args): Promise<unknown> => {
      const answer = await say.apply(box, args as never)
      witness.told.push(told(...args))
      return answer
    }
  const spoken = {
    answer: remember(box.answer, (item, { hash }) => ({
      taskId: taskOf(item),
      what: 'answer',
      about: item,
      ...(hash === undefined ? {} : { hash }),
    })),
    signal: remember(box.signal, (taskId, { name, key }) => ({
      taskId,
      what: 'signal',
      about: name,
      ...(key === undefined ? {} : { once: true }),
    })),
    cancel: remember(box.cancel, (taskId) => ({ taskId, what: 'cancel' })),
    rollback: remember(box.rollback, (taskId) => ({ taskId, what: 'rollback' })),
  }
  return new Proxy(box, {
    get: (target, name) => {
      if (name in spoken) return spoken[name as keyof typeof spoken]
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
