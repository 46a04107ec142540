import { z } from "zod";

import { LOG_LEVELS, type LogLevel } from "./telemetry/logging.js";
import type { TlsFiles } from "./transport/certificate-files.js";

/*
 * The only reader of the environment. It is read once, at the start; a mistake in
 * it ends the process with a sentence that names the variable, the value and the
 * bound. An unknown COATCHECK_ variable is a mistake too: a misspelt limit that is
 * silently ignored is found in an incident.
 */

/** Everything the process was told. */
export interface Config {
  readonly listen: ListenAddress;
  /** Undefined: the memory store. It may carry a password, so it is never printed. */
  readonly redisUrl: string | undefined;
  /** Every Redis key begins with it, so that deployments can share a Redis. */
  readonly namespace: string;
  /** Whether schemas are served to tools such as grpcurl. Off: they help an attacker too (S-30). */
  readonly reflection: boolean;
  /** Where metrics are served; undefined: nowhere. */
  readonly metricsListen: ListenAddress | undefined;
  readonly logLevel: LogLevel;
  /** The staleness bound L, in ms. */
  readonly maxStalenessMs: number;
  /** Where the certificates are. Undefined: plaintext. */
  readonly tls: TlsFiles | undefined;
  /** Whether another address than loopback may be served without TLS. */
  readonly dangerousPlaintext: boolean;
  /** Who signs the certificate of Redis, a file in PEM. Undefined: whom the system trusts. */
  readonly redisCaPath: string | undefined;
  /** A file with the password for Redis, in place of the one in the URL. */
  readonly redisPasswordPath: string | undefined;
  /** The configuration file: policies, tenants, callers, limits. */
  readonly configurationPath: string | undefined;
}

