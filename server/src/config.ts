import { z } from "zod";

import { LOG_LEVELS, type LogLevel } from "./telemetry/logging.js";

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
  readonly logLevel: LogLevel;
  /** The staleness bound L, in ms. */
  readonly maxStalenessMs: number;
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
// COATCHECK_TEST_ variables steer the test suite, which starts authorities that inherit them.
const OURS = /^COATCHECK_(?!TEST_)/;
const NAMESPACE = /^[A-Za-z0-9_.-]{1,32}:$/;
const LOOPBACK = /^(127(\.\d{1,3}){3}|localhost|::1)$/;

/** Variables of a later version: setting them must not look as if they worked. */
const NOT_YET: Readonly<Record<string, string>> = {
  COATCHECK_CONFIG: "a configuration file is not yet supported",
  COATCHECK_TLS_CERT: "TLS is not yet supported",
  COATCHECK_TLS_KEY: "TLS is not yet supported",
  COATCHECK_TLS_CLIENT_CA: "TLS is not yet supported",
  COATCHECK_METRICS_LISTEN: "metrics are not yet supported",
};

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
  COATCHECK_LOG_LEVEL: z.enum(LOG_LEVELS).default("info"),
  COATCHECK_MAX_STALENESS: z.string().default("3s"),
});

/** What each variable may be, in words, for the message where it is not. */
const BOUNDS: Readonly<Record<string, string>> = {
  COATCHECK_NAMESPACE: "1 to 32 of A-Z a-z 0-9 _ . - and a colon",
  COATCHECK_REFLECTION: "0 or 1",
  COATCHECK_DANGEROUS_PLAINTEXT: "0 or 1",
  COATCHECK_LOG_LEVEL: `one of ${LOG_LEVELS.join(", ")}`,
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
  const listen = parseListen(variables.COATCHECK_LISTEN);
  if (!isLoopback(listen.host) && !variables.COATCHECK_DANGEROUS_PLAINTEXT) {
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
    logLevel: variables.COATCHECK_LOG_LEVEL,
    maxStalenessMs: parseStaleness(variables.COATCHECK_MAX_STALENESS),
  });
}

/** This process's environment with some of it replaced, for a process that it starts. */
export function environmentWith(overrides: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...process.env, ...overrides };
}

/** Whether only this machine can reach a host. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host);
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

function parseListen(text: string): ListenAddress {
  const [, bracketed, plain, digits] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || !(port <= 65_535)) {
    throw new ConfigError(
      `Cannot set COATCHECK_LISTEN to ${JSON.stringify(text)}: it must be host:port with a port ` +
        "up to 65535, and brackets around an IPv6 address",
    );
  }
  return Object.freeze({ host, port });
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
