import type { handleServerStreamingCall, ServerWritableStream } from "@grpc/grpc-js";
import { constants } from "node:http2";

import type { Clock } from "../base/clock.js";
import type { Log } from "../base/log.js";
import type { Caller } from "../callers/caller.js";
import type { WatchSink } from "../watch/watch-sink.js";
import { type CallMeter, measureCall } from "./call-meter.js";
import type { CallerGate } from "./caller-gate.js";
import { streamKey } from "./caller-key.js";
import type { DeniedCalls } from "./denied-calls.js";
import { refuseUnreadable } from "./readable.js";
import { toServiceError } from "./status.js";
import { isObject, type Transport, transportOf } from "./transport-of.js";
import { explain, refuseLargeMetadata } from "./unary.js";

/*
 * Every streaming method goes through this wrapper. Beyond what unary.ts guards
 * against, a stream of grpc-js has three traps of its own:
 *
 * - The callback of a write is the only sign that the client reads, and after a
 *   cancel it never comes. Each write is therefore settled by whichever comes
 *   first: the callback, the end of the call, or `release`.
 * - A handler that throws away a stream by draining the server ends it with
 *   CANCELLED, which clients do not retry. Streams end with a status that the
 *   handler chose.
 * - A status waits behind the data, and data that a client does not read waits
 *   for ever, with the stream, its buffers and its place in the count. So a
 *   stream that cannot be ended with its status in a second is reset, with the
 *   HTTP/2 code that gRPC maps to RESOURCE_EXHAUSTED.
 */

/** What every stream shares. */
export interface StreamEnvironment {
  readonly clock: Clock;
  readonly log: Log;
  /** Bytes of metadata above which a stream is refused (S-40). */
  readonly metadataBytesMax: number;
  /** Says who calls, and refuses who may not. */
  readonly gate: CallerGate;
  /** Records the streams that were refused because of who called. */
  readonly denied?: DeniedCalls;
  /** Where finished streams are counted. */
  readonly meter?: CallMeter;
}

/** Where a stream goes, and who asked for it. */
export interface StreamContext {
  readonly sink: WatchSink;
  readonly caller: Caller;
  /** Under what name the caller's streams are counted. */
  readonly streamKey: string;
}

/** Serves one stream until the promise settles. Whatever it rejects with becomes the status. */
export type StreamWork<Request> = (request: Request, context: StreamContext) => Promise<void>;

// A client that reads takes its status within a round trip.
const STATUS_GRACE_MS = 1000;

/** The handler that grpc-js calls for a method whose work is `work`. */
export function stream<Request, Response>(
  environment: StreamEnvironment,
  work: StreamWork<Request>,
): handleServerStreamingCall<Request, Response | Buffer> {
  return (call) => {
    const sink = new CallSink(call);
    const finished = measureCall(environment, call);
    start().then(
      () => {
        finished();
        call.end();
        resetIfStuck(call, environment.clock);
      },
      (error: unknown) => {
        const told = explain(error, call.getPath(), environment.log);
        finished(told);
        environment.denied?.note(call, call.request, told);
        if (!call.cancelled) {
          call.emit("error", toServiceError(told));
          resetIfStuck(call, environment.clock);
        }
      },
    );

    async function start(): Promise<void> {
      try {
        refuseLargeMetadata(call.metadata, environment.metadataBytesMax);
        refuseUnreadable(call.request);
        const caller = environment.gate.admit(call, call.request);
        await work(call.request, { sink, caller, streamKey: streamKey(caller, call.getPeer()) });
      } finally {
        sink.release();
      }
    }
  };
}

class CallSink<Request, Response> implements WatchSink {
  readonly #call: ServerWritableStream<Request, Response | Buffer>;
  readonly #transport: Transport | undefined;
  #isOver = false;
  #settle: ((isWritten: boolean) => void) | undefined;

  constructor(call: ServerWritableStream<Request, Response | Buffer>) {
    this.#call = call;
    this.#transport = transportOf(call);
    for (const end of ["cancelled", "close", "error"]) {
      call.once(end, () => {
        this.release();
      });
    }
  }

  get isRetiring(): boolean {
    const connection = this.#transport?.session;
    return isObject(connection) && Reflect.get(connection, "closed") === true;
  }

  async write(message: Uint8Array): Promise<boolean> {
    if (this.#isOver || this.#call.cancelled) {
      return false;
    }
    return await new Promise<boolean>((resolve) => {
      this.#settle = resolve;
      const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
      this.#call.write(bytes, (error: Error | null | undefined) => {
        resolve(error === null || error === undefined);
      });
    });
  }

  release(): void {
    this.#isOver = true;
    this.#settle?.(false);
  }
}

/** Resets the HTTP/2 stream of a call whose client does not even read the status. */
function resetIfStuck(call: object, clock: Clock): void {
  const transport = transportOf(call);
  if (transport === undefined || transport.closed) {
    return;
  }
  const timer = clock.setTimer(STATUS_GRACE_MS, () => {
    if (!transport.closed) {
      transport.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    }
  });
  transport.once("close", () => {
    timer.cancel();
  });
}
