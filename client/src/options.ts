import type { MeterProvider } from "@opentelemetry/api";
import { systemClock, type Clock } from "./base/clock.js";
import { systemRandomness, type Randomness } from "./base/random.js";
import type { CacheLimits } from "./cache/validation-cache.js";
import type { Logger } from "./freshness/surroundings.js";
import type { ClientCredentials, ServiceKey } from "./transport/channel.js";
import type { Transport } from "./transport/transport.js";

/** This library's version, as the authority's operators see it. */
export const SDK_VERSION = "0.1.0";

/** What a client is made of. */
export interface SessionClientOptions {
  /**
   * Where the authority is: any gRPC name, such as `dns:///authority.internal:7443`
   * or `ipv4:10.0.0.1:7443,10.0.0.2:7443`. Calls go to all addresses in turn.
   */
  readonly target: string;
  /**
   * Where the revocation stream goes, if elsewhere: replicas set apart for
   * streams, or a path of its own to them. Sync stays with the calls, so that
   * what keeps the promise does not hang on it.
   *
   * @default target
   */
  readonly watchTarget?: string;
  /**
   * How the connection is secured. `plaintext` sends tokens in clear and is for
   * loopback.
   *
   * @default TLS with the certificates the system trusts
   */
  readonly credentials?: ClientCredentials;
  /**
   * This service's key, 43 to 128 characters, for an authority that does not see its
   * certificate. A function is asked for each call, so that the key can be changed
   * while the service runs. Never logged.
   *
   * @default none: the client certificate says who calls
   */
  readonly serviceKey?: ServiceKey;
  /** The tenant whose sessions this service validates, 1 to 128 bytes. */
  readonly tenantId: string;
  /** What this service calls itself, for operators, 1 to 128 bytes. */
  readonly clientName: string;
  /**
   * Which process of the service this is, for operators, at most 128 bytes.
   *
   * @default a random id
   */
  readonly instanceId?: string;
  /**
   * The longest a revoked session may be accepted from memory here, in ms, 100
   * to 60,000. It can only shorten the deployment's own bound L. Smaller means
   * more Syncs (one each third) and less tolerance of a slow network.
   *
   * @default the deployment's
   */
  readonly maxStalenessMs?: number;
  /**
   * How many sessions are kept in memory, 0 to 10,000,000. About 2 KB each, and
   * as much again where every one of them gets revoked. 0 keeps none.
   *
   * @default 100_000
   */
  readonly cacheEntriesMax?: number;
  /**
   * How long any call may take, retries included, in ms, 10 to 60,000. A
   * validation takes at most half of the staleness bound.
   *
   * @default 1_000
   */
  readonly deadlineMs?: number;
  /**
   * How often uses that were answered from memory are reported, in ms, 100 to
   * 60,000. A session within two such intervals of its idle deadline is
   * validated by the authority.
   *
   * @default 5_000
   */
  readonly touchFlushMs?: number;
  /**
   * How many validations may wait for the authority at once, 1 to 100,000.
   * Beyond it they answer `unavailable`.
   *
   * @default 10_000
   */
  readonly inFlightMax?: number;
  /** Told of changes of state. Never of tokens. */
  readonly logger?: Logger;
  /** Where to register metrics. Without it there are none; `status` has the same numbers. */
  readonly meterProvider?: MeterProvider;
  /** Where time comes from, for tests. */
  readonly clock?: Clock;
  /** Where randomness comes from, for tests. */
  readonly randomness?: Randomness;
  /** The authority itself, for tests. `target` and `credentials` are then unused. */
  readonly transport?: Transport;
}

/** The options with nothing left out. */
export interface ResolvedOptions {
  readonly target: string;
  readonly watchTarget: string;
  readonly credentials: ClientCredentials;
  readonly serviceKey: ServiceKey | undefined;
  readonly tenantId: string;
  readonly clientName: string;
  readonly instanceId: string;
  readonly deadlineMs: number;
  readonly touchFlushMs: number;
  readonly inFlightMax: number;
  readonly followersMax: number;
  readonly touchesMax: number;
  readonly maxStalenessMs: number;
  readonly cache: CacheLimits;
  readonly logger: Logger | undefined;
  readonly meterProvider: MeterProvider | undefined;
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly transport: Transport | undefined;
}

