import {
  GetSessionRequest,
  ListSessionsRequest,
  RevocationServiceClient,
  SessionServiceClient,
  type GetSessionResponse,
  type TouchSessionsResponse,
  type WatchRevocationsResponse,
} from "@coatcheck/proto";
import {
  Metadata,
  type CallOptions as GrpcCallOptions,
  type ClientUnaryCall,
  type ServiceError,
} from "@grpc/grpc-js";
import type { Clock } from "../base/clock.js";
import { SessionAuthorityError, toSessionAuthorityError } from "../base/errors.js";
import type { Randomness } from "../base/random.js";
import {
  CALL_CHANNEL,
  FRESHNESS_CHANNEL,
  toChannelCredentials,
  type ClientCredentials,
} from "./channel.js";
import {
  fromSyncResponse,
  fromWatchResponse,
  toSyncRequest,
  toWatchRequest,
} from "./convert-events.js";
import {
  fromCreateResponse,
  fromListResponse,
  fromRevokeResponse,
  fromRevokeSubjectResponse,
  fromRotateResponse,
  fromUpdateResponse,
  fromValidateResponse,
  toCreateRequest,
  toRevokeRequest,
  toRevokeSubjectRequest,
  toRotateRequest,
  toTouchRequest,
  toUpdateRequest,
  toValidateRequest,
} from "./convert-sessions.js";
import { fromOutcome, fromSession } from "./convert.js";
import { RetryBudget, withRetries, type RetrySurroundings } from "./retry.js";
import { fromServiceError } from "./status.js";
import type {
  CallOptions,
  FollowCall,
  Transport,
  WatchListener,
  WatchStream,
} from "./transport.js";

/** Where the authority is, and what the transport runs on. */
export interface GrpcTransportOptions {
  /** Any gRPC name: `dns:///authority.internal:7443`, `ipv4:10.0.0.1:7443,10.0.0.2:7443`. */
  readonly target: string;
  /** Where the stream goes. */
  readonly watchTarget: string;
  readonly credentials: ClientCredentials;
  readonly clock: Clock;
  readonly randomness: Randomness;
}

/** Sends one attempt of a unary call: grpc-js's generated methods have this shape. */
type Send<Res> = (
  metadata: Metadata,
  options: Partial<GrpcCallOptions>,
  callback: (error: ServiceError | null, response: Res) => void,
) => ClientUnaryCall;

/** One call: what it is called, how it is sent, how its answer is read. */
interface Unary<Res, T> {
  readonly method: string;
  readonly send: Send<Res>;
  readonly read: (response: Res) => T;
  /** Nobody waits for it: it does not keep the process alive. */
  readonly isBackground?: boolean;
}

/** Builds the transport. It connects when the first call is made. */
export function createGrpcTransport(options: GrpcTransportOptions): Transport {
  const { clock, randomness } = options;
  const channelCredentials = toChannelCredentials(options.credentials);
  const sessions = new SessionServiceClient(options.target, channelCredentials, CALL_CHANNEL);
  const syncs = new RevocationServiceClient(options.target, channelCredentials, FRESHNESS_CHANNEL);
  const streams = new RevocationServiceClient(
    options.watchTarget,
    channelCredentials,
    FRESHNESS_CHANNEL,
  );
  const surroundings = { clock, randomness, budget: new RetryBudget() };

  return {
    ...sessionCalls(sessions, surroundings),
    ...mutations(sessions, surroundings),
    sync: async (call, callOptions) =>
      await once(clock, callOptions, {
        method: "SyncRevocations",
        send: (...rest) => syncs.syncRevocations(toSyncRequest(call), ...rest),
        read: fromSyncResponse,
      }),
    watch: (call, listener) => openWatch(streams, call, listener),
    close: () => {
      sessions.close();
      syncs.close();
      streams.close();
    },
  };
}

function sessionCalls(
  client: SessionServiceClient,
  surroundings: RetrySurroundings,
): Pick<Transport, "validate" | "touch" | "get" | "list"> {
  return {
    validate: async (call, options) =>
      await retried(surroundings, options, {
        method: "ValidateSession",
        send: (...rest) => client.validateSession(toValidateRequest(call), ...rest),
        read: fromValidateResponse,
      }),
    touch: async (uses, options) =>
      await retried(surroundings, options, {
        method: "TouchSessions",
        send: (...rest) => client.touchSessions(toTouchRequest(uses), ...rest),
        read: (response: TouchSessionsResponse) => response.outcomes.map(fromOutcome),
      }),
    get: async (sessionId, options) =>
      await retried(surroundings, options, {
        method: "GetSession",
        send: (...rest) => client.getSession(GetSessionRequest.create({ sessionId }), ...rest),
        read: (response: GetSessionResponse) => fromSession(response.session),
      }),
    list: async (call, options) =>
      await retried(surroundings, options, {
        method: "ListSessions",
        send: (...rest) => client.listSessions(ListSessionsRequest.create(call), ...rest),
        read: fromListResponse,
      }),
  };
}

