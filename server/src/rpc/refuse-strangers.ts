import { type ServerInterceptor, ServerInterceptingCall } from "@grpc/grpc-js";

import { accessOf } from "./authorization.js";
import type { GatedCall } from "./caller-gate.js";
import { measureCall } from "./call-meter.js";
import { toRpcError, toServiceError } from "./status.js";
import { resetIfStuck, type StreamEnvironment } from "./stream.js";

/*
 * Where clients have no certificates, anybody can open a connection, and grpc-js calls
 * a handler only once a whole message is there: a stranger that begins 256 calls and
 * ends none of them would have a connection hold 64 MiB. So who has no service key is
 * refused when the metadata has arrived, before any of the message is read.
 *
 * It refuses early and decides nothing: the gate asks again about every call, with its
 * message. Where TLS has verified a certificate it is not needed, and costs nothing.
 */

/** Refuses calls of unknown callers before their message is read. */
export function refuseStrangers(
  environment: Pick<StreamEnvironment, "clock" | "gate" | "denied" | "meter">,
): ServerInterceptor {
  return (method, call) => {
    // What has no row needs no identity: health and reflection.
    if (accessOf(method.path) === undefined) {
      return new ServerInterceptingCall(call);
    }
    return new ServerInterceptingCall(call, {
      start: (next) => {
        next({
          onReceiveMetadata: (metadata, proceed) => {
            const stranger: GatedCall & { call: object; cancelled: boolean } = {
              call,
              cancelled: false,
              metadata,
              getPath: () => method.path,
              getAuthContext: () => call.getAuthContext(),
            };
            try {
              environment.gate.identify(stranger);
            } catch (error) {
              const told = toRpcError(error);
              measureCall(environment, stranger)(told);
              environment.denied?.note(stranger, undefined, told);
              const { code, details, metadata: trailers } = toServiceError(told);
              call.sendStatus({ code, details, metadata: trailers });
              resetIfStuck(stranger, environment.clock);
              return;
            }
            proceed(metadata);
          },
        });
      },
    });
  };
}