/** What L is taken to be until the authority has told its own, in ms. */
export const INITIAL_STALENESS_MS = 3_000;

/** No deployment's L is longer, so a lease that claims to be is not believed, in ms. */
const STALENESS_MAX_MS = 60_000;
/** Fewer are needed than entries: most sessions end by a clock, and evicting is safe. */
const CUTOFFS_MAX = 10_000;
const OWN_MUTATIONS_MAX = 10_000;
const FOLLOWERS_MAX = 100_000;
const TOUCHES_MAX = 100_000;
const NAME_BYTES_MAX = 128;
const TARGET_BYTES_MAX = 1_024;

/** Fills in the defaults and checks every bound, once. Throws `RangeError` or `TypeError`. */
export function resolveOptions(options: SessionClientOptions): ResolvedOptions {
  const entriesMax = within("cacheEntriesMax", options.cacheEntriesMax ?? 100_000, [0, 10_000_000]);
  const maxStalenessMs = within("maxStalenessMs", options.maxStalenessMs ?? STALENESS_MAX_MS, [
    100,
    STALENESS_MAX_MS,
  ]);
  const randomness = options.randomness ?? systemRandomness;
  if (options.transport === undefined) {
    for (const name of ["target", "watchTarget"] as const) {
      named(name, options[name] ?? options.target, TARGET_BYTES_MAX);
    }
  }
  return {
    target: options.target,
    watchTarget: options.watchTarget ?? options.target,
    credentials: options.credentials ?? {},
    serviceKey: keyOf(options.serviceKey),
    tenantId: named("tenantId", options.tenantId, NAME_BYTES_MAX),
    clientName: named("clientName", options.clientName, NAME_BYTES_MAX),
    instanceId: named("instanceId", options.instanceId ?? randomness.requestId(), NAME_BYTES_MAX),
    deadlineMs: within("deadlineMs", options.deadlineMs ?? 1_000, [10, 60_000]),
    touchFlushMs: within("touchFlushMs", options.touchFlushMs ?? 5_000, [100, 60_000]),
    inFlightMax: within("inFlightMax", options.inFlightMax ?? 10_000, [1, 100_000]),
    followersMax: FOLLOWERS_MAX,
    touchesMax: TOUCHES_MAX,
    maxStalenessMs,
    cache: {
      entriesMax,
      tombstonesMax: entriesMax,
      marksMax: entriesMax,
      cutoffsMax: CUTOFFS_MAX,
      ownMutationsMax: OWN_MUTATIONS_MAX,
      maxStalenessMs,
    },
    logger: options.logger && quiet(options.logger),
    meterProvider: options.meterProvider,
    clock: options.clock ?? systemClock,
    randomness,
    transport: options.transport,
  };
}

/** The message never shows the key. */
function keyOf(key: ServiceKey | undefined): ServiceKey | undefined {
  if (typeof key === "string" && !/^[\x21-\x7e]{43,128}$/.test(key)) {
    throw new TypeError("Cannot use serviceKey: it must be 43 to 128 printable ASCII characters");
  }
  return key;
}

/** A logger that throws must not end the loops that keep the promise. */
function quiet(logger: Logger): Logger {
  function tell(level: keyof Logger, ...said: Parameters<Logger["info"]>): void {
    try {
      logger[level](...said);
    } catch {
      // There is nobody left to tell.
    }
  }
  return {
    info: (...said) => {
      tell("info", ...said);
    },
    warn: (...said) => {
      tell("warn", ...said);
    },
  };
}

function within(name: string, value: number, [min, max]: readonly [number, number]): number {
  if (Number.isFinite(value) && value >= min && value <= max) return value;
  throw new RangeError(`Cannot set ${name} to ${value}: it must be ${min} to ${max}`);
}

function named(name: string, value: string, bytesMax: number): string {
  const bytes = typeof value === "string" ? Buffer.byteLength(value) : 0;
  if (bytes >= 1 && bytes <= bytesMax) return value;
  throw new TypeError(`Cannot set ${name} to ${bytes} bytes: it must be 1 to ${bytesMax}`);
}
