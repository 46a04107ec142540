import { randomUUID } from "node:crypto";

import type { handleUnaryCall, ServerUnaryCall } from "@grpc/grpc-js";

import type { Clock } from "../base/clock.js";
import { traceOf } from "../base/error-trace.js";
import type { Log } from "../base/log.js";
import type { Caller } from "../callers/caller.js";
import type { AuditOrigin } from "../store/audit-trail.js";
import type { CallLoad } from "./call-load.js";
import type { DeniedCalls } from "./denied-calls.js";
import type { CallerGate } from "./caller-gate.js";
import { type CallMeter, measureCall } from "./call-meter.js";
import { callerKey } from "./caller-key.js";
import type { MetadataLimit } from "./metadata-limit.js";
import type { Overload } from "./overload.js";
import { refuseUnreadable } from "./readable.js";
import { NotStartedError, RpcError, toRpcError, toServiceError } from "./status.js";

/*
 * Every unary method goes through this wrapper. grpc-js leaves three traps to a
 * handler: a rejected promise ends the process, a second callback makes the
 * client wait for its deadline, and a call that nobody waits for any more is
 * worked on all the same. Here a handler is a function from a request to a
 * promise, and none of the three can happen.
 *
 * What nobody waits for is not started: the deadline and the cancellation are
 * looked at before the work begins, and by `context.check()` between the steps
 * of work that has several (FAULTS R7, S-41).
 */

/** What every method shares. */
export interface UnaryEnvironment {
  /** The clock that grpc-js counts deadlines by, so the system's. */
  readonly clock: Clock;
  readonly log: Log;
  readonly metadata: MetadataLimit;
  /** Says who calls, and refuses who may not. */
  readonly gate: CallerGate;
  /** Records the calls that were refused because of who called. */
  readonly denied?: DeniedCalls;
  /** Where calls in flight are counted. */
  readonly load?: CallLoad;
  /** Refuses calls where there are too many. */
  readonly overload?: Overload;
  /** Where finished calls are counted. */
  readonly meter?: CallMeter;
}

/** One call, as the work on it sees it. */
export interface CallContext {
  /** Who calls. It may call this method, for the tenants that the request names. */
  readonly caller: Caller;
  /** Under what name the caller's calls are counted. */
  readonly callerKey: string;
  /** Aborted when the caller hangs up or its deadline passes. */
  readonly signal: AbortSignal;
  /** Who asks for what, for the audit trail. */
  readonly origin: AuditOrigin;
  /** Milliseconds until the caller stops waiting; Infinity where it set no deadline. */
  remainingMs(): number;
  /** Throws `NotStartedError` where nobody waits any more. Only before the first effect. */
  check(): void;
}

/** The work of one method. It may reject with anything: `status.ts` decides what is told. */
export type UnaryWork<Request, Response> = (
  request: Request,
  context: CallContext,
) => Promise<Response>;

/** The handler that grpc-js calls for a method whose work is `work`. */
export function unary<Request, Response>(
  environment: UnaryEnvironment,
  work: UnaryWork<Request, Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const finished = measureCall(environment, call);
    environment.load?.enter();
    start(environment, work, call).then(
      (response) => {
        environment.load?.leave();
        finished();
        callback(null, response);
      },
      (error: unknown) => {
        environment.load?.leave();
        const told = explain(error, call.getPath(), environment.log);
        finished(told);
        environment.denied?.note(call, call.request, told);
        callback(toServiceError(told));
      },
    );
  };
}

async function start<Request, Response>(
  environment: UnaryEnvironment,
  work: UnaryWork<Request, Response>,
  call: ServerUnaryCall<Request, Response>,
): Promise<Response> {
  environment.metadata.check(call.metadata);
  refuseUnreadable(call.request);
  const caller = environment.gate.admit(call, call.request);
  const context = new UnaryContext(call, environment.clock, caller);
  const { overload } = environment;
  overload?.enter(call.getPath(), context.callerKey);
  try {
    context.check();
    return await work(call.request, context);
  } finally {
    overload?.leave(context.callerKey);
  }
}

/** Maps an error and logs what the caller is not told. */
export function explain(error: unknown, method: string, log: Log): RpcError {
  const told = toRpcError(error);
  if (told.reason !== "INTERNAL") {
    log.debug({ method, reason: told.reason }, "call failed");
    return told;
  }
  const requestId = randomUUID();
  log.error({ method, requestId, at: traceOf(error) }, "call failed for an unknown reason");
  return new RpcError("INTERNAL", told.message, { metadata: { log_id: requestId } });
}

class UnaryContext<Request, Response> implements CallContext {
  readonly caller: Caller;
  readonly callerKey: string;
  readonly #call: ServerUnaryCall<Request, Response>;
  readonly #clock: Clock;
  #controller: AbortController | undefined;

  constructor(call: ServerUnaryCall<Request, Response>, clock: Clock, caller: Caller) {
    this.#call = call;
    this.#clock = clock;
    this.caller = caller;
    this.callerKey = callerKey(caller, call.getPeer());
  }

  // Made on demand: the hot path asks for no signal.
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      if (this.#call.cancelled) {
        controller.abort();
      } else {
        this.#call.once("cancelled", () => {
          controller.abort();
        });
      }
    }
    return this.#controller.signal;
  }

  get origin(): AuditOrigin {
    return { method: this.#call.getPath().slice(1), caller: this.caller.name };
  }

  remainingMs(): number {
    const deadline = this.#call.getDeadline();
    const atMs = typeof deadline === "number" ? deadline : deadline.getTime();
    return atMs - this.#clock.wallMs();
  }

  check(): void {
    const isLate = this.remainingMs() <= 0;
    if (isLate || this.#call.cancelled) {
      throw new NotStartedError(!isLate);
    }
  }
}
