import { status as GrpcCode } from "@grpc/grpc-js";

import type { Clock } from "../base/clock.js";
import type { RpcError } from "./status.js";

/** Where finished calls are counted. On the hot path: it has to be fast and may not throw. */
export interface CallMeter {
  /** A call has its answer, or its error. */
  finished(call: {
    readonly method: string;
    readonly durationMs: number;
    readonly code: GrpcCode;
    readonly reason: string | undefined;
  }): void;
}

/** What is known of a call when it begins. */
interface StartedCall {
  getPath(): string;
  readonly cancelled: boolean;
}

/**
 * Starts to measure a call. What is returned is told once how it ended. A call
 * that nobody waits for any more counts as cancelled, whatever came of it: that is
 * what its caller saw.
 */
export function measureCall(
  { meter, clock }: { readonly meter?: CallMeter; readonly clock: Clock },
  call: StartedCall,
): (error?: RpcError) => void {
  if (meter === undefined) {
    return () => undefined;
  }
  const startedAtMs = clock.monotonicMs();
  return (error) => {
    const code = error?.code ?? GrpcCode.OK;
    meter.finished({
      method: call.getPath().slice(1),
      durationMs: clock.monotonicMs() - startedAtMs,
      code: call.cancelled ? GrpcCode.CANCELLED : code,
      reason: error?.reason,
    });
  };
}
