// Pays invoices: a model reads one, a person agrees to exactly what is paid, and nobody is paid twice. Its suite is clerk.test.ts.

import { defineAgent, defineContext, defineTool, type Reconciled, type ToolCall } from 'signalbox'
import { z } from 'zod'

const payment = z.object({ account: z.string(), cents: z.int().positive() })

/** What the clerk works with outside. */
export interface Bank {
  readonly pay: (what: z.infer<typeof payment>, call: ToolCall) => Promise<{ paid: number }>
  readonly wasPaid?: (what: z.infer<typeof payment>, call: ToolCall) => Reconciled<{ paid: number }>
}

const readInvoice = defineTool({
  name: 'read_invoice',
  description: 'Reads an invoice that somebody has sent.',
  inputSchema: z.object({ invoice: z.string() }),
  trust: 'untrusted',
  execute: ({ invoice }) => `Invoice ${invoice}: 40 euros, to DE02.`,
})

/** The clerk of a bank. */
export function clerkOf(bank: Bank) {
  const pay = defineTool({
    name: 'pay',
    description: 'Pays a sum.',
    inputSchema: payment,
    effect: 'external',
    sinks: ['account', 'cents'],
    approval: { expires: '2d' },
    timeout: '10s',
    execute: bank.pay,
    ...(bank.wasPaid ? { reconcile: bank.wasPaid } : {}),
  })
  return defineAgent({
    name: 'clerk',
    version: '1',
    context: defineContext({
      invoice: z.string(),
      account: z.string().optional(),
      cents: z.int().positive().optional(),
    }),
    limits: { steps: 12 },
    initial: 'read',
    on: {
      $error: 'unpaid',
      $timeout: 'unpaid',
      $turns: 'unpaid',
      $refused: 'unpaid',
      $stuck: 'unpaid',
      $limit: 'unpaid',
    },
    states: {
      read: {
        model: 'main',
        prompt: ({ context }) => `Read invoice ${context.invoice}. Who gets how much?`,
        tools: [readInvoice],
        reads: ['invoice'],
        turns: 3,
        timeout: '30s',
        on: { READ: { target: 'pay', output: payment } },
      },
      pay: {
        tool: pay,
        args: ({ context }) => ({ account: context.account ?? '', cents: context.cents ?? 0 }),
        reads: ['account', 'cents'],
        on: { DONE: 'paid', $refused: 'unpaid', $doubt: 'ask' },
      },
      ask: {
        human: { question: ({ context }) => `Has ${context.account} been paid?` },
        timeout: '7d',
        reads: ['account'],
        on: { YES: 'paid', NO: 'unpaid' },
      },
      paid: { type: 'final' },
      unpaid: { type: 'final', failure: true },
    },
  })
}

export const clerk = clerkOf({ pay: ({ cents }) => Promise.resolve({ paid: cents }) })

export default { agents: [clerk] }
