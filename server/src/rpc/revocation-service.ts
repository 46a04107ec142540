import {
  RevocationServiceService,
  SyncRevocationsResponse,
  type SyncRevocationsRequest,
  type WatchRevocationsRequest,
  WatchRevocationsResponse,
} from "@coatcheck/proto";
import type { handleServerStreamingCall, handleUnaryCall, UntypedHandleCall } from "@grpc/grpc-js";

import type { RevocationEnvironment } from "./revocation-environment.js";
import { stream, type StreamEnvironment } from "./stream.js";
import { syncRevocations } from "./sync-revocations.js";
import { unary, type UnaryEnvironment } from "./unary.js";
import { watchRevocations } from "./watch-revocations.js";

/** The handlers, by the names of the contract. */
export interface RevocationHandlers {
  readonly [method: string]: UntypedHandleCall;
  readonly watchRevocations: handleServerStreamingCall<
    WatchRevocationsRequest,
    WatchRevocationsResponse | Buffer
  >;
  readonly syncRevocations: handleUnaryCall<
    SyncRevocationsRequest,
    SyncRevocationsResponse | Buffer
  >;
}

/**
 * The service as grpc-js is told of it. Messages that are already encoded pass
 * through, so that one made for a thousand watchers is encoded once.
 */
export const RevocationServiceDefinition = {
  watchRevocations: {
    ...RevocationServiceService.watchRevocations,
    responseSerialize: (message: WatchRevocationsResponse | Buffer): Buffer =>
      Buffer.isBuffer(message)
        ? message
        : Buffer.from(WatchRevocationsResponse.encode(message).finish()),
  },
  syncRevocations: {
    ...RevocationServiceService.syncRevocations,
    responseSerialize: (message: SyncRevocationsResponse | Buffer): Buffer =>
      Buffer.isBuffer(message)
        ? message
        : Buffer.from(SyncRevocationsResponse.encode(message).finish()),
  },
};

/** The handlers of RevocationService; register them with `RevocationServiceDefinition`. */
export function createRevocationService(
  environment: RevocationEnvironment,
  calls: UnaryEnvironment & StreamEnvironment,
): RevocationHandlers {
  return {
    watchRevocations: stream(calls, async (request: WatchRevocationsRequest, context) => {
      await watchRevocations(environment, request, context);
    }),
    syncRevocations: unary(
      calls,
      async (
        request: SyncRevocationsRequest,
        { caller },
      ): Promise<SyncRevocationsResponse | Buffer> =>
        await syncRevocations(environment, request, caller),
    ),
  };
}
