// What must hold whatever goes wrong. Each invariant is judged from evidence alone: the log as it was hashed, what the
// outside saw, what models were asked. No model has an opinion here. An invariant answers with what breaks it, in words.

import {
  agreedTo,
  answeredInTime,
  done,
  heardInTime,
  holders,
  oneAtATime,
  seenBefore,
  signalsKept,
  unknownIsKnown,
} from './judges/kept-word.ts'
import type { Evidence } from './evidence.ts'
import { asItWas, durable, heardOnce, sharedOnly, takenBackOnce } from './judges/history.ts'
import { chains, verified, folds, transitions } from './judges/log.ts'
import { effects, orders, secrets, strangers } from './judges/outside.ts'
import { budgets, limits, deadlines, overdue, liveness, inVain } from './judges/limits.ts'
import { approvals } from './judges/people.ts'
import { request, breakers, retries } from './judges/models.ts'

/** Something that must hold. `breaks` says where it does not; nothing where it holds. */
export interface Invariant {
  readonly id: string
  readonly what: string
  readonly breaks: (evidence: Evidence) => readonly string[]
}

/** The invariants that every play is held to. */
export const invariants: readonly Invariant[] = [
  { id: 'I1', what: 'the chain of every log verifies', breaks: (all) => [...chains(all), ...verified(all, false)] },
  {
    id: 'I2',
    what: 'folding the events gives what is stored',
    breaks: (all) => [...folds(all), ...verified(all, true)],
  },
  { id: 'I3', what: 'every transition is declared', breaks: ({ tasks }) => tasks.flatMap(transitions) },
  {
    id: 'I4',
    what: 'no effect twice for one key, and none blindly again',
    breaks: (all) => [...effects(all), ...unknownIsKnown(all)],
  },
  { id: 'I5', what: 'what was acknowledged is in the log', breaks: (all) => [...durable(all), ...done(all)] },
  { id: 'I6', what: 'settled and reserved stay within every budget', breaks: budgets },
  { id: 'I7', what: 'limits of steps and tool calls are exact', breaks: ({ tasks }) => tasks.flatMap(limits) },
  {
    id: 'I8',
    what: 'nothing outlives its deadline',
    breaks: (all) => [...all.tasks.flatMap((told) => deadlines(told, all.slackMs)), ...overdue(all)],
  },
  {
    id: 'I9',
    what: 'every task ends, or waits for somebody',
    breaks: (all) => [
      ...liveness(all),
      ...inVain(all),
      ...heardInTime(all),
      ...answeredInTime(all),
      ...all.tasks.flatMap(signalsKept),
    ],
  },
  {
    id: 'I10',
    what: 'no gated effect without an approval of exactly it',
    breaks: (all) => [...all.tasks.flatMap(approvals), ...agreedTo(all)],
  },
  { id: 'I11', what: 'no secret in any event or request', breaks: secrets },
  {
    id: 'I12',
    what: 'every model request is well formed',
    breaks: ({ asked }) => asked.flatMap(({ messages }) => request(messages)),
  },
  {
    id: 'I13',
    what: 'a task is in the hands of one, and whoever has lost it is not heard',
    breaks: (all) => [...holders(all), ...oneAtATime(all), ...all.tasks.flatMap(heardOnce)],
  },
  { id: 'I14', what: 'nobody calls through an open breaker', breaks: ({ written }) => breakers(written) },
  { id: 'I15', what: 'tries and delays stay within policy', breaks: ({ tasks }) => tasks.flatMap(retries) },
  {
    id: 'I17',
    what: 'a task reads of others only what they share with it',
    breaks: (all) => [...sharedOnly(all), ...strangers(all)],
  },
  {
    id: 'I18',
    what: 'what is taken back is taken back once, the latest first, and all is as it was',
    breaks: ({ tasks }) => tasks.flatMap((told) => [...takenBackOnce(told), ...asItWas(told)]),
  },
  { id: 'X2', what: 'nothing is written over that was not seen', breaks: ({ tasks }) => tasks.flatMap(seenBefore) },
  { id: 'X1', what: "no stranger's order decides who gets what, unasked", breaks: orders },
]
