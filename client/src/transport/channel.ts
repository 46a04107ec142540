import {
  credentials,
  type ChannelCredentials,
  type ChannelOptions,
  type ClientOptions,
  InterceptingCall,
  type Metadata,
} from "@grpc/grpc-js";

/** How the client proves whom it talks to, and who it is. */
export interface TlsCredentials {
  /** PEM certificates to trust instead of the system's. */
  readonly rootCertificates?: Buffer;
  /** PEM key and certificate chain of this service, for mutual TLS. Both or neither. */
  readonly privateKey?: Buffer;
  readonly certificateChain?: Buffer;
}

/** `plaintext` is for loopback: tokens travel in clear. */
export type ClientCredentials = "plaintext" | TlsCredentials;

/** A service's own key, or what says it: asked for each call, so that it can be changed. */
export type ServiceKey = string | (() => string);

const KEEPALIVE_TIME_MS = 20_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;
const RECONNECT_BACKOFF_MIN_MS = 100;
const RECONNECT_BACKOFF_MAX_MS = 500;
/** A page of 500 sessions with 8 KiB of attributes each, and room for the rest. */
const RECEIVE_BYTES_MAX = 8 * 1024 * 1024;

const ROUND_ROBIN = JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] });

const COMMON: ChannelOptions = {
  "grpc.service_config": ROUND_ROBIN,
  "grpc.service_config_disable_resolution": 1,
  // This library retries by itself: with the same request id, within one deadline and a budget.
  "grpc.enable_retries": 0,
  "grpc.keepalive_time_ms": KEEPALIVE_TIME_MS,
  "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
  "grpc.initial_reconnect_backoff_ms": RECONNECT_BACKOFF_MIN_MS,
  "grpc.max_reconnect_backoff_ms": RECONNECT_BACKOFF_MAX_MS,
  "grpc.max_receive_message_length": RECEIVE_BYTES_MAX,
};

/** For unary calls: spread over all replicas, a retry goes to the next one. */
export const CALL_CHANNEL: ChannelOptions = COMMON;

/**
 * For the stream and for Sync: connections of their own, so that a flood of
 * validations or a burst of events delays neither. A Sync after a failed one
 * reaches the next replica.
 */
export const FRESHNESS_CHANNEL: ChannelOptions = { ...COMMON, "grpc.use_local_subchannel_pool": 1 };

/** The channel's credentials. */
export function toChannelCredentials(given: ClientCredentials): ChannelCredentials {
  if (given === "plaintext") return credentials.createInsecure();
  return credentials.createSsl(
    given.rootCertificates ?? null,
    given.privateKey ?? null,
    given.certificateChain ?? null,
  );
}

/** A key that cannot be had goes as none: the authority then refuses the call, in its words. */
function authorize(metadata: Metadata, key: ServiceKey): void {
  try {
    metadata.set("authorization", `Bearer ${typeof key === "string" ? key : key()}`);
  } catch {
    metadata.remove("authorization");
  }
}

/**
 * A channel's options with the service key sent in every call. It goes as metadata
 * and not as grpc-js's call credentials, because those refuse the plaintext
 * connection to a proxy on the same machine that does the TLS.
 */
export function withServiceKey(
  options: ChannelOptions,
  key: ServiceKey | undefined,
): ClientOptions {
  if (key === undefined) return options;
  return {
    ...options,
    interceptors: [
      (callOptions, nextCall) =>
        new InterceptingCall(nextCall(callOptions), {
          start: (metadata, listener, next) => {
            authorize(metadata, key);
            next(metadata, listener);
          },
        }),
    ],
  };
}
