import {
  GetSessionRequest,
  ListSessionsRequest,
  RevocationServiceClient,
  SessionServiceClient,
  type GetSessionResponse,
  type TouchSessionsResponse,
  type WatchRevocationsResponse,
} from "@coatcheck/proto";
import type { ServiceError } from "@grpc/grpc-js";
import type { Clock } from "../base/clock.js";
import { SessionAuthorityError, toSessionAuthorityError } from "../base/errors.js";
import type { Randomness } from "../base/random.js";
import {
  CALL_CHANNEL,
  FRESHNESS_CHANNEL,
  toChannelCredentials,
  type ClientCredentials,
  type ServiceKey,
  withServiceKey,
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
import { Line } from "./line.js";
import { OpenCalls } from "./open-calls.js";
import { RetryBudget } from "./retry.js";
import { fromServiceError } from "./status.js";
import type { FollowCall, Transport, WatchListener, WatchStream } from "./transport.js";
import { once, retried, type CallParts } from "./unary-call.js";

/** Where the authority is, and what the transport runs on. */
export interface GrpcTransportOptions {
  /** Any gRPC name: `dns:///authority.internal:7443`, `ipv4:10.0.0.1:7443,10.0.0.2:7443`. */
  readonly target: string;
  /** Where the stream goes. */
  readonly watchTarget: string;
  readonly credentials: ClientCredentials;
  readonly serviceKey: ServiceKey | undefined;
  readonly clock: Clock;
  readonly randomness: Randomness;
}

/** Builds the transport. It connects when the first call is made. */
export function createGrpcTransport(options: GrpcTransportOptions): Transport {
  const { clock, randomness, target, watchTarget } = options;
  const channelCredentials = toChannelCredentials(options.credentials);
  const calls = withServiceKey(CALL_CHANNEL, options.serviceKey);
  const freshness = withServiceKey(FRESHNESS_CHANNEL, options.serviceKey);
  const open = new OpenCalls();
  const surroundings = { clock, randomness, budget: new RetryBudget() };
  let callChannel = calls;
  const sessions = new Line({
    clock,
    open: () => {
      const client = new SessionServiceClient(target, channelCredentials, callChannel);
      // The first shares its connections with others of this process, dead ones too.
      callChannel = freshness;
      return client;
    },
  });
  const streams = new Line({
    clock,
    open: () => new RevocationServiceClient(watchTarget, channelCredentials, freshness),
  });
  let endStream: (() => void) | undefined;
  const syncs = new Line({
    clock,
    open: () => new RevocationServiceClient(target, channelCredentials, freshness),
    onReplaced: () => {
      // The stream hears nothing of a dead path either. To resume it costs one call.
      if (watchTarget !== target) return;
      streams.replace();
      endStream?.();
    },
  });
  const parts = { line: sessions, open, surroundings };

  return {
    ...sessionCalls(parts),
    ...mutations(parts),
    sync: async (call, callOptions) =>
      await once({ line: syncs, open, surroundings }, callOptions, {
        method: "SyncRevocations",
        send:
          (client) =>
          (...rest) =>
            client.syncRevocations(toSyncRequest(call), ...rest),
        read: fromSyncResponse,
      }),
    watch: (call, listener) => {
      const stream = openWatch(streams.client, call, listener);
      endStream = stream.end;
      return stream;
    },
    close: () => {
      for (const line of [sessions, syncs, streams]) line.close();
      open.endAll();
    },
  };
}

function sessionCalls(
  parts: CallParts<SessionServiceClient>,
): Pick<Transport, "validate" | "touch" | "get" | "list"> {
  return {
    validate: async (call, options) =>
      await retried(parts, options, {
        method: "ValidateSession",
        send:
          (client) =>
          (...rest) =>
            client.validateSession(toValidateRequest(call), ...rest),
        read: fromValidateResponse,
      }),
    touch: async (uses, options) =>
      await retried(parts, options, {
        method: "TouchSessions",
        send:
          (client) =>
          (...rest) =>
            client.touchSessions(toTouchRequest(uses), ...rest),
        read: (response: TouchSessionsResponse) => response.outcomes.map(fromOutcome),
      }),
    get: async (sessionId, options) =>
      await retried(parts, options, {
        method: "GetSession",
        send:
          (client) =>
          (...rest) =>
            client.getSession(GetSessionRequest.create({ sessionId }), ...rest),
        read: (response: GetSessionResponse) => fromSession(response.session),
      }),
    list: async (call, options) =>
      await retried(parts, options, {
        method: "ListSessions",
        send:
          (client) =>
          (...rest) =>
            client.listSessions(ListSessionsRequest.create(call), ...rest),
        read: fromListResponse,
      }),
  };
}

function mutations(
  parts: CallParts<SessionServiceClient>,
): Pick<Transport, "create" | "update" | "rotate" | "revoke" | "revokeSubject"> {
  return {
    create: async (call, options) =>
      await retried(parts, options, {
        method: "CreateSession",
        send:
          (client) =>
          (...rest) =>
            client.createSession(toCreateRequest(call), ...rest),
        read: fromCreateResponse,
      }),
    update: async (call, options) =>
      await retried(parts, options, {
        method: "UpdateSession",
        send:
          (client) =>
          (...rest) =>
            client.updateSession(toUpdateRequest(call), ...rest),
        read: fromUpdateResponse,
      }),
    rotate: async (call, options) =>
      await retried(parts, options, {
        method: "RotateSession",
        send:
          (client) =>
          (...rest) =>
            client.rotateSession(toRotateRequest(call), ...rest),
        read: fromRotateResponse,
      }),
    revoke: async (call, options) =>
      await retried(parts, options, {
        method: "RevokeSession",
        send:
          (client) =>
          (...rest) =>
            client.revokeSession(toRevokeRequest(call), ...rest),
        read: fromRevokeResponse,
      }),
    revokeSubject: async (call, options) =>
      await retried(parts, options, {
        method: "RevokeSubjectSessions",
        send:
          (client) =>
          (...rest) =>
            client.revokeSubjectSessions(toRevokeSubjectRequest(call), ...rest),
        read: fromRevokeSubjectResponse,
      }),
  };
}

function openWatch(
  client: RevocationServiceClient,
  call: FollowCall,
  listener: WatchListener,
): WatchStream & { readonly end: () => void } {
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
      const message = fromWatchResponse(response);
      if (message !== undefined) listener.onMessage(message);
    } catch (thrown) {
      end(toSessionAuthorityError(thrown));
    }
  });
  // After a cancel the error still comes, and nobody listening would end the process.
  stream.on("error", (error: ServiceError) => {
    end(fromServiceError("WatchRevocations", error));
  });
  stream.on("end", () => {
    end(endedQuietly("the authority closed the stream"));
  });
  return {
    cancel: () => {
      isOver = true;
      stream.cancel();
    },
    end: () => {
      end(endedQuietly("the path to the authority is dead"));
    },
  };
}

function endedQuietly(why: string): SessionAuthorityError {
  return new SessionAuthorityError({
    reason: "unreachable",
    applied: "no",
    message: `WatchRevocations ended: ${why}`,
    retryable: true,
  });
}
