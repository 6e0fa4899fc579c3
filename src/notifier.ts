// Tells a webhook that something waits for a human: from the store, where what is to be told is kept until it has been
// taken. Signed as Standard Webhooks are (standardwebhooks.com: HMAC-SHA256 over id, time and body), so that who receives
// it can tell it from anyone else's words, and can tell a second delivery by its id.

import { createHmac } from 'node:crypto'
import { Alarm } from './alarm.ts'
import { Fault, messageOf } from './core/fault.ts'
import { head, quoted } from './core/json.ts'
import type { Failure } from './core/model.ts'
import { told, type Delivery } from './core/notice.ts'
import { decideOn, type Desk } from './door.ts'
import { retryAfter } from './providers/failure.ts'
import type { InboxRow, NoticeRow } from './store/store.ts'

/** Where inbox items are told of. */
export interface Webhook {
  readonly url: string
  /** What the signature is made with: at least 24 characters. */
  readonly secret: string
  readonly headers?: Readonly<Record<string, string>>
  /** How long one delivery may take. Default 10 s. */
  readonly timeoutMs?: number
}

/** What a notifier needs. */
export interface NotifierOptions extends Desk {
  readonly webhook: Webhook
  readonly pollMs: number
  readonly onFault: (fault: unknown, taskId?: string) => void
}

const timeoutMs = 10_000
const atOnce = 8

/** Throws CONFIG_INVALID when a webhook cannot work. */
export function proveWebhook({ url, secret }: Webhook): void {
  const invalid = (problem: string, cure: string): Fault =>
    new Fault('CONFIG_INVALID', `The webhook: ${problem}.`, cure)
  if (typeof url !== 'string' || !URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw invalid(`${quoted(url)} is not an address of the web`, 'Use https://….')
  }
  if (typeof secret !== 'string' || secret.length < 24) {
    throw invalid('its secret is too short to sign with', 'Use at least 24 characters that nobody can guess.')
  }
}

/** The signature of one delivery, as its receiver must find it. `timestamp` is in seconds since 1970. */
export function signatureOf(secret: string, id: string, timestamp: number, body: string): string {
  return `v1,${createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64')}`
}

/** Delivers notices until it is stopped. */
export class Notifier {
  readonly #options: NotifierOptions
  #stopped = false
  readonly #alarm: Alarm
  #unwatch: () => void = () => undefined
  #loop: Promise<void> | undefined
  readonly #aborter = new AbortController()

  constructor(options: NotifierOptions) {
    this.#options = options
    this.#alarm = new Alarm(options.runtime)
  }

  /** Begins to deliver. */
  start(): void {
    this.#unwatch = this.#options.store.watch(({ waitsFor }) => {
      if (waitsFor === 'human') this.#alarm.ring()
    })
    this.#loop ??= this.#run()
  }

  /** Calls off what is being delivered; it will be delivered again. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#unwatch()
    this.#aborter.abort()
    this.#alarm.ring()
    await this.#loop
  }

  async #run(): Promise<void> {
    const { store, runtime, webhook, pollMs, onFault } = this.#options
    const leaseMs = 2 * (webhook.timeoutMs ?? timeoutMs)
    while (!this.#stopped) {
      try {
        const notices = await store.claimNotices({ nowMs: runtime.now(), leaseMs, limit: atOnce })
        await Promise.all(notices.map((notice) => this.#deliver(notice)))
        if (notices.length === atOnce) continue
      } catch (thrown) {
        if (!this.#stopped) onFault(thrown)
      }
      if (!this.#stopped) await this.#alarm.sleep(pollMs)
    }
  }

  async #deliver(notice: NoticeRow): Promise<void> {
    // Of a task that only a newer engine can read nothing is told: that it was could not be written down.
    await this.#options.store.load(notice.taskId)
    const delivery = await this.#post(notice)
    if (this.#stopped && !delivery.ok) return
    while (!(await decideOn(this.#options, notice.taskId, 'answer', (work) => told(work, notice, delivery))));
  }

  async #post(notice: NoticeRow): Promise<Delivery> {
    const { runtime, webhook } = this.#options
    const startedMs = runtime.now()
    const body = JSON.stringify({ type: 'inbox.item', ...this.#tell(notice) })
    const timestamp = Math.floor(startedMs / 1_000)
    const limit = AbortSignal.timeout(webhook.timeoutMs ?? timeoutMs)
    const latencyMs = (): number => Math.max(0, runtime.now() - startedMs)
    try {
      const response = await fetch(webhook.url, {
        method: 'POST',
        body,
        redirect: 'error',
        signal: AbortSignal.any([limit, this.#aborter.signal]),
        headers: {
          ...webhook.headers,
          'content-type': 'application/json',
          'webhook-id': notice.noticeId,
          'webhook-timestamp': String(timestamp),
          'webhook-signature': signatureOf(webhook.secret, notice.noticeId, timestamp, body),
        },
      })
      await response.body?.cancel()
      const { ok, status } = response
      if (ok) return { ok, status, latencyMs: latencyMs() }
      return { ok: false, failure: refusalOf(response, runtime.now()), latencyMs: latencyMs() }
    } catch (thrown) {
      const message = limit.aborted
        ? 'It did not answer in time.'
        : head(this.#options.terms.redact.text(messageOf(thrown)), 200)
      // A webhook that is slow today may be quick tomorrow: a timeout passes, as a lost connection does.
      return { ok: false, failure: { class: 'transport', message }, latencyMs: latencyMs() }
    }
  }

  /** What is told of an item: all that the inbox shows. */
  #tell({ noticeId: _id, attempt, delayMs: _delay, ...row }: NoticeRow): InboxRow & { attempt: number } {
    return { ...row, attempt }
  }
}

function refusalOf({ status, headers }: Response, nowMs: number): Failure {
  const message = `It answered with HTTP ${status}.`
  const asked = retryAfter(Object.fromEntries(headers), nowMs)
  const wait = asked === undefined ? {} : { retryAfterMs: asked }
  if (status === 429) return { class: 'rate-limit', message, status, ...wait }
  if (status >= 500 || status === 408) return { class: 'overload', message, status, ...wait }
  return { class: 'invalid-request', message, status }
}
