// Made-up keys of every shape, put together here so that no scanner takes this file for a leak; and what of them must not
// be found anywhere.

import { draw } from '../src/core/resilience.ts'

/** Made-up keys, and the parts of them that are secret. */
export interface Keys {
  /** By the name of their shape; a word behind it tells several apart. */
  readonly keys: Readonly<Record<string, string>>
  readonly needles: readonly string[]
}

/** One key of every shape, and no two alike. */
export function keysOf(seed: number): Keys {
  const needles: string[] = []
  let drawn = 0
  const made = (alphabet: string, length: number): string => {
    const at = (): string => alphabet[Math.floor(draw(seed, (drawn += 1), 1) * alphabet.length)]!
    // A digit and both cases are in every real key of this length.
    const text = Array.from({ length }, at).join('').slice(0, length)
    if (length >= 12) needles.push(text)
    return text
  }
  const small = 'abcdefghijklmnopqrstuvwxyz'
  const letters = (length: number): string => made(small + small.toUpperCase() + '0123456789', length - 3) + 'aZ9'
  const hexadecimal = (length: number): string => made('0123456789abcdef', length)
  const upper = (length: number): string => made(small.toUpperCase() + '234567', length)
  const base64 = (text: string): string => {
    const encoded = Buffer.from(text).toString('base64')
    needles.push(encoded)
    return encoded
  }
  const web = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const keys = {
    'private-key': `-----BEGIN RSA PRIVATE KEY-----\\n${letters(64)}\\n-----END RSA PRIVATE KEY-----`,
    'private-key cut': `-----BEGIN OPENSSH PRIVATE KEY-----\n${letters(64)}`,
    'aws-access-key': `AK${'IA'}${upper(16)}`,
    'aws-secret-key': `aws_secret_access_key = ${letters(40)}`,
    'github-token': `gh${'p_'}${letters(36)}`,
    'github-token fine': `github${'_pat_'}${letters(22)}_${letters(59)}`,
    'gitlab-token': `gl${'pat-'}${letters(20)}`,
    'anthropic-key': `sk-${'ant-'}api03-${letters(40)}-${letters(40)}AA`,
    'openai-key': `s${'k-'}${letters(48)}`,
    'openai-key project': `s${'k-proj-'}${letters(30)}-${letters(30)}_${letters(30)}`,
    'stripe-key': `sk_${'live_'}${letters(24)}`,
    'stripe-webhook-secret': `wh${'sec_'}${letters(32)}`,
    'slack-token': `xo${'xb-'}123456789012-123456789012-${letters(24)}`,
    'slack-token app': `xa${'pp-1-'}A0123456789-123456789012-${hexadecimal(32)}`,
    'slack-webhook': `https://hooks.slack.com/${'services'}/T01234567/B01234567/${letters(24)}`,
    'google-key': `AI${'za'}${letters(35)}`,
    'google-oauth-token': `ya${'29.'}${letters(60)}`,
    'google-oauth-secret': `GOC${'SPX-'}${letters(28)}`,
    'sendgrid-key': `S${'G.'}${letters(22)}.${letters(43)}`,
    'twilio-key': `S${'K'}${hexadecimal(32)}`,
    'npm-token': `np${'m_'}${letters(36)}`,
    'pypi-token': `pypi-${'AgE'}${letters(80)}`,
    'hugging-face-token': `h${'f_'}${letters(34)}`,
    'docker-token': `dckr_${'pat_'}${letters(27)}`,
    'digitalocean-token': `dop${'_v1_'}${hexadecimal(64)}`,
    'shopify-token': `shp${'at_'}${hexadecimal(32)}`,
    'telegram-token': `123456789:${'AA'}${letters(33)}`,
    'vault-token': `hv${'s.'}${letters(40)}`,
    'databricks-token': `da${'pi'}${hexadecimal(32)}`,
    'groq-key': `gs${'k_'}${letters(52)}`,
    'xai-key': `xa${'i-'}${letters(80)}`,
    'perplexity-key': `ppl${'x-'}${letters(48)}`,
    'replicate-token': `r${'8_'}${letters(37)}`,
    'linear-key': `lin${'_api_'}${letters(40)}`,
    'notion-token': `nt${'n_'}${letters(46)}`,
    'new-relic-key': `NR${'AK-'}${upper(27)}`,
    'atlassian-token': `ATA${'TT3'}${letters(100)}=${upper(8)}`,
    'age-key': `AGE-${'SECRET-KEY-1'}${upper(58)}`,
    'azure-key': `AccountKey${'='}${letters(86)}==`,
    jwt: `${web({ alg: 'HS256', typ: 'JWT' })}.${web({ sub: '1234567890', name: 'Ana' })}.${letters(43)}`,
    'bearer-token': `Authorization: Bearer ${letters(32)}`,
    'basic-credentials': `Authorization: Basic ${base64(`ana:${letters(16)}`)}`,
    'url-password': `postgres://app:${letters(14)}@db.example.com:5432/app`,
  }
  return { keys, needles }
}
