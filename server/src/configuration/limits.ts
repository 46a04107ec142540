/*
 * Every bound of the process that an operator may move: the `limits` section of
 * the configuration file. One table says what there is; the schema of the file and the
 * defaults are made from it, and the table in server/README.md is compared with it.
 *
 * The limits of a caller protect callers from each other. Without a callers
 * configuration nobody is told apart: everything on this machine is one address,
 * and it may do everything. So the defaults of those limits hold only where
 * callers are configured; what is set in the file always holds.
 */

/** One limit. */
export interface LimitDefinition {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  /** What is counted. */
  readonly unit: string;
  /** What happens above it, and what moving it costs. */
  readonly meaning: string;
  /** Whether 0 switches it off. */
  readonly zeroIsOff?: true;
  /** Whether the default holds only where callers are configured. */
  readonly perCaller?: true;
}

const DAY_MS = 86_400_000;
const off = { min: 0, zeroIsOff: true } as const;
const perCaller = { ...off, perCaller: true } as const;

// Every name ends with what it bounds; a time in ms ends with Ms.
const definitions = {
  connectionsMax: {
    default: 10_000,
    min: 1,
    max: 1_000_000,
    unit: "connections of the replica",
    meaning: "More are closed at once. An SDK has two",
  },
  streamsPerConnectionMax: {
    default: 256,
    min: 1,
    max: 4096,
    unit: "calls at once on one connection",
    meaning: "More wait in the client, as HTTP/2 says",
  },
  metadataBytesMax: {
    default: 8192,
    min: 1024,
    max: 8192,
    unit: "bytes of a call's metadata",
    meaning: "`OVERLOADED`, before anything else is looked at",
  },
  receiveBytesMax: {
    default: 262_144,
    min: 131_072,
    max: 4_194_304,
    unit: "bytes of a request, unpacked",
    meaning: "RESOURCE_EXHAUSTED. A full TouchSessions takes 71 kB",
  },
  callsInFlightMax: {
    default: 4096,
    min: 16,
    max: 65_536,
    unit: "unary calls being worked on",
    meaning:
      "`OVERLOADED`. It bounds what waits for the store; calls are shed in order from half of it",
  },
  eventLoopDelayMaxMs: {
    ...off,
    default: 1000,
    max: 60_000,
    unit: "how late timers run, at least half a second long",
    meaning: "`OVERLOADED` for all but Syncs and revoking, in order from half of it",
  },
  callsPerCallerMax: {
    ...perCaller,
    default: 1024,
    max: 65_536,
    unit: "unary calls of one caller being worked on",
    meaning:
      "`RATE_LIMITED`; Syncs only at twice, revoking only at three times as many. One caller cannot fill `calls_in_flight_max`",
  },
  rateWindowMs: {
    default: 10_000,
    min: 1000,
    max: 3_600_000,
    unit: "the time over which rates are counted",
    meaning: "Longer allows longer bursts, and a longer wait after them",
  },
  createsPerCallerMax: {
    ...perCaller,
    default: 10_000,
    max: 100_000_000,
    unit: "creations and logins of one caller in a window",
    meaning: "`RATE_LIMITED`",
  },
  createsPerTenantMax: {
    ...perCaller,
    default: 5000,
    max: 100_000_000,
    unit: "creations and logins of one tenant by one caller in a window",
    meaning: "`RATE_LIMITED`. One tenant cannot use up what a caller may that serves many",
  },
  createsPerSubjectMax: {
    ...perCaller,
    default: 30,
    max: 1_000_000,
    unit: "creations and logins of one subject in a window",
    meaning: "`RATE_LIMITED`",
  },
  missesPerCallerMax: {
    ...perCaller,
    default: 10_000,
    max: 100_000_000,
    unit: "NOT_FOUND answers to validations of one caller in a window",
    meaning: "`RATE_LIMITED` in place of such an answer; valid tokens go on being answered",
  },
  missesPerSessionMax: {
    ...perCaller,
    default: 100,
    max: 1_000_000,
    unit: "NOT_FOUND answers to validations of one session id in a window",
    meaning: "The same: whoever knows an id cannot lock its holder out",
  },
  streamsPerPeerMax: {
    ...perCaller,
    default: 4,
    max: 10_000,
    unit: "watches of one caller from one address",
    meaning: "`TOO_MANY_WATCHERS`. Raise it where many instances share an address",
  },
  watchersMax: {
    default: 10_000,
    min: 1,
    max: 100_000,
    unit: "watches of the replica",
    meaning: "`TOO_MANY_WATCHERS`. Each costs a few kB and a share of the event loop",
  },
  watchRingEvents: {
    default: 4096,
    min: 256,
    max: 65_536,
    unit: "events in memory, each partition",
    meaning: "A watcher further behind reads the store",
  },
  logEvents: {
    default: 10_000,
    min: 1000,
    max: 1_000_000,
    unit: "events kept in the store, each partition",
    meaning: "What a client can miss and still resume without a reset",
  },
  auditEvents: {
    default: 20_000,
    min: 1000,
    max: 10_000_000,
    unit: "audit entries kept, each partition and stream",
    meaning: "The oldest go",
  },
  auditRetentionMs: {
    default: 30 * DAY_MS,
    min: DAY_MS / 24,
    max: 400 * DAY_MS,
    unit: "how long audit entries are kept",
    meaning: "The oldest go",
  },
  memorySessionsMax: {
    default: 1_000_000,
    min: 1,
    max: 10_000_000,
    unit: "sessions in the memory store",
    meaning: "`STORE_FULL`",
  },
  memoryRequestsMax: {
    default: 100_000,
    min: 1000,
    max: 10_000_000,
    unit: "request ids in the memory store, each partition",
    meaning: "The oldest are forgotten before their ten minutes are over",
  },
} as const satisfies Readonly<Record<string, LimitDefinition>>;

