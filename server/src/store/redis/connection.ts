import { randomInt } from "node:crypto";
import type { ConnectionOptions as SecureOptions } from "node:tls";

import { Cluster, Redis, type ClusterOptions, type RedisOptions } from "ioredis";

import { defineScripts, type ScriptClient } from "./scripts.js";

/** Where Redis is, read from a URL. */
export interface RedisTarget {
  readonly kind: "single" | "sentinel" | "cluster";
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** The name of the primary that the Sentinels watch. */
  readonly name: string | undefined;
  readonly database: number;
}

/** What a connection proves itself with, and whom it believes. */
export interface RedisCredentials {
  /** In place of the URL's. */
  readonly password?: string | undefined;
  /** Who signs the certificate of Redis, in PEM, where it is not whom the system trusts. */
  readonly tlsAuthority?: Buffer | undefined;
}

/** How a connection is made. */
export interface ConnectionOptions {
  /** How long one call may take, in ms. */
  readonly commandTimeoutMs: number;
  /** Asked before each attempt to connect, so that both can be changed while we run (S-49). */
  readonly credentials?: (() => RedisCredentials) | undefined;
}

const URL_SHAPE = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(?:(.*)@)?([^/@]+)(?:\/([^/?]*))?$/;
const DEFAULT_PORT = { single: 6379, sentinel: 26379, cluster: 6379 } as const;
/** How long one attempt to connect may take, in ms. */
export const CONNECT_TIMEOUT_MS = 2_000;

/** Waiting longer between attempts would show as an outage longer than Redis's own. */
const RECONNECT_DELAY_MAX_MS = 1_000;

/**
 * Reads `redis[s]://host:port/db`, `redis[s]+sentinel://h1,h2/name` or
 * `redis[s]+cluster://h1,h2`, each with `user:password@` where needed. An error never
 * shows the URL: it may hold a password.
 */
export function parseRedisUrl(url: string): RedisTarget {
  const match = URL_SHAPE.exec(url);
  if (match === null) {
    throw new Error(
      "Cannot read the Redis URL: it must look like redis[s]://host:port, " +
        "redis[s]+sentinel://host,host/name or redis[s]+cluster://host,host",
    );
  }
  const [, scheme, mode, login, hosts = "", path = ""] = match;
  const kind = mode === "sentinel" || mode === "cluster" ? mode : "single";
  const database = kind === "single" && path !== "" ? Number(path) : 0;
  if (!Number.isInteger(database) || (kind === "sentinel" && path === "")) {
    throw new Error(
      kind === "sentinel"
        ? "Cannot read the Redis URL: after the Sentinels it must name the primary"
        : "Cannot read the Redis URL: after the host it must name a database by number",
    );
  }
  const [username, password] = readLogin(login);
  return {
    kind,
    hosts: hosts.split(",").map((host) => readHost(host, DEFAULT_PORT[kind])),
    tls: scheme === "rediss",
    username,
    password,
    name: kind === "sentinel" ? path : undefined,
    database,
  };
}

function readLogin(
  login: string | undefined,
): readonly [username: string | undefined, password: string | undefined] {
  if (login === undefined) {
    return [undefined, undefined];
  }
  const colon = login.indexOf(":");
  const username = decodeURIComponent(colon < 0 ? "" : login.slice(0, colon));
  const password = decodeURIComponent(colon < 0 ? login : login.slice(colon + 1));
  return [username === "" ? undefined : username, password];
}

function readHost(text: string, defaultPort: number): { host: string; port: number } {
  const match = /^(\[[^\]]+\]|[^:]+)(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1]?.replace(/^\[|\]$/g, "");
  if (host === undefined) {
    throw new Error("Cannot read the Redis URL: a host must look like name or name:port");
  }
  return { host, port: match?.[2] === undefined ? defaultPort : Number(match[2]) };
}

/** Makes a connection for scripts. It connects when it is told to. */
export function createScriptClient(target: RedisTarget, options: ConnectionOptions): ScriptClient {
  return createClient(target, options, defineScripts());
}

/** Makes a connection that only listens. */
export function createSubscriber(target: RedisTarget, options: ConnectionOptions): ScriptClient {
  return createClient(target, options, {});
}

function createClient(
  target: RedisTarget,
  { commandTimeoutMs, credentials = noCredentials }: ConnectionOptions,
  scripts: Record<string, { lua: string }>,
): ScriptClient {
  const shared: Omit<RedisOptions, "replyMapping"> = {
    // All four: otherwise a script runs twice, or a promise never settles.
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: commandTimeoutMs,
    // A connection that answers nothing is replaced: half-open ones look just so.
    socketTimeout: 4 * commandTimeoutMs,
    connectTimeout: CONNECT_TIMEOUT_MS,
    autoResubscribe: false,
    lazyConnect: true,
    noDelay: true,
  };
  function login(): LoginOptions {
    return loginOptions(target, credentials());
  }
  if (target.kind === "cluster") {
    const options: Omit<ClusterOptions, "replyMapping" | "redisOptions"> = {
      scripts,
      lazyConnect: true,
      enableOfflineQueue: false,
      clusterRetryStrategy: reconnectDelayMs,
    };
    const cluster = new Cluster([...target.hosts], {
      ...options,
      redisOptions: { ...shared, ...login() },
    });
    // A node that comes back is a new client, which connects at its first command.
    cluster.on("+node", (node: Redis) => {
      Object.assign(node.options, login());
    });
    return cluster;
  }
  const { host, port } = target.hosts[0] ?? { host: "127.0.0.1", port: DEFAULT_PORT.single };
  function retry(attempt: number): number {
    Object.assign(client.options, login());
    return reconnectDelayMs(attempt);
  }
  const client: Redis = new Redis({
    ...shared,
    ...login(),
    ...(target.kind === "sentinel"
      ? { sentinels: [...target.hosts], name: target.name ?? "" }
      : { host, port }),
    db: target.database,
    scripts,
    retryStrategy: retry,
    sentinelRetryStrategy: retry,
    // After a failover behind one address the old primary stays connected, as a replica.
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
  });
  return client;
}

type LoginOptions = Pick<
  RedisOptions,
  "username" | "password" | "tls" | "enableTLSForSentinelMode" | "sentinelTLS"
>;

function loginOptions(
  target: RedisTarget,
  { password = target.password, tlsAuthority }: RedisCredentials,
): LoginOptions {
  const login = {
    ...(target.username === undefined ? {} : { username: target.username }),
    ...(password === undefined ? {} : { password }),
  };
  if (!target.tls) {
    return login;
  }
  const tls = tlsOptions(tlsAuthority);
  // The driver speaks plaintext to whatever Sentinels name, unless it is told all three.
  return target.kind === "sentinel"
    ? { ...login, tls, enableTLSForSentinelMode: true, sentinelTLS: tls }
    : { ...login, tls };
}

function noCredentials(): RedisCredentials {
  return {};
}

/** Its certificate is verified, and so is the name in it, also where our own authority signs it. */
function tlsOptions(authority: Buffer | undefined): SecureOptions {
  const floor: SecureOptions = { minVersion: "TLSv1.2" };
  return authority === undefined ? floor : { ...floor, ca: authority };
}

/** Exponential with full jitter from 25 ms on, so that replicas do not come back in step. */
function reconnectDelayMs(attempt: number): number {
  const ceiling = Math.min(50 * 2 ** Math.min(attempt, 10), RECONNECT_DELAY_MAX_MS);
  return randomInt(25, ceiling);
}
