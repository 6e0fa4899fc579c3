// Signing keys: Ed25519, as PEM. Who holds the private one can say that a checkpoint is theirs; the public one proves it.
// Nothing here touches a file: where a key is kept is its owner's business, as long as it is not in the store.

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto'
import { Fault, messageOf } from '../core/fault.ts'
import type { Keys, Signer } from './register.ts'

/** Makes a pair of keys, each as PEM. */
export function createKeys(): { readonly privateKey: string; readonly publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return {
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }) as string,
  }
}

/** The fingerprint of a public key: the SHA-256 of its DER, in hexadecimal. */
export function fingerprint(publicKey: string): string {
  return keyIdOf(open(publicKey, createPublicKey, 'public'))
}

/** Reads a private key. Throws KEY_INVALID. */
export function signerOf(privateKey: string): Signer {
  const key = open(privateKey, createPrivateKey, 'private')
  return {
    keyId: keyIdOf(createPublicKey(key)),
    sign: (text) => sign(null, Buffer.from(text), key).toString('base64'),
  }
}

/** Reads public keys. Throws KEY_INVALID. */
export function keysOf(publicKeys: readonly string[]): Keys {
  return new Map(
    publicKeys.map((text) => {
      const key = open(text, createPublicKey, 'public')
      const prove = (signed: string, signature: string): boolean =>
        verify(null, Buffer.from(signed), key, Buffer.from(signature, 'base64'))
      return [keyIdOf(key), prove]
    }),
  )
}

function open(text: string, read: (text: string) => KeyObject, kind: string): KeyObject {
  const next = 'Give an Ed25519 key as PEM; signalbox keygen --key FILE makes a pair.'
  let key: KeyObject
  try {
    // A private key would also be read as a public one; whoever is asked for the public one is not to have it.
    if (kind === 'public' && text.includes('PRIVATE KEY')) throw new Error('it is a private key')
    key = read(text)
  } catch (thrown) {
    throw new Fault('KEY_INVALID', `This is not a ${kind} key: ${messageOf(thrown)}.`, next, { cause: thrown })
  }
  if (key.asymmetricKeyType === 'ed25519') return key
  throw new Fault('KEY_INVALID', `This ${kind} key is of type ${key.asymmetricKeyType ?? 'unknown'}.`, next)
}

function keyIdOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')
}