/** Where the authority listens. */
export interface ListenAddress {
  /** An IP address or a host name; IPv6 without brackets. */
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

/** A mistake in the configuration. The message is for the person who made it. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** The presets of L, and what else it may be. Below 500 ms a Sync every L/3 costs more than a hit saves. */
const STALENESS_PRESETS: Readonly<Record<string, number>> = {
  "1s": 1000,
  "3s": 3000,
  "10s": 10_000,
};
const STALENESS_MS = { min: 500, max: 60_000 };
// COATCHECK_TEST_ variables steer the test suite, which starts authorities that inherit them, and
// the named ones tell the operator's command where the authority is and who asks.
const OURS = /^COATCHECK_(?!TEST_|(TARGET|SERVICE_KEY|SERVICE_KEY_FILE|CA|CERT|CERT_KEY)$)/;
const NAMESPACE = /^[A-Za-z0-9_.-]{1,32}:$/;
/** `password@` or `user:password@`, but not `user:@`. */
const PASSWORD_IN_URL = /:\/\/(?!@)[^/]*[^/:]@/;
const LOOPBACK = /^(127(\.\d{1,3}){3}|localhost|::1)$/;

/** Variables of a later version: setting them must not look as if they worked. */
const NOT_YET: Readonly<Record<string, string>> = {};

const flag = z
  .enum(["0", "1"])
  .default("0")
  .transform((text) => text === "1");

const schema = z.strictObject({
  COATCHECK_LISTEN: z.string().default("127.0.0.1:7443"),
  COATCHECK_REDIS_URL: z.string().optional(),
  COATCHECK_NAMESPACE: z.string().regex(NAMESPACE).default("cc:"),
  COATCHECK_REFLECTION: flag,
  COATCHECK_DANGEROUS_PLAINTEXT: flag,
  COATCHECK_METRICS_LISTEN: z.string().optional(),
  COATCHECK_LOG_LEVEL: z.enum(LOG_LEVELS).default("info"),
  COATCHECK_MAX_STALENESS: z.string().default("3s"),
  COATCHECK_TLS_CERT: z.string().min(1).optional(),
  COATCHECK_TLS_KEY: z.string().min(1).optional(),
  COATCHECK_TLS_CLIENT_CA: z.string().min(1).optional(),
  COATCHECK_REDIS_CA: z.string().min(1).optional(),
  COATCHECK_REDIS_PASSWORD_FILE: z.string().min(1).optional(),
  COATCHECK_CONFIG: z.string().min(1).optional(),
});

/** What each variable may be, in words, for the message where it is not. */
const BOUNDS: Readonly<Record<string, string>> = {
  COATCHECK_NAMESPACE: "1 to 32 of A-Z a-z 0-9 _ . - and a colon",
  COATCHECK_REFLECTION: "0 or 1",
  COATCHECK_DANGEROUS_PLAINTEXT: "0 or 1",
  COATCHECK_LOG_LEVEL: `one of ${LOG_LEVELS.join(", ")}`,
  COATCHECK_TLS_CERT: "the path of a file in PEM",
  COATCHECK_TLS_KEY: "the path of a file in PEM",
  COATCHECK_TLS_CLIENT_CA: "the path of a file in PEM",
  COATCHECK_REDIS_CA: "the path of a file in PEM",
  COATCHECK_REDIS_PASSWORD_FILE: "the path of a file",
  COATCHECK_CONFIG: "the path of a file in YAML",
};

/** Reads the configuration; throws a `ConfigError` for the first mistake. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const given = Object.fromEntries(Object.entries(environment).filter(([name]) => OURS.test(name)));
  refuseNotYet(given);
  const result = schema.safeParse(given);
  if (!result.success) {
    throw explain(result.error.issues, given);
  }
  const variables = result.data;
  const listen = parseListen("COATCHECK_LISTEN", variables.COATCHECK_LISTEN);
  const tls = readTls(variables);
  const isExposed = tls === undefined && !variables.COATCHECK_DANGEROUS_PLAINTEXT;
  if (!isLoopback(listen.host) && isExposed) {
    throw new ConfigError(
      `Cannot set COATCHECK_LISTEN to ${variables.COATCHECK_LISTEN}: without TLS only loopback ` +
        "is served, unless COATCHECK_DANGEROUS_PLAINTEXT=1",
    );
  }
  if (variables.COATCHECK_REDIS_URL === undefined && !isLoopback(listen.host)) {
    throw new ConfigError(
      `Cannot set COATCHECK_LISTEN to ${variables.COATCHECK_LISTEN}: the memory store serves ` +
        "loopback only; set COATCHECK_REDIS_URL",
    );
  }
  return Object.freeze({
    listen,
    redisUrl: parseRedisUrl(variables.COATCHECK_REDIS_URL),
    namespace: variables.COATCHECK_NAMESPACE,
    reflection: variables.COATCHECK_REFLECTION,
    metricsListen: parseMetricsListen(variables.COATCHECK_METRICS_LISTEN),
    logLevel: variables.COATCHECK_LOG_LEVEL,
    maxStalenessMs: parseStaleness(variables.COATCHECK_MAX_STALENESS),
    tls,
    dangerousPlaintext: variables.COATCHECK_DANGEROUS_PLAINTEXT,
    redisCaPath: readRedisCa(variables),
    redisPasswordPath: readRedisPasswordPath(variables),
    configurationPath: variables.COATCHECK_CONFIG,
  });
}

/** This process's environment with some of it replaced, for a process that it starts. */
export function environmentWith(overrides: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...process.env, ...overrides };
}

/** Where the operator's command finds its service key: arguments are there for everybody to read. */
export interface ServiceKeySource {
  readonly key: string | undefined;
  /** A file that holds it; it decides where both are given. */
  readonly path: string | undefined;
}

/** What the environment says about the operator's own service key. */
export function readServiceKeySource(
  environment: NodeJS.ProcessEnv = process.env,
): ServiceKeySource {
  return {
    key: environment["COATCHECK_SERVICE_KEY"],
    path: environment["COATCHECK_SERVICE_KEY_FILE"],
  };
}

/** Whether only this machine can reach a host. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host);
}

/** The three TLS variables, which only make sense together. */
function readTls(variables: z.output<typeof schema>): TlsFiles | undefined {
  const {
    COATCHECK_TLS_CERT: certPath,
    COATCHECK_TLS_KEY: keyPath,
    COATCHECK_TLS_CLIENT_CA: clientCaPath,
  } = variables;
  if (certPath !== undefined && keyPath !== undefined) {
    return Object.freeze({ certPath, keyPath, clientCaPath });
  }
  if (certPath !== undefined || keyPath !== undefined || clientCaPath !== undefined) {
    throw new ConfigError(
      "Cannot use TLS: COATCHECK_TLS_CERT and COATCHECK_TLS_KEY must both be set, also for " +
        "COATCHECK_TLS_CLIENT_CA",
    );
  }
  return undefined;
}

