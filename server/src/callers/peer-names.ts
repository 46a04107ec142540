/** What a verified client certificate says its holder is called. */
export interface PeerNames {
  readonly uris: readonly string[];
  /** In lower case. */
  readonly dnsNames: readonly string[];
}

const NO_NAMES: PeerNames = { uris: [], dnsNames: [] };

// "DNS:a.example, URI:spiffe://x/y, IP Address:127.0.0.1". Node writes a value with a comma, a
// quote or anything unusual in it as a JSON string, so that no name can pretend to be two.
const ENTRY = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

/**
 * Reads the subject alternative names as Node's TLS gives them. The common name
 * of the subject is not looked at: it has no type, so a person's name and a host
 * would be the same. What cannot be read to its end names nobody.
 */
export function parsePeerNames(subjectAltName: string | undefined): PeerNames {
  const uris: string[] = [];
  const dnsNames: string[] = [];
  const text = subjectAltName ?? "";
  ENTRY.lastIndex = 0;
  while (ENTRY.lastIndex < text.length) {
    const [, kind, value = ""] = ENTRY.exec(text) ?? [];
    if (kind === undefined) {
      return NO_NAMES;
    }
    // A quoted value is one that no configuration can name.
    if (value.startsWith('"')) continue;
    if (kind === "URI") uris.push(value);
    if (kind === "DNS") dnsNames.push(value.toLowerCase());
  }
  return { uris, dnsNames };
}
