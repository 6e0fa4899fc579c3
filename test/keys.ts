// One made-up key of every shape, put together here so that no scanner takes this file for a leak.

const letters = (length: number): string => 'aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0z'.repeat(9).slice(0, length)
const hexadecimal = (length: number): string => '0123456789abcdef9f8e7d6c5b4a3210'.repeat(4).slice(0, length)
const upper = (length: number): string => letters(length).toUpperCase()
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const web = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Keys by the name of their shape; a word behind it tells several apart. */
export const keys: Readonly<Record<string, string>> = {
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
