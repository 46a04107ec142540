import type { ServerOptions } from "@grpc/grpc-js";

import type { Limits } from "./configuration/limits.js";

/*
 * Every limit of the process that is not a setting, with its reason. Those that
 * are settings are in configuration/limits.ts. What is bounded in neither is
 * bounded where it is made: request fields in rpc/validate.ts, the watch in
 * watch/watch-options.ts, the stores in their options.
 */

/** A page of 500 sessions with 8 KiB of attributes each is below 5 MB. */
const SEND_BYTES_MAX = 8 * 1024 * 1024;

/** A connection ends at this age, ± 10 %, so that load spreads again after a scale-out. */
const CONNECTION_AGE_MS = 30 * 60_000;

/** What is left on an aged connection may finish; a unary call takes a second at most. */
const CONNECTION_AGE_GRACE_MS = 30_000;

/** A connection without a call is closed after this (S-41). */
const CONNECTION_IDLE_MS = 15 * 60_000;

/** A dead peer is noticed within the sum of the two. */
const KEEPALIVE_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 10_000;

/**
 * A watch is told to reconnect when its connection reaches its age, because before
 * that it would come back on the same connection. This bounds a watch whose
 * connection shows no age.
 */
export const WATCH_AGE_MAX_MS = 2 * CONNECTION_AGE_MS;

/** All of a drain. Kubernetes kills after 30 s. */
export const DRAIN_MS_MAX = 25_000;

/** The window over which watchers reconnect elsewhere when a replica drains. */
export const DRAIN_RECONNECT_MS = 5000;

/** A replica is ready if every partition was read within this time (S-47). */
export const READY_WITHIN_MS = 1000;

/** How often readiness is looked at. NOT_SERVING comes at most this much later (S-47: 2 s). */
export const READINESS_INTERVAL_MS = 250;

/** How long a start waits for the store, so that the first health check can be SERVING. */
export const START_GRACE_MS = 500;

/** When connections end. */
export interface ConnectionLimits {
  /**
   * A connection takes no new calls from this age on, ± 10 %, in ms. Its watches
   * are told to reconnect.
   *
   * @default 1800000
   */
  readonly ageMs?: number;
  /** How long after that it is cut, in ms. @default 30000 */
  readonly ageGraceMs?: number;
}

/**
 * What grpc-js is told. It accepts gzip whatever it is told, but never beyond the
 * receive limit. Channelz stays on: with it off, forceShutdown of grpc-js 1.14
 * forgets its connections and leaves them open. Nothing serves it (S-30).
 */
export function grpcOptions(
  { ageMs = CONNECTION_AGE_MS, ageGraceMs = CONNECTION_AGE_GRACE_MS }: ConnectionLimits,
  { receiveBytesMax, streamsPerConnectionMax }: Limits,
): ServerOptions {
  return {
    "grpc.max_receive_message_length": receiveBytesMax,
    "grpc.max_send_message_length": SEND_BYTES_MAX,
    "grpc.max_concurrent_streams": streamsPerConnectionMax,
    "grpc.max_connection_age_ms": ageMs,
    "grpc.max_connection_age_grace_ms": ageGraceMs,
    "grpc.max_connection_idle_ms": CONNECTION_IDLE_MS,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
  };
}
