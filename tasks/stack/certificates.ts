/**
 * Certificates that this machine trusts beyond the public ones: on a network whose proxy signs with its own, an image
 * build reaches a package registry only when it trusts them too.
 */
import { X509Certificate } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'

/** Where Debian's update-ca-certificates takes an administrator's own from; the most usual place. */
const localFolder = '/usr/local/share/ca-certificates'

/** More than this is no argument of a build, but a whole bundle: Linux allows 128 KiB for one. */
const limitBytes = 100_000

export interface CertificateSources {
  /** The environment: `NODE_EXTRA_CA_CERTS` names a PEM file. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Default `/usr/local/share/ca-certificates`. */
  readonly folder?: string
}

/**
 * PEM text for the build argument `EXTRA_CA` of infrastructure/node: what the administrator put in the local folder,
 * else what `NODE_EXTRA_CA_CERTS` holds; without what Node.js trusts anyway, what has run out, and what is no authority.
 * Empty where there is nothing to add.
 */
export async function extraCertificates(sources: CertificateSources): Promise<string> {
  const local = await localCertificates(sources.folder ?? localFolder)
  if (local !== '') return local
  const bundle = sources.environment['NODE_EXTRA_CA_CERTS']
  return bundle === undefined || bundle === '' ? '' : additional(await readText(bundle))
}

async function localCertificates(folder: string): Promise<string> {
  const names = await readdir(folder, { recursive: true }).catch(() => [])
  const texts = await Promise.all(
    names.filter((name) => name.endsWith('.crt')).map((name) => readText(join(folder, name))),
  )
  return additional(texts.sort().join('\n'))
}

function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '')
}

function additional(text: string): string {
  const known = new Set(rootCertificates.map((pem) => new X509Certificate(pem).fingerprint256))
  const kept: string[] = []
  let bytes = 0
  for (const [pem] of text.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)) {
    const certificate = parse(pem)
    if (certificate === undefined || !certificate.ca || Date.parse(certificate.validTo) < Date.now()) continue
    if (known.has(certificate.fingerprint256)) continue
    known.add(certificate.fingerprint256)
    bytes += pem.length + 1
    if (bytes > limitBytes) break
    kept.push(pem)
  }
  return kept.join('\n')
}

function parse(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem)
  } catch {
    return undefined
  }
}
