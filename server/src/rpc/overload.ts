import { randomInt } from "node:crypto";

import {
  CALLER_SHARES,
  SHEDDING_CLASS_OF,
  SHEDDING_CLASSES,
  SHEDDING_SHARES,
  type SheddingClass,
} from "./shedding-order.js";
import { RpcError } from "./status.js";

/*
 * Admission: which calls are worked on when there is too much work.
 *
 * The load is one number, the share of what the replica can take: of calls in
 * flight, which is what a slow store makes grow, or of the delay of the event
 * loop, which is what too many calls make grow, whichever is larger. Nothing
 * waits in a queue of ours. A call is worked on or it is refused at once, with
 * the time after which to try again, and a refusal costs microseconds.
 *
 * As load rises, classes of calls are refused one after the other, as the table
 * in shedding-order.ts says; as it falls they come back in the reverse order.
 * A late event loop never refuses a revocation or a Sync: they are not what made it
 * late, and they are what an attacker would like to see refused.
 *
 * A caller with more calls in flight than its share is refused on its own account,
 * so that one that floods does not bring the load to where others are shed. For
 * Syncs and for revocations its share is larger, but it has one: without it a flood
 * of Syncs would have every other caller shed.
 */

/** The limits that decide about admission, with the defaults and bounds of the configuration. */
export interface OverloadLimits {
  /** Calls that may be worked on at once. */
  readonly callsInFlightMax: number;
  /** Calls of one caller that may be worked on at once. 0: any number. */
  readonly callsPerCallerMax: number;
  /** By how much the event loop may be late, in ms. 0: by any time. */
  readonly eventLoopDelayMaxMs: number;
}

/** How often calls were refused, by why. */
export interface SheddingCounters {
  /** Because there was too much work, by method. */
  readonly shed: Map<string, number>;
  /** Refused because one caller had too many calls in flight. */
  callerBusy: number;
}

// Later than the next sample of the event loop; spread, so that the refused do not come back as
// they went.
const RETRY_MS = { min: 250, max: 750 };

// Classes may be shed for the event loop's sake up to here, which is short of Syncs.
const DELAY_SHARE_MAX = 0.94;

/** Decides which calls are worked on, and counts those that are. */
export class Overload {
  readonly counters: SheddingCounters = {
    shed: new Map(Object.keys(SHEDDING_CLASS_OF).map((path) => [path.slice(1), 0])),
    callerBusy: 0,
  };
  readonly #limits: OverloadLimits;
  readonly #delayMs: () => number;
  readonly #callers = new Map<string, number>();
  #inFlight = 0;
  /** How many classes are shed, in the order of the table. */
  #level = 0;

  /** `delayMs` tells by how much the event loop is late. */
  constructor(limits: OverloadLimits, delayMs: () => number) {
    this.#limits = limits;
    this.#delayMs = delayMs;
  }

  /** The classes that are refused now. */
  get shedding(): readonly SheddingClass[] {
    return SHEDDING_CLASSES.slice(0, this.#level);
  }

  /**
   * Admits a call, or throws OVERLOADED or RATE_LIMITED. Every call that is
   * admitted has to `leave`.
   */
  enter(path: string, caller: string): void {
    this.update();
    // A method that nobody put into the table is not worth more than a list.
    const sheddingClass = SHEDDING_CLASS_OF[path] ?? "list";
    if (this.#level > 0 && SHEDDING_CLASSES.indexOf(sheddingClass) < this.#level) {
      countOne(this.counters.shed, path.slice(1));
      throw new RpcError("OVERLOADED", "The authority has more calls than it can answer", {
        metadata: { shed: sheddingClass },
        retryAfterMs: retryAfterMs(),
      });
    }
    this.#enterCaller(sheddingClass, caller);
    this.#inFlight += 1;
  }

  /** Counts a call that has its answer. */
  leave(caller: string): void {
    this.#inFlight -= 1;
    const count = this.#callers.get(caller);
    if (count === 1) this.#callers.delete(caller);
    else if (count !== undefined) this.#callers.set(caller, count - 1);
    this.update();
  }

  /** Looks at the load again. Called at every call, and while none come by a timer. */
  update(): void {
    const load = this.#load();
    while (load >= (SHEDDING_SHARES[this.#level]?.from ?? Infinity)) this.#level += 1;
    while (load < (SHEDDING_SHARES[this.#level - 1]?.until ?? -Infinity)) this.#level -= 1;
  }

  #load(): number {
    const { callsInFlightMax, eventLoopDelayMaxMs } = this.#limits;
    const delay = eventLoopDelayMaxMs === 0 ? 0 : this.#delayMs() / eventLoopDelayMaxMs;
    return Math.max(this.#inFlight / callsInFlightMax, Math.min(delay, DELAY_SHARE_MAX));
  }

  #enterCaller(sheddingClass: SheddingClass, caller: string): void {
    const { callsPerCallerMax } = this.#limits;
    if (callsPerCallerMax === 0) {
      return;
    }
    const count = this.#callers.get(caller) ?? 0;
    const bound = callsPerCallerMax * CALLER_SHARES[sheddingClass];
    if (count >= bound) {
      this.counters.callerBusy += 1;
      throw new RpcError("RATE_LIMITED", "The caller has as many calls in flight as it may", {
        metadata: { limit: "calls_per_caller_max", bound: String(bound) },
        retryAfterMs: retryAfterMs(),
      });
    }
    this.#callers.set(caller, count + 1);
  }
}

function countOne(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function retryAfterMs(): number {
  return randomInt(RETRY_MS.min, RETRY_MS.max);
}
