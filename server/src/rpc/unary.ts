import { randomUUID } from "node:crypto";

import type { handleUnaryCall, Metadata, ServerUnaryCall } from "@grpc/grpc-js";

import type { Clock } from "../base/clock.js";
import type { Log } from "../base/log.js";
import type { CallLoad } from "./call-load.js";
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
  /** Bytes of metadata above which a call is refused (S-40). */
  readonly metadataBytesMax: number;
  /** Where calls in flight are counted. */
  readonly load?: CallLoad;
}

/** One call, as the work on it sees it. */
export interface CallContext {
  /** Aborted when the caller hangs up or its deadline passes. */
  readonly signal: AbortSignal;
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
    const context = new UnaryContext(call, environment.clock);
    environment.load?.enter();
    start(environment, work, { call, context }).then(
      (response) => {
        environment.load?.leave();
        callback(null, response);
      },
      (error: unknown) => {
        environment.load?.leave();
        callback(toServiceError(explain(error, call.getPath(), environment.log)));
      },
    );
  };
}

async function start<Request, Response>(
  environment: UnaryEnvironment,
  work: UnaryWork<Request, Response>,
  { call, context }: { call: ServerUnaryCall<Request, Response>; context: CallContext },
): Promise<Response> {
  refuseLargeMetadata(call.metadata, environment.metadataBytesMax);
  refuseUnreadable(call.request);
  context.check();
  return await work(call.request, context);
}

/** Maps an error and logs what the caller is not told. */
export function explain(error: unknown, method: string, log: Log): RpcError {
  const told = toRpcError(error);
  if (told.reason !== "INTERNAL") {
    log.debug({ method, reason: told.reason }, "call failed");
    return told;
  }
  const requestId = randomUUID();
  // The stack's own first line may quote input, so only where it happened is kept.
  log.error({ method, requestId, at: whereThrown(error) }, "call failed for an unknown reason");
  return new RpcError("INTERNAL", told.message, { metadata: { log_id: requestId } });
}

function whereThrown(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const frames = (error.stack ?? "").split("\n").filter((line) => line.startsWith("    at "));
  return [error.name, ...frames.slice(0, 6).map((line) => line.trim())].join(" | ");
}

/** Throws where a call's metadata is larger than a caller needs: it is a flood (S-40). */
export function refuseLargeMetadata(metadata: Metadata, bytesMax: number): void {
  let bytes = 0;
  for (const key of Object.keys(metadata.getMap())) {
    for (const value of metadata.get(key)) {
      bytes += key.length + value.length;
    }
  }
  if (bytes > bytesMax) {
    throw new RpcError("OVERLOADED", `Cannot take ${bytes} bytes of metadata: at most ${bytesMax}`);
  }
}

class UnaryContext<Request, Response> implements CallContext {
  readonly #call: ServerUnaryCall<Request, Response>;
  readonly #clock: Clock;
  #controller: AbortController | undefined;

  constructor(call: ServerUnaryCall<Request, Response>, clock: Clock) {
    this.#call = call;
    this.#clock = clock;
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