/** Given for a Redis without TLS, it would look as if the connection were protected. */
function readRedisCa(variables: z.output<typeof schema>): string | undefined {
  const path = variables.COATCHECK_REDIS_CA;
  if (path !== undefined && variables.COATCHECK_REDIS_URL?.startsWith("rediss") !== true) {
    throw new ConfigError("Cannot use COATCHECK_REDIS_CA: COATCHECK_REDIS_URL must be rediss://");
  }
  return path;
}

/** Of two passwords nobody could tell which one counts. */
function readRedisPasswordPath(variables: z.output<typeof schema>): string | undefined {
  const path = variables.COATCHECK_REDIS_PASSWORD_FILE;
  const url = variables.COATCHECK_REDIS_URL;
  if (path !== undefined && (url === undefined || PASSWORD_IN_URL.test(url))) {
    throw new ConfigError(
      "Cannot use COATCHECK_REDIS_PASSWORD_FILE: COATCHECK_REDIS_URL must be set and hold no " +
        "password; a user goes before a colon, redis://user:@host",
    );
  }
  return path;
}

function refuseNotYet(given: Readonly<Record<string, string | undefined>>): void {
  for (const [name, why] of Object.entries(NOT_YET)) {
    if (given[name] !== undefined) {
      throw new ConfigError(`Cannot use ${name}: ${why}`);
    }
  }
}

function explain(
  issues: readonly z.core.$ZodIssue[],
  given: Readonly<Record<string, string | undefined>>,
): ConfigError {
  const [issue] = issues;
  if (issue?.code === "unrecognized_keys") {
    return new ConfigError(
      `Cannot use ${issue.keys.join(", ")}: there is no such variable; known are ` +
        Object.keys(schema.shape).join(", "),
    );
  }
  const name = String(issue?.path[0] ?? "COATCHECK_?");
  return new ConfigError(
    `Cannot set ${name} to ${JSON.stringify(given[name])}: it must be ${BOUNDS[name] ?? "text"}`,
  );
}

function parseListen(name: string, text: string): ListenAddress {
  const [, bracketed, plain, digits] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || !(port <= 65_535)) {
    throw new ConfigError(
      `Cannot set ${name} to ${JSON.stringify(text)}: it must be host:port with a port ` +
        "up to 65535, and brackets around an IPv6 address",
    );
  }
  return Object.freeze({ host, port });
}

// A port alone is this machine's: what is not asked for is not shown to the network.
function parseMetricsListen(text: string | undefined): ListenAddress | undefined {
  if (text === undefined) {
    return undefined;
  }
  const isPort = /^:?\d+$/.test(text);
  return parseListen(
    "COATCHECK_METRICS_LISTEN",
    isPort ? `127.0.0.1:${text.replace(":", "")}` : text,
  );
}

function parseRedisUrl(text: string | undefined): string | undefined {
  if (text !== undefined && !/^rediss?(\+sentinel|\+cluster)?:\/\/\S+$/.test(text)) {
    // The value is left out: it may be a URL with a password and one wrong letter (I-15).
    throw new ConfigError(
      "Cannot use COATCHECK_REDIS_URL: it must begin with redis://, rediss://, " +
        "redis[s]+sentinel:// or redis[s]+cluster://",
    );
  }
  return text;
}

function parseStaleness(text: string): number {
  const preset = STALENESS_PRESETS[text];
  if (preset !== undefined) {
    return preset;
  }
  const millis = /^\d{1,6}$/.test(text) ? Number(text) : NaN;
  if (!(millis >= STALENESS_MS.min && millis <= STALENESS_MS.max)) {
    throw new ConfigError(
      `Cannot set COATCHECK_MAX_STALENESS to ${JSON.stringify(text)}: it must be one of ` +
        `${Object.keys(STALENESS_PRESETS).join(", ")}, or ${STALENESS_MS.min} to ` +
        `${STALENESS_MS.max} in milliseconds`,
    );
  }
  return millis;
}
