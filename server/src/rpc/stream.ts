import type { handleServerStreamingCall, ServerWritableStream } from "@grpc/grpc-js";
import { constants } from "node:http2";

import type { Clock } from "../base/clock.js";
import type { Log } from "../base/log.js";
import type { Caller } from "../callers/caller.js";
import type { WatchSink } from "../watch/watch-sink.js";
import { type CallMeter, measureCall } from "./call-meter.js";
import type { CallerGate, GatedCall } from "./caller-gate.js";
import { seesTheSame } from "./authorization.js";
import { streamKey } from "./caller-key.js";
import type { DeniedCalls } from "./denied-calls.js";
import type { MetadataLimit } from "./metadata-limit.js";
import { refuseUnreadable } from "./readable.js";
import { RpcError, toServiceError } from "./status.js";
import type { StreamGrants } from "./stream-grants.js";
import { isObject, type Transport, transportOf } from "./transport-of.js";
import { explain } from "./unary.js";

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
  readonly metadata: MetadataLimit;
  /** Says who calls, and refuses who may not. */
  readonly gate: CallerGate;
  /** Ends streams whose callers may no longer have them. */
  readonly grants?: StreamGrants;
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
        environment.metadata.check(call.metadata);
        refuseUnreadable(call.request);
        const caller = environment.gate.admit(call, call.request);
        const context = { sink, caller, streamKey: streamKey(caller, call.getPeer()) };
        await holdWhileGranted(environment, { call, context }, async () => {
          await work(call.request, context);
        });
      } finally {
        sink.release();
      }
    }
  };
}

interface OpenStream {
  readonly call: GatedCall & { readonly request: unknown };
  readonly context: StreamContext;
}

/** Serves until the caller may not have the stream any more, or would get another one. */
async function holdWhileGranted(
  { gate, grants }: StreamEnvironment,
  { call, context }: OpenStream,
  serve: () => Promise<void>,
): Promise<void> {
  if (grants === undefined) {
    await serve();
    return;
  }
  await grants.hold(() => {
    const now = gate.admit(call, call.request);
    if (!seesTheSame(call.request, context.caller, now)) {
      throw new RpcError("DRAINING", "What the caller may see has changed: reconnect");
    }
  }, serve);
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
export function resetIfStuck(call: object, clock: Clock): void {
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
