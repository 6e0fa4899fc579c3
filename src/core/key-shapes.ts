// The shapes of keys that the world gives out: what a credential looks like that nobody told us about. A shape is here
// only when it cannot well be anything else; hashes, ids and names of models are left alone.

/** What a kind of key looks like. */
export interface KeyShape {
  /** What stands in its place: `[redacted: NAME]`. */
  readonly name: string
  /** One of these is in every text that holds such a key. At least three plain characters each. */
  readonly hints: readonly string[]
  /** *Contract*: takes time in proportion to the text. */
  readonly pattern: RegExp
}

// Nothing that could belong to the key stands before it, unless it ends there: `\n`, `\u003d` or `%3D` in an escaped text.
const begins = '(?:(?<![\\w-])|(?<=\\\\[bfnrt])|(?<=\\\\u[\\da-fA-F]{4})|(?<=%[\\da-fA-F]{2}))'

/** A key that begins with a word of its own. */
function token(name: string, hints: string | readonly string[], pattern: string): KeyShape {
  return {
    name,
    hints: typeof hints === 'string' ? [hints] : hints,
    pattern: new RegExp(`${begins}(?:${pattern})`, 'g'),
  }
}

/** A secret that follows a name: the name stays. */
function behind(name: string, hints: readonly string[], before: string, pattern: string): KeyShape {
  return { name, hints, pattern: new RegExp(`(?<=${before})${pattern}`, 'gi') }
}

/** Every shape, the more special before the more general. */
export const keyShapes: readonly KeyShape[] = [
  {
    name: 'private-key',
    hints: ['-----BEGIN '],
    // One that was cut short counts to the end of the text.
    pattern: /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[^]*?(?:-----END [A-Z0-9 ]{0,40}-----|$)/g,
  },
  token('aws-access-key', ['AKIA', 'ASIA', 'ABIA', 'ACCA'], '(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])'),
  behind(
    'aws-secret-key',
    ['ecret', 'ECRET'],
    'secret_?access_?key["\'\\\\\\s]{0,4}[:=]?["\'\\\\\\s]{1,4}|secret_?access_?key=',
    '[a-z0-9/+]{40}(?![a-z0-9/+])',
  ),
  token('github-token', ['ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_'], 'gh[pousr]_[A-Za-z0-9]{20,255}'),
  token('github-token', 'github_pat_', 'github_pat_\\w{22,255}'),
  token('gitlab-token', ['glpat-', 'gldt-', 'glrt-', 'glcbt-'], 'gl(?:pat|dt|rt|cbt)-[\\w-]{20,255}'),
  token('anthropic-key', 'sk-ant-', 'sk-ant-[\\w-]{20,255}'),
  // A run without a dash tells a key from words that are joined by dashes.
  token('openai-key', 'sk-', 'sk-(?:[A-Za-z0-9_]{1,15}-){0,6}[A-Za-z0-9_]{16,255}[\\w-]{0,255}'),
  token('stripe-key', ['sk_live_', 'sk_test_', 'rk_live_', 'rk_test_'], '[sr]k_(?:live|test)_[A-Za-z0-9]{16,255}'),
  token('stripe-webhook-secret', 'whsec_', 'whsec_[A-Za-z0-9+/=]{20,255}'),
  token('slack-token', 'xox', 'xox[abceoprs](?:\\.xox[a-z])?-[A-Za-z0-9-]{10,255}'),
  token('slack-token', 'xapp-', 'xapp-\\d-[A-Za-z0-9-]{20,255}'),
  behind('slack-webhook', ['hooks.slack.com/'], 'hooks\\.slack\\.com/(?:services|workflows)/', '[\\w/]{20,255}'),
  token('google-key', 'AIza', 'AIza[\\w-]{35}'),
  token('google-oauth-token', 'ya29.', 'ya29\\.[\\w-]{20,2048}'),
  token('google-oauth-secret', 'GOCSPX-', 'GOCSPX-[\\w-]{20,64}'),
  token('sendgrid-key', 'SG.', 'SG\\.[\\w-]{16,32}\\.[\\w-]{32,64}'),
  token(
    'twilio-key',
    '0123456789abcdef'.split('').map((digit) => `SK${digit}`),
    'SK[0-9a-f]{32}(?![0-9a-zA-Z])',
  ),
  token('npm-token', 'npm_', 'npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])'),
  token('pypi-token', 'pypi-AgE', 'pypi-AgE[\\w-]{50,255}'),
  token('hugging-face-token', ['hf_', 'api_org_'], '(?:hf|api_org)_[A-Za-z0-9]{30,64}(?![A-Za-z0-9])'),
  token('docker-token', 'dckr_pat_', 'dckr_pat_[\\w-]{20,64}'),
  token('digitalocean-token', ['dop_v1_', 'doo_v1_', 'dor_v1_'], 'do[opr]_v1_[a-f0-9]{64}'),
  token('shopify-token', ['shpat_', 'shpca_', 'shppa_', 'shpss_'], 'shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}'),
  token('telegram-token', ':AA', '\\d{8,10}:AA[\\w-]{33}'),
  token('vault-token', ['hvs.', 'hvb.'], 'hv[sb]\\.[\\w-]{20,255}'),
  token('databricks-token', 'dapi', 'dapi[0-9a-f]{32}(?![0-9a-z])'),
  token('groq-key', 'gsk_', 'gsk_[A-Za-z0-9]{40,64}'),
  token('xai-key', 'xai-', 'xai-[A-Za-z0-9]{60,100}'),
  token('perplexity-key', 'pplx-', 'pplx-[A-Za-z0-9]{40,64}'),
  token('replicate-token', 'r8_', 'r8_[A-Za-z0-9]{37}(?![A-Za-z0-9])'),
  token('linear-key', 'lin_api_', 'lin_api_[A-Za-z0-9]{32,64}'),
  token('notion-token', 'ntn_', 'ntn_[A-Za-z0-9]{40,64}'),
  token('new-relic-key', 'NRAK-', 'NRAK-[A-Z0-9]{27}'),
  token('atlassian-token', 'ATATT3', 'ATATT3[\\w=-]{50,255}'),
  token('age-key', 'AGE-SECRET-KEY-1', 'AGE-SECRET-KEY-1[A-Z0-9]{58}'),
  behind('azure-key', ['AccountKey=', 'SharedAccessKey='], '(?:Account|SharedAccess)Key=', '[a-z0-9+/]{40,88}={0,2}'),
  token('jwt', 'eyJ', 'eyJ[\\w-]{8,4096}\\.eyJ[\\w-]{8,16384}(?:\\.[\\w-]{0,2048})?'),
  behind(
    'bearer-token',
    ['earer ', 'EARER '],
    '\\bbearer {1,4}',
    // A digit tells a token from a word.
    '(?=[\\w.~+/-]{0,512}\\d)[\\w.~+/-]{16,4096}={0,2}',
  ),
  {
    name: 'basic-credentials',
    hints: ['asic ', 'ASIC '],
    pattern:
      /(?<=\b(?:Basic|basic|BASIC) {1,4})(?=[A-Za-z0-9+/]{0,512}[\d=])(?=[a-z0-9+/]{0,512}[A-Z])[A-Za-z0-9+/]{12,4096}={0,2}/g,
  },
  {
    name: 'url-password',
    hints: ['://'],
    pattern: /(?<=:\/\/[^\s/:@?#"'<>]{0,128}:)[^\s/@?#"'<>]{1,256}(?=@)/g,
  },
]
