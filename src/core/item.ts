// The id of an inbox item is its task's id, a dot, and the number of the event that asked: `t1.6`. So it is known before
// the item is looked up to which task it belongs.

/** The id of the item that an event of a task opens. */
export function itemIdOf(taskId: string, seq: number): string {
  return `${taskId}.${seq}`
}

/** The task that an item's id names; empty when it names none. */
export function taskOf(item: string): string {
  return item.slice(0, Math.max(0, item.lastIndexOf('.')))
}

/** The event that an item's id names; NaN when it names none. */
export function seqOf(item: string): number {
  return Number(item.slice(item.lastIndexOf('.') + 1))
}