/** The name of a limit. In the file it is written in snake_case, see `fileKeyOf`. */
export type LimitName = keyof typeof definitions;

/** Every limit with its value. */
export type Limits = Readonly<Record<LimitName, number>>;

/** What there is to limit, by name. */
export const LIMITS: Readonly<Record<LimitName, LimitDefinition>> = definitions;

/** The names, in the order of the table. */
export const LIMIT_NAMES: readonly LimitName[] = Object.keys(definitions).filter(isLimitName);

/** What a file or a program gives of the limits. */
export type LimitOverrides = Partial<Limits>;

/**
 * Fills in what is not given. Throws a RangeError that names limit and bound for a
 * value that the schema would refuse.
 */
export function resolveLimits(
  given: LimitOverrides,
  { hasCallers }: { readonly hasCallers: boolean },
): Limits {
  for (const name of LIMIT_NAMES) {
    const { min, max } = LIMITS[name];
    const value = given[name] ?? min;
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new RangeError(`Cannot set limits.${name} to ${value}: it must be ${min} to ${max}`);
    }
  }
  return Object.freeze(
    mapLimits((definition, name) => given[name] ?? defaultOf(definition, hasCallers)),
  );
}

/** A limit as the file names it: in snake_case, a duration without its unit. */
export function fileKeyOf(name: LimitName): string {
  return name.replace(/Ms$/, "").replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Whether a limit is a duration, which the file writes with its unit. */
export function isDuration(name: LimitName): boolean {
  return name.endsWith("Ms");
}

/** A value as the file would write it. */
export function formatLimit(name: LimitName, value: number): string {
  if (!isDuration(name)) return String(value);
  if (value >= DAY_MS) return `${value / DAY_MS}d`;
  return `${value / 1000}s`;
}

/** The table of server/README.md, a row for each limit. */
export function limitsTable(): readonly string[] {
  return LIMIT_NAMES.map((name) => {
    const { unit, meaning, ...limit } = LIMITS[name];
    const [standard, min, max] = [limit.default, limit.min, limit.max].map((value) =>
      formatLimit(name, value),
    );
    const fallback = limit.perCaller === true ? `${standard} with callers, else 0` : standard;
    const bounds = `${min} to ${max}${limit.zeroIsOff === true ? ", 0 is off" : ""}`;
    return `| \`${fileKeyOf(name)}\` | ${fallback} | ${bounds} | ${unit} | ${meaning} |`;
  });
}

function defaultOf(definition: LimitDefinition, hasCallers: boolean): number {
  return definition.perCaller === true && !hasCallers ? 0 : definition.default;
}

function isLimitName(name: string): name is LimitName {
  return name in definitions;
}

/** A value for each limit. Written out, so that the compiler knows that none is missing. */
function mapLimits<Value>(
  make: (definition: LimitDefinition, name: LimitName) => Value,
): Record<LimitName, Value> {
  function at(name: LimitName): Value {
    return make(LIMITS[name], name);
  }
  return {
    connectionsMax: at("connectionsMax"),
    streamsPerConnectionMax: at("streamsPerConnectionMax"),
    metadataBytesMax: at("metadataBytesMax"),
    receiveBytesMax: at("receiveBytesMax"),
    callsInFlightMax: at("callsInFlightMax"),
    eventLoopDelayMaxMs: at("eventLoopDelayMaxMs"),
    callsPerCallerMax: at("callsPerCallerMax"),
    rateWindowMs: at("rateWindowMs"),
    createsPerCallerMax: at("createsPerCallerMax"),
    createsPerTenantMax: at("createsPerTenantMax"),
    createsPerSubjectMax: at("createsPerSubjectMax"),
    missesPerCallerMax: at("missesPerCallerMax"),
    missesPerSessionMax: at("missesPerSessionMax"),
    streamsPerPeerMax: at("streamsPerPeerMax"),
    watchersMax: at("watchersMax"),
    watchRingEvents: at("watchRingEvents"),
    logEvents: at("logEvents"),
    auditEvents: at("auditEvents"),
    auditRetentionMs: at("auditRetentionMs"),
    memorySessionsMax: at("memorySessionsMax"),
    memoryRequestsMax: at("memoryRequestsMax"),
  };
}
