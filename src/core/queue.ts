// A queue is a name that an agent's tasks wait under, so that some workers take them and others leave them: those of a
// machine with a graphics card, those behind a firewall. It says where an agent is worked on and not what it is, so it is
// no part of its definition: tasks that are under way go on when their agent is moved to another queue.

import type { Agent } from './agent.ts'

/** Where tasks wait whose agent names no queue. */
const defaultQueue = 'default'

/** The queue that an agent's tasks wait in. */
export function queueOf({ queue = defaultQueue }: Pick<Agent, 'queue'>): string {
  return queue
}

/** Can this be a queue's name? */
export function isQueueName(name: unknown): boolean {
  return typeof name === 'string' && /^[\w.-]{1,64}$/.test(name)
}
