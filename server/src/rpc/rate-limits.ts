import { randomBytes } from "node:crypto";

import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";

import { hashParts } from "../session/partition.js";
import { isAddress } from "./caller-key.js";
import { RpcError } from "./status.js";

/*
 * How often a caller may create, and how often it may ask for what is not there
 * (S-39). Counted in this process alone: replicas share nothing but the store, and
 * a limit that costs the store a write is a way to flood it. A deployment of n
 * replicas admits n times as much.
 *
 * Configured callers are few. Tenants, subjects, session ids and addresses are as
 * many as whoever floods likes. So these are not kept but hashed into a fixed number
 * of slots, and memory stays flat however many there are. Two in one slot share a
 * limit; which do is decided by a secret of the process, so that nobody can aim at
 * another.
 *
 * The narrowest limit is asked first, and what it refuses is not counted by the
 * wider ones. Otherwise one subject, refused ten thousand times, would use up what
 * its tenant may create, and one tenant what a caller may that serves many.
 *
 * A miss takes the place of the answer it was counted for and of no other: right
 * tokens are answered whoever else asks for wrong ones. A limit that refused the
 * next call instead would let anybody with a browser lock the users of a site
 * out, by sending it garbage, and one user, by sending garbage with his id.
 */

/** The limits that are rates, each for one window. 0: no limit. */
export interface RateLimitSettings {
  readonly createsPerCallerMax: number;
  /** Of one tenant by one caller. */
  readonly createsPerTenantMax: number;
  readonly createsPerSubjectMax: number;
  readonly missesPerCallerMax: number;
  readonly missesPerSessionMax: number;
  /** The window, in ms. */
  readonly rateWindowMs: number;
}

/** A creation or a login about to happen. */
export interface CreationAttempt {
  /** As `callerKey` names it. */
  readonly caller: string;
  readonly tenantId: string;
  /** Empty: anonymous, counted for the caller alone. */
  readonly subject: string;
}

/** A token of the right shape to which the store's answer is NOT_FOUND. */
export interface Miss {
  readonly caller: string;
  readonly sessionId: string;
}

// 2^14 slots for each limit. With the default of 30 in 10 s they admit more than
// a replica can do, so that a flood of many subjects meets the caller's limit and not its slots'.
const SLOT_MASK = (1 << 14) - 1;

type RateName = Exclude<keyof RateLimitSettings, "rateWindowMs">;

/** As the configuration names them, and so the error. */
const FILE_KEYS: Readonly<Record<RateName, string>> = {
  createsPerCallerMax: "creates_per_caller_max",
  createsPerTenantMax: "creates_per_tenant_max",
  createsPerSubjectMax: "creates_per_subject_max",
  missesPerCallerMax: "misses_per_caller_max",
  missesPerSessionMax: "misses_per_session_max",
};

/** Counts creations and misses, and refuses what is above the limits. */
export class RateLimits {
  /** How often each limit refused, by its name in the file. */
  readonly refusals = new Map(Object.values(FILE_KEYS).map((name) => [name, 0]));
  readonly #secret = randomBytes(16).toString("base64url");
  readonly #limiters: Readonly<Record<RateName, RateLimiterMemory | undefined>>;

  constructor(settings: RateLimitSettings) {
    this.#limiters = {
      createsPerCallerMax: limiter(settings, "createsPerCallerMax"),
      createsPerTenantMax: limiter(settings, "createsPerTenantMax"),
      createsPerSubjectMax: limiter(settings, "createsPerSubjectMax"),
      missesPerCallerMax: limiter(settings, "missesPerCallerMax"),
      missesPerSessionMax: limiter(settings, "missesPerSessionMax"),
    };
  }

  /** Counts a creation; rejects with RATE_LIMITED where it is one too many. */
  async admitCreate({ caller, tenantId, subject }: CreationAttempt): Promise<void> {
    if (subject !== "") {
      await this.#consume("createsPerSubjectMax", this.#slotOf(tenantId, subject));
    }
    await this.#consume("createsPerTenantMax", this.#slotOf(caller, tenantId));
    await this.#consume("createsPerCallerMax", this.#keyOf(caller));
  }

  /** Counts a miss; rejects with RATE_LIMITED where it is one too many. */
  async countMiss({ caller, sessionId }: Miss): Promise<void> {
    await this.#consume("missesPerSessionMax", this.#slotOf(sessionId));
    await this.#consume("missesPerCallerMax", this.#keyOf(caller));
  }

  #keyOf(caller: string): string | number {
    return isAddress(caller) ? this.#slotOf(caller) : caller;
  }

  #slotOf(...parts: readonly string[]): number {
    return hashParts(this.#secret, ...parts).readUInt32BE(0) & SLOT_MASK;
  }

  async #consume(name: RateName, key: string | number): Promise<void> {
    const limiterOfName = this.#limiters[name];
    if (limiterOfName === undefined) {
      return;
    }
    try {
      await limiterOfName.consume(key);
    } catch (error) {
      if (!(error instanceof RateLimiterRes)) throw error;
      const limit = FILE_KEYS[name];
      this.refusals.set(limit, (this.refusals.get(limit) ?? 0) + 1);
      throw new RpcError("RATE_LIMITED", "There were too many such calls: try again later", {
        metadata: { limit, bound: String(limiterOfName.points) },
        retryAfterMs: Math.max(1, Math.ceil(error.msBeforeNext)),
      });
    }
  }
}

function limiter(settings: RateLimitSettings, name: RateName): RateLimiterMemory | undefined {
  const points = settings[name];
  return points === 0
    ? undefined
    : new RateLimiterMemory({ points, duration: settings.rateWindowMs / 1000 });
}
