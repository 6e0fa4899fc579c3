// Where something may speak to: hosts by name, exactly, or everything below one. What cannot be read as an address of the
// web with one of these hosts is not allowed, whatever it looks like.

/** Is this an address of the web at one of these hosts? `*.example.com` allows what is below example.com, not itself. */
export function hostAllowed(address: string, hosts: readonly string[]): boolean {
  if (!URL.canParse(address)) return false
  const { protocol, hostname, username, password } = new URL(address)
  if (protocol !== 'https:' && protocol !== 'http:') return false
  if (username !== '' || password !== '') return false
  return hosts.some((host) => (host.startsWith('*.') ? hostname.endsWith(host.slice(1)) : hostname === host))
}
