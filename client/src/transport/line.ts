/**
 * A line to the authority that is dialled again when nobody answers on it.
 *
 * A peer may go without a word: a machine that lost its power, a middlebox that
 * forgot the connection. TCP keeps trying for minutes, and keepalive needs 30 s
 * to be sure. Until then every call on that connection waits out its deadline,
 * although the authority may be there and would take a new one.
 *
 * So two calls in a row that one peer let run out, the second sent after the
 * first had run out, are taken for a dead connection, and the channel is
 * replaced as a whole: its healthy connections are made again at once, and a
 * peer that cannot even shake hands is left out. One slow moment is not enough,
 * however many calls it holds up. An authority that is merely slow is not dialled
 * over and over either: from one replacement to the next the patience doubles,
 * until somebody answers.
 */
import { status as Code, type ServiceError } from "@grpc/grpc-js";
import type { Clock } from "../base/clock.js";

const PATIENCE_MIN_MS = 1_000;
const PATIENCE_MAX_MS = 8_000;

/** What ends a call without telling whether anybody is there. */
const SILENT_ABOUT_PEER: ReadonlySet<Code> = new Set([Code.UNAVAILABLE, Code.CANCELLED]);

/** What a line is made of. */
export interface LineOptions<Client> {
  readonly clock: Clock;
  /** Opens a channel that shares no connection with the one before. */
  open(): Client;
  /** The channel was replaced: what else went over its path may be as dead. */
  readonly onReplaced?: () => void;
}

/** One call on a line. Exactly one of its methods is called, once. */
export interface LineCall<Client> {
  readonly client: Client;
  /** It ended by what `peer` said, or by an error; null is a success. */
  ended(peer: string, error: ServiceError | null): void;
  /** Its deadline passed without a word of `peer`. */
  ranOut(peer: string): void;
}

/** See the head of this file. */
export class Line<Client extends { close(): void }> {
  readonly #options: LineOptions<Client>;
  #client: Client;
  /** When the first of the calls ran out that each peer has not answered since. */
  #silentSinceMs = new Map<string, number>();
  #patienceMs = PATIENCE_MIN_MS;
  #replacedAtMs = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(options: LineOptions<Client>) {
    this.#options = options;
    this.#client = options.open();
  }

  /** The channel of now. */
  get client(): Client {
    return this.#client;
  }

  /** Starts a call. */
  call(): LineCall<Client> {
    const client = this.#client;
    const sentAtMs = this.#options.clock.monotonicMs();
    return {
      client,
      ended: (peer, error) => {
        if (client !== this.#client) return;
        if (error?.code === Code.DEADLINE_EXCEEDED) this.#ranOut(peer, sentAtMs);
        else if (error === null || !SILENT_ABOUT_PEER.has(error.code)) this.#answered(peer);
      },
      ranOut: (peer) => {
        if (client === this.#client) this.#ranOut(peer, sentAtMs);
      },
    };
  }

  /** Opens a new channel. Calls on the old one end as they may. */
  replace(): void {
    if (this.#isClosed) return;
    this.#silentSinceMs = new Map();
    this.#client.close();
    this.#client = this.#options.open();
    this.#options.onReplaced?.();
  }

  /** Closes the channel, for good. */
  close(): void {
    this.#isClosed = true;
    this.#client.close();
  }

  #answered(peer: string): void {
    this.#silentSinceMs.delete(peer);
    this.#patienceMs = PATIENCE_MIN_MS;
  }

  #ranOut(peer: string, sentAtMs: number): void {
    const nowMs = this.#options.clock.monotonicMs();
    const sinceMs = this.#silentSinceMs.get(peer);
    if (sinceMs === undefined) {
      this.#silentSinceMs.set(peer, nowMs);
      return;
    }
    if (sentAtMs < sinceMs || nowMs - this.#replacedAtMs < this.#patienceMs) return;
    this.#replacedAtMs = nowMs;
    this.#patienceMs = Math.min(PATIENCE_MAX_MS, 2 * this.#patienceMs);
    this.replace();
  }
}
