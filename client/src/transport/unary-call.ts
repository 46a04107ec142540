import {
  Metadata,
  type CallOptions as GrpcCallOptions,
  type ClientUnaryCall,
  type ServiceError,
} from "@grpc/grpc-js";
import { SessionAuthorityError, toSessionAuthorityError } from "../base/errors.js";
import type { Line } from "./line.js";
import type { OpenCalls } from "./open-calls.js";
import { withRetries, type RetrySurroundings } from "./retry.js";
import { fromServiceError } from "./status.js";
import type { CallOptions } from "./transport.js";

/** Sends one attempt of a unary call: grpc-js's generated methods have this shape. */
type Send<Res> = (
  metadata: Metadata,
  options: Partial<GrpcCallOptions>,
  callback: (error: ServiceError | null, response: Res) => void,
) => ClientUnaryCall;

/** One call: what it is called, how it is sent, how its answer is read. */
export interface Unary<Client, Res, T> {
  readonly method: string;
  readonly send: (client: Client) => Send<Res>;
  readonly read: (response: Res) => T;
}

/** What calls of one service need. */
export interface CallParts<Client extends { close(): void }> {
  readonly line: Line<Client>;
  readonly open: OpenCalls;
  readonly surroundings: RetrySurroundings;
}

/** A call that is tried again where that may help. */
export async function retried<Client extends { close(): void }, Res, T>(
  parts: CallParts<Client>,
  options: CallOptions,
  unary: Unary<Client, Res, T>,
): Promise<T> {
  return await withRetries(parts.surroundings, options.deadlineMs, async (leftMs) => {
    return await once(parts, { ...options, deadlineMs: leftMs }, unary);
  });
}

/**
 * One attempt. grpc-js counts deadlines on the wall clock, which may be stepped,
 * so a timer of ours counts as well.
 */
export async function once<Client extends { close(): void }, Res, T>(
  parts: CallParts<Client>,
  options: CallOptions,
  unary: Unary<Client, Res, T>,
): Promise<T> {
  if (parts.open.isClosed) throw closed(unary.method, "no");
  if (options.signal?.aborted === true) throw cancelled(unary.method, "no");
  try {
    return await send(parts, options, unary);
  } catch (thrown) {
    throw toSessionAuthorityError(thrown);
  }
}

async function send<Client extends { close(): void }, Res, T>(
  { line, open, surroundings: { clock } }: CallParts<Client>,
  options: CallOptions,
  unary: Unary<Client, Res, T>,
): Promise<T> {
  const { signal, deadlineMs } = options;
  return await new Promise<T>((resolve, reject) => {
    const deadline = Math.ceil(clock.wallMs() + deadlineMs);
    const onLine = line.call();
    let isOver = false;
    const call = unary.send(onLine.client)(new Metadata(), { deadline }, (error, response) => {
      if (isOver) return;
      onLine.ended(call.getPeer(), error);
      settle();
      if (error !== null) {
        reject(fromServiceError(unary.method, error));
        return;
      }
      try {
        resolve(unary.read(response));
      } catch (thrown) {
        reject(toSessionAuthorityError(thrown));
      }
    });
    const timer = clock.setTimer(
      deadlineMs,
      () => {
        onLine.ranOut(call.getPeer());
        end(timedOut(unary.method, deadlineMs));
      },
      "keeps-alive",
    );
    signal?.addEventListener("abort", onAbort);
    open.add(onClose);

    function onAbort(): void {
      end(cancelled(unary.method, "unknown"));
    }
    function onClose(): void {
      end(closed(unary.method, "unknown"));
    }
    function end(error: SessionAuthorityError): void {
      settle();
      reject(error);
      call.cancel();
    }
    function settle(): void {
      isOver = true;
      timer.cancel();
      open.delete(onClose);
      signal?.removeEventListener("abort", onAbort);
    }
  });
}

function timedOut(method: string, deadlineMs: number): SessionAuthorityError {
  return new SessionAuthorityError({
    reason: "timeout",
    applied: "unknown",
    message: `${method} failed: no answer within ${Math.round(deadlineMs)} ms`,
  });
}

function closed(method: string, applied: "no" | "unknown"): SessionAuthorityError {
  return new SessionAuthorityError({
    reason: "closed",
    applied,
    message: `${method} failed: the client was closed`,
  });
}

function cancelled(method: string, applied: "no" | "unknown"): SessionAuthorityError {
  return new SessionAuthorityError({
    reason: "cancelled",
    applied,
    message: `${method} failed: the caller's signal aborted`,
  });
}
