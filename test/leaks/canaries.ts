/*
 * Secrets that are looked for wherever they must not be.
 *
 * What is searched is hundreds of megabytes and what is looked for a million
 * strings, so the search does not compare each with each. A secret is 43 base62
 * characters; every run of at least 20 such characters is looked at in windows of
 * 20, and a window that is the beginning of a known secret is a leak. So a secret
 * that was cut off, as a slow log does, is found too. Raw bytes, which have no
 * alphabet, are looked for one by one.
 */

const WINDOW = 20;
const RUN = /[0-9A-Za-z_-]{20,}/g;
const TOKEN_SHAPE = /ccr?1_[0-9A-Za-z]{30,}/g;
const FOUND_MAX = 20;

/** Where in a token its secret is: after prefix and session id, before the checksum. */
const SECRET = { session: [28, 71], recovery: [29, 72] } as const;

/** A set of secrets and the search for them. */
export class Canaries {
  readonly #windows = new Map<string, string>();
  readonly #raw: Buffer[] = [];

  /** How many secrets are looked for. */
  get size(): number {
    return this.#windows.size;
  }

  /** A session or recovery token. */
  addToken(token: string): void {
    const [from, to] = token.startsWith("ccr1_") ? SECRET.recovery : SECRET.session;
    this.addText("a secret", token.slice(from, to));
  }

  /** A text of at least 20 characters of base64url. */
  addText(name: string, text: string): void {
    if (text.length < WINDOW) throw new Error(`Cannot look for ${name}: it is too short`);
    this.#windows.set(text.slice(0, WINDOW), name);
  }

  /** Bytes, looked for as they are and in hexadecimal and base64. */
  addBytes(name: string, bytes: Buffer): void {
    this.addText(`${name} in hexadecimal`, bytes.toString("hex"));
    this.addText(`${name} in base64url`, bytes.toString("base64url"));
    const standard = bytes.toString("base64").replace(/[+/=].*$/s, "");
    if (standard.length >= WINDOW) this.addText(`${name} in base64`, standard);
    this.#raw.push(bytes);
  }

  /** What is found in a text, at most 20 of it. A text is bytes as latin1, or plain. */
  find(text: string): string[] {
    const found: string[] = [];
    for (const [token] of text.matchAll(TOKEN_SHAPE)) {
      found.push(`something like a token: ${token.slice(0, 12)}…`);
      if (found.length >= FOUND_MAX) return found;
    }
    for (const match of text.matchAll(RUN)) {
      const [run] = match;
      for (let at = 0; at + WINDOW <= run.length; at += 1) {
        const name = this.#windows.get(run.slice(at, at + WINDOW));
        if (name === undefined) continue;
        found.push(`${name} at ${match.index + at}: …${text.slice(match.index - 40, match.index)}`);
        if (found.length >= FOUND_MAX) return found;
      }
    }
    return found;
  }

  /** The same in bytes, raw secrets included. */
  findInBytes(bytes: Buffer): string[] {
    const raw = this.#raw.filter((each) => bytes.includes(each)).map(() => "raw bytes of a secret");
    return [...this.find(bytes.toString("latin1")), ...raw.slice(0, FOUND_MAX)];
  }
}
