// How many tokens a text will be, before anybody counts: an estimate, in time that grows with the text and not faster. Exact
// tokenizers are no use here: each model has its own, and they take seconds over a text that is made to hurt them.

import { estimateTokenCount } from 'tokenx'
import type { Message, Offer } from './model.ts'

/** Every message, call and result comes with some tokens of its own. */
const frame = 8

/** An estimate of a text's tokens. Runs of white space, which `tokenx` passes over, count a little. */
export function estimateTokens(text: string): number {
  return Math.max(estimateTokenCount(text), Math.ceil(text.length / 16))
}

/** An estimate of a message's tokens. */
export function messageTokens(message: Message): number {
  switch (message.role) {
    case 'system':
    case 'user':
      return frame + estimateTokens(message.text)
    case 'assistant':
      return message.content.reduce((sum, part) => {
        const text = part.type === 'call' ? `${part.id} ${part.name} ${JSON.stringify(part.arguments)}` : part.text
        return sum + frame + estimateTokens(text)
      }, frame)
    case 'tool':
      return message.results.reduce((sum, { id, value }) => {
        return (
          sum + frame + estimateTokens(id) + estimateTokens(typeof value === 'string' ? value : JSON.stringify(value))
        )
      }, frame)
  }
}

/** An estimate of the tokens of what a model is offered to call. */
export function offerTokens(offers: readonly Offer[]): number {
  return offers.reduce((sum, offer) => sum + frame + estimateTokens(JSON.stringify(offer)), 0)
}