function mutations(
  client: SessionServiceClient,
  surroundings: RetrySurroundings,
): Pick<Transport, "create" | "update" | "rotate" | "revoke" | "revokeSubject"> {
  return {
    create: async (call, options) =>
      await retried(surroundings, options, {
        method: "CreateSession",
        send: (...rest) => client.createSession(toCreateRequest(call), ...rest),
        read: fromCreateResponse,
      }),
    update: async (call, options) =>
      await retried(surroundings, options, {
        method: "UpdateSession",
        send: (...rest) => client.updateSession(toUpdateRequest(call), ...rest),
        read: fromUpdateResponse,
      }),
    rotate: async (call, options) =>
      await retried(surroundings, options, {
        method: "RotateSession",
        send: (...rest) => client.rotateSession(toRotateRequest(call), ...rest),
        read: fromRotateResponse,
      }),
    revoke: async (call, options) =>
      await retried(surroundings, options, {
        method: "RevokeSession",
        send: (...rest) => client.revokeSession(toRevokeRequest(call), ...rest),
        read: fromRevokeResponse,
      }),
    revokeSubject: async (call, options) =>
      await retried(surroundings, options, {
        method: "RevokeSubjectSessions",
        send: (...rest) => client.revokeSubjectSessions(toRevokeSubjectRequest(call), ...rest),
        read: fromRevokeSubjectResponse,
      }),
  };
}

async function retried<Res, T>(
  surroundings: RetrySurroundings,
  options: CallOptions,
  unary: Unary<Res, T>,
): Promise<T> {
  return await withRetries(surroundings, options.deadlineMs, async (leftMs) => {
    return await once(surroundings.clock, { ...options, deadlineMs: leftMs }, unary);
  });
}

/**
 * One attempt. grpc-js counts deadlines on the wall clock, which may be stepped,
 * so a timer of ours counts as well.
 */
async function once<Res, T>(clock: Clock, options: CallOptions, unary: Unary<Res, T>): Promise<T> {
  if (options.signal?.aborted === true) throw cancelled(unary.method, "no");
  try {
    return await send(clock, options, unary);
  } catch (thrown) {
    throw toSessionAuthorityError(thrown);
  }
}

async function send<Res, T>(clock: Clock, options: CallOptions, unary: Unary<Res, T>): Promise<T> {
  const { signal, deadlineMs } = options;
  return await new Promise<T>((resolve, reject) => {
    const deadline = Math.ceil(clock.wallMs() + deadlineMs);
    const call = unary.send(new Metadata(), { deadline }, (error, response) => {
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
        end(timedOut(unary.method, deadlineMs));
      },
      unary.isBackground === true ? undefined : "keeps-alive",
    );
    signal?.addEventListener("abort", onAbort);

    function onAbort(): void {
      end(cancelled(unary.method, "unknown"));
    }
    function end(error: SessionAuthorityError): void {
      settle();
      reject(error);
      call.cancel();
    }
    function settle(): void {
      timer.cancel();
      signal?.removeEventListener("abort", onAbort);
    }
  });
}

function openWatch(
  client: RevocationServiceClient,
  call: FollowCall,
  listener: WatchListener,
): WatchStream {
  const stream = client.watchRevocations(toWatchRequest(call));
  let isOver = false;

  function end(error: SessionAuthorityError): void {
    if (isOver) return;
    isOver = true;
    stream.cancel();
    listener.onEnd(error);
  }
  stream.on("data", (response: WatchRevocationsResponse) => {
    if (isOver) return;
    try {
      listener.onMessage(fromWatchResponse(response));
    } catch (thrown) {
      end(toSessionAuthorityError(thrown));
    }
  });
  // After a cancel the error still comes, and nobody listening would end the process.
  stream.on("error", (error: ServiceError) => {
    end(fromServiceError("WatchRevocations", error));
  });
  stream.on("end", () => {
    end(endedQuietly());
  });
  return {
    cancel: () => {
      isOver = true;
      stream.cancel();
    },
  };
}

function endedQuietly(): SessionAuthorityError {
  return new SessionAuthorityError({
    reason: "unreachable",
    applied: "no",
    message: "WatchRevocations ended: the authority closed the stream",
    retryable: true,
  });
}

function timedOut(method: string, deadlineMs: number): SessionAuthorityError {
  return new SessionAuthorityError({
    reason: "timeout",
    applied: "unknown",
    message: `${method} failed: no answer within ${Math.round(deadlineMs)} ms`,
  });
}

function cancelled(method: string, applied: "no" | "unknown"): SessionAuthorityError {
  return new SessionAuthorityError({
    reason: "cancelled",
    applied,
    message: `${method} failed: the caller's signal aborted`,
  });
}
