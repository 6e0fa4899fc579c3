// Which addresses a list of hosts allows, by values.

import { expect, test } from 'vitest'
import { hostAllowed, hostProblem, judgeAddress } from '../../src/core/egress.ts'

const hosts = ['api.example.com', '*.files.example.com', 'local.example.com:8443', '127.0.0.1:8080', '[::1]:9']

test.each([
  'https://api.example.com/x?y=https://evil.com#z',
  'http://API.example.com',
  'https://api.example.com:443/',
  'https://a.files.example.com',
  'https://a.b.files.example.com/',
  'https://local.example.com:8443/',
  'http://127.0.0.1:8080/x',
  'http://[::1]:9/',
])('A53: a listed host is allowed: %s', (address) => {
  expect(judgeAddress(address, hosts)).toMatchObject({ ok: true })
})

test.each([
  ['a foreign host', 'https://evil.com/?to=api.example.com'],
  ['a name below a listed one', 'https://c2VjcmV0.api.example.com/'],
  ['the name above a wildcard', 'https://files.example.com/'],
  ['a name that only ends alike', 'https://evilfiles.example.com/'],
  ['a name that only begins alike', 'https://api.example.com.evil.com/'],
  ['a name with a dot behind it', 'https://api.example.com./'],
  ['another port', 'https://api.example.com:8443/'],
  ['no port where one is listed', 'https://local.example.com/'],
  ['a name before the host', 'https://api.example.com@evil.com/'],
  ['a password before the host', 'https://api.example.com:443@evil.com/'],
  ['credentials for a listed host', 'https://ana:pw@api.example.com/'],
  ['a backslash', 'https://api.example.com\\@evil.com/'],
  ['a tab', 'https://api.exam\tple.com/'],
  ['a blank before it', ' https://api.example.com/'],
  ['no scheme', '//api.example.com/'],
  ['no slashes', 'https:api.example.com'],
  ['three slashes', 'https:///api.example.com/'],
  ['a path', '/x'],
  ['a file', 'file:///etc/passwd'],
  ['data', 'data:text/plain,x'],
  ['a websocket', 'wss://api.example.com/'],
  ['letters that look alike', 'https://api.ехample.com/'],
  ['wide letters', 'https://ａpi.example.com/'],
  ['an escaped dot', 'https://api%2eexample.com/'],
  ['a number that is not listed', 'http://169.254.169.254/'],
  ['a listed number, written as one', 'http://2130706433:8080/'],
  ['a listed number in hexadecimal', 'http://0x7f.0.0.1:8080/'],
  ['a listed number in octal', 'http://0177.0.0.1:8080/'],
  ['a listed number in short', 'http://127.1:8080/'],
  ['a listed number inside another', 'http://[::ffff:127.0.0.1]:8080/'],
  ['a listed number, not in short', 'http://[0::1]:9/'],
  ['nothing', ''],
])('A53: %s is not allowed', (_, address) => {
  expect(hostAllowed(address, hosts)).toBe(false)
})

test('nothing is allowed where nothing is listed, and an entry that is no host allows nothing', () => {
  expect(hostAllowed('https://api.example.com/', [])).toBe(false)
  for (const entry of ['*', '*.com', 'https://api.example.com', 'api.example.com/x', '', 'bücher.example', '*.1.2']) {
    expect(hostProblem(entry), entry).toBeTypeOf('string')
    expect(hostAllowed('https://api.example.com/x', [entry]), entry).toBe(false)
  }
  for (const entry of hosts) expect(hostProblem(entry)).toBeUndefined()
})
