import type { Revision } from "../../session/revision.js";
import type { DeviceProgress, RequestIdReused, RequestRecord } from "../session-store.js";

/** How long a mutation can be repeated, in ms. */
export const REQUEST_TTL_MS = 600_000;

/** What a mutation did, without facts or secrets: enough to hand its result out again. */
export type Remembered =
  | {
      readonly kind: "create";
      readonly sessionId: string;
      readonly nonce: string;
      readonly tokenDigest: string;
      readonly evicted: readonly string[];
      readonly revision: Revision;
    }
  | {
      readonly kind: "rotate";
      readonly nonce: string;
      readonly successorDigest: string;
      readonly revision: Revision;
    }
  | { readonly kind: "claim"; readonly sessionId: string }
  | { readonly kind: "update" | "revoke"; readonly revision: Revision }
  | { readonly kind: "scope"; readonly revision: Revision; readonly countEstimate: number }
  | { readonly kind: "device"; readonly progress: DeviceProgress; readonly finished: boolean };

/** The answer to a request id that was used with other arguments. */
export const REQUEST_ID_REUSED: RequestIdReused = { kind: "request-id-reused" };

interface Entry {
  readonly argumentsDigest: string;
  readonly expiresAtMs: number;
  readonly result: Remembered;
}

/**
 * The results of one partition's mutations by request. All live equally long and
 * the partition's time never goes back, so the oldest entries are the first to
 * expire, and above `entriesMax` the first to be forgotten early.
 */
export class RequestBook {
  readonly #entries = new Map<string, Entry>();
  readonly #entriesMax: number;

  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  /** What the request did before; undefined where it is new. */
  recall(
    request: RequestRecord | undefined,
    nowMs: number,
  ): Remembered | RequestIdReused | undefined {
    const entry = request === undefined ? undefined : this.#entries.get(request.key);
    if (request === undefined || entry === undefined || nowMs >= entry.expiresAtMs) {
      return undefined;
    }
    return entry.argumentsDigest === request.argumentsDigest ? entry.result : REQUEST_ID_REUSED;
  }

  /** Keeps what a request did; a later batch of the same request replaces it. */
  remember(request: RequestRecord | undefined, result: Remembered, nowMs: number): void {
    if (request === undefined) {
      return;
    }
    this.#entries.delete(request.key);
    this.#entries.set(request.key, {
      argumentsDigest: request.argumentsDigest,
      expiresAtMs: nowMs + REQUEST_TTL_MS,
      result,
    });
    this.forgetExpired(nowMs);
  }

  /** Drops what can no longer be repeated. */
  forgetExpired(nowMs: number): void {
    for (const [key, entry] of this.#entries) {
      if (nowMs < entry.expiresAtMs && this.#entries.size <= this.#entriesMax) {
        return;
      }
      this.#entries.delete(key);
    }
  }
}
