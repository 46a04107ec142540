import { status as GrpcCode } from "@grpc/grpc-js";

import type { Clock } from "../base/clock.js";
import type { Log } from "../base/log.js";
import { randomBase62 } from "../base/random.js";
import { hashParts, PARTITION_COUNT } from "../session/partition.js";
import {
  type AuditOrigin,
  type AuditTrail,
  DENIED_BATCH_MAX,
  type DeniedCall,
} from "../store/audit-trail.js";
import type { CallerGate, GatedCall } from "./caller-gate.js";
import type { RpcError } from "./status.js";

/** Refused calls that wait to be recorded; what comes on top is counted and dropped. */
const WAITING_MAX = 256;

/** Of one caller, or of all strangers: one that floods hides nobody else's refusals. */
const WAITING_OF_CALLER_MAX = 64;

/** How often what waits is recorded, in ms. With the batch it bounds what a flood can write. */
const FLUSH_MS = 100;

const DENIALS: ReadonlySet<string> = new Set(["CALLER_NOT_ALLOWED", "CALLER_UNKNOWN"]);

/** What a call was about. */
interface Asked {
  readonly tenantId: string;
  readonly sessionId: string;
}

/** Why it was refused, and what it was answered. */
interface Refusal {
  readonly reason: string;
  readonly code: GrpcCode;
}

/** Where refused calls are recorded. */
export interface DeniedCallsEnvironment {
  readonly trail: AuditTrail;
  readonly clock: Clock;
  readonly log: Log;
  readonly gate: Pick<CallerGate, "identify">;
}

/**
 * Records the calls that were refused because of who called (S-45).
 *
 * Anybody can be refused as often as they like, so nothing waits for the record,
 * what waits is bounded, and a flood writes 64 entries every 100 ms at most. What
 * is dropped, or could not be written because the store is away, is counted.
 */
export class DeniedCalls {
  readonly #environment: DeniedCallsEnvironment;
  #waiting: DeniedCall[] = [];
  readonly #waitingOf = new Map<string, number>();
  #dropped = 0;
  #isFlushing = false;

  constructor(environment: DeniedCallsEnvironment) {
    this.#environment = environment;
  }

  /** Refused calls that left no entry in the audit trail. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Records a failed call where it was refused because of who called. */
  note(call: GatedCall, request: unknown, error: RpcError): void {
    if (DENIALS.has(error.reason)) {
      const origin = { method: call.getPath().slice(1), caller: this.#nameOf(call) };
      this.#record(origin, askedIn(request), error);
    }
  }

  /** Records a failed part of a call that was answered, where it was refused for the same reason. */
  noteItem(origin: AuditOrigin, item: unknown, error: RpcError): void {
    if (DENIALS.has(error.reason)) this.#record(origin, askedIn(item), error);
  }

  /**
   * Records that a token was presented from elsewhere than its session is bound to, which is
   * how a stolen one looks (S-31). The call is answered, so its status is OK.
   */
  noteMismatch(origin: AuditOrigin, asked: Asked): void {
    this.#record(origin, asked, { reason: "BINDING_MISMATCH", code: GrpcCode.OK });
  }

  #record(origin: AuditOrigin, { tenantId, sessionId }: Asked, { reason, code }: Refusal): void {
    const waitingOf = this.#waitingOf.get(origin.caller) ?? 0;
    if (this.#waiting.length >= WAITING_MAX || waitingOf >= WAITING_OF_CALLER_MAX) {
      this.#dropped += 1;
      return;
    }
    this.#waitingOf.set(origin.caller, waitingOf + 1);
    this.#waiting.push({
      ...origin,
      eventId: randomBase62(22),
      tenantId,
      sessionId,
      reasonAdmin: reason,
      statusCode: code,
    });
    this.#schedule();
  }

  /** Empty where nobody could say who called, which is then why the call was refused. */
  #nameOf(call: GatedCall): string {
    try {
      return this.#environment.gate.identify(call).name;
    } catch {
      return "";
    }
  }

  #leave(caller: string): void {
    const left = (this.#waitingOf.get(caller) ?? 0) - 1;
    if (left > 0) this.#waitingOf.set(caller, left);
    else this.#waitingOf.delete(caller);
  }

  #schedule(): void {
    if (this.#isFlushing || this.#waiting.length === 0) {
      return;
    }
    this.#isFlushing = true;
    const next = this.#goOn.bind(this);
    this.#environment.clock.setTimer(FLUSH_MS, () => {
      this.#flush().then(next, next);
    });
  }

  #goOn(): void {
    this.#isFlushing = false;
    this.#schedule();
  }

  async #flush(): Promise<void> {
    const batch = this.#waiting.splice(0, DENIED_BATCH_MAX);
    const groups = new Map<number, DeniedCall[]>();
    for (const call of batch) {
      this.#leave(call.caller);
      const partition = partitionOfCaller(call);
      groups.set(partition, [...(groups.get(partition) ?? []), call]);
    }
    await Promise.all(
      [...groups].map(async ([partition, calls]) => {
        try {
          await this.#environment.trail.appendDenied(partition, calls);
        } catch {
          this.#dropped += calls.length;
          this.#environment.log.warn(
            { calls: calls.length, dropped: this.#dropped },
            "refused calls could not be recorded",
          );
        }
      }),
    );
  }
}

// One caller's refusals are in one place and can push out only their like.
function partitionOfCaller({ caller }: AuditOrigin): number {
  return (hashParts(caller)[0] ?? 0) & (PARTITION_COUNT - 1);
}

// What a refused caller sent has not been checked: it is cut to what an identifier may be.
const TEXT_CHARS_MAX = 128;
// Control characters and halves of a pair that the cut has left.
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/gu;

function askedIn(request: unknown): Asked {
  return { tenantId: tenantIn(request), sessionId: sessionIn(request) };
}

/** The tenant that a call asked for; of several nobody can say which one was meant. */
function tenantIn(request: unknown): string {
  const several = fieldOf(request, "tenantIds");
  return Array.isArray(several) && several.length === 1
    ? toText(several[0])
    : toText(fieldOf(request, "tenantId"));
}

/** The session that a call named. Never a token, which may stand in the same place. */
function sessionIn(request: unknown): string {
  const target = fieldOf(request, "target");
  return fieldOf(target, "$case") === "sessionId"
    ? toText(fieldOf(target, "value"))
    : toText(fieldOf(request, "sessionId"));
}

function fieldOf(request: unknown, field: string): unknown {
  return typeof request === "object" && request !== null ? Reflect.get(request, field) : undefined;
}

function toText(value: unknown): string {
  return typeof value === "string" ? value.slice(0, TEXT_CHARS_MAX).replace(UNPRINTABLE, "?") : "";
}
