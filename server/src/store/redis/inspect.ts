import { Cluster } from "ioredis";

import type { Clock } from "../../base/clock.js";
import { PARTITION_COUNT } from "../../session/partition.js";
import { findChainBreak } from "./audit-chain.js";
import { createSubscriber, parseRedisUrl, type RedisCredentials } from "./connection.js";
import { createKeySpace } from "./keys.js";
import type { ScriptClient } from "./scripts.js";

/*
 * What an operator has to know about a Redis before sessions are trusted to it
 * (S-36 to S-38). It only reads. What a Redis does not let us ask is a warning of
 * its own: an unknown setting is not a right one.
 */

/** One thing that was looked at. */
export interface Finding {
  /** Names the check, for people who look it up and for scripts. */
  readonly check: string;
  /** `refuse`: revocations would be lost or forgotten. `warn`: it costs or may hurt. */
  readonly level: "ok" | "warn" | "refuse";
  readonly detail: string;
}

/** Which Redis, and what is kept in it. */
export interface InspectOptions {
  readonly url: string;
  readonly namespace: string;
  readonly clock: Clock;
  readonly credentials?: (() => RedisCredentials) | undefined;
}

/** A Redis that cannot be reached or does not let us in. The message holds nothing of the URL. */
export class InspectionError extends Error {
  override readonly name = "InspectionError";
}

const COMMAND_TIMEOUT_MS = 5_000;
const SCHEMA = 1;
const LISTPACK_VALUE_MIN = 1024;
const CLOCK_OFFSET_WARN_MS = 500;
/** Beyond it a new generation looks made up, and clients are refused. */
const CLOCK_OFFSET_REFUSE_MS = 3_600_000;
/** The least that `audit_retention` can be set to. */
const AUDIT_RETENTION_MS_MIN = 3_600_000;
/** Read at once of a stream of the audit trail. */
const CHAIN_PAGE = 1_000;
const CHAIN_PAGES_MAX = 40;

/** The first release of each line without the holes that let a script take over the server. */
const PATCH_FLOORS: Readonly<Record<string, number>> = {
  "redis 7.2": 11,
  "redis 7.4": 6,
  "redis 8.0": 4,
  "redis 8.2": 2,
  "valkey 7.2": 11,
  "valkey 8.0": 6,
  "valkey 8.1": 4,
};

type Info = ReadonlyMap<string, string>;

/** A plain connection to one node; of a cluster there are several. */
interface Node {
  readonly info: Info;
  readonly config: Info | undefined;
  readonly user: string | undefined;
  readonly offsetMs: number;
}

/** Looks at a Redis and says what it found, every check once for each node. */
export async function inspectRedis(options: InspectOptions): Promise<readonly Finding[]> {
  const { url, clock, credentials } = options;
  const client = createSubscriber(parseRedisUrl(url), {
    commandTimeoutMs: COMMAND_TIMEOUT_MS,
    credentials,
  });
  // What keeps a connection from coming up is told here alone.
  let trouble: string | undefined;
  client.on("error", (error: unknown) => {
    trouble = codeOf(error) ?? trouble;
  });
  try {
    await client.connect();
    const nodes = client instanceof Cluster ? client.nodes("master") : [client];
    const findings: Finding[] = [];
    for (const node of nodes) {
      const { host = "", port = "" } = node.options;
      const found = judge(await look(node, clock));
      findings.push(...(nodes.length === 1 ? found : found.map(at(`${host}:${port}`))));
    }
    return [...findings, ...(await inspectData(client, options))];
  } catch (error) {
    throw new InspectionError(reasonOf(codeOf(error) ?? trouble));
  } finally {
    client.disconnect();
  }
}

/** Of several nodes it matters which one. */
function at(node: string): (finding: Finding) => Finding {
  return (finding) => ({ ...finding, detail: `${node}: ${finding.detail}` });
}

/** Only the code: a driver's error carries hosts and arguments. */
function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const nested: unknown = Reflect.get(error, "lastNodeError");
  const code: unknown = Reflect.get(error, "code");
  const answered = /^[A-Z]{4,}/.exec(error.message)?.[0];
  return answered ?? (typeof code === "string" ? `(${code})` : codeOf(nested));
}

function reasonOf(code = ""): string {
  return code === "" || code.startsWith("(")
    ? `Cannot reach Redis: there is no connection ${code}`.trimEnd()
    : `Cannot look at Redis: it answered ${code}`;
}

async function look(node: Exclude<ScriptClient, Cluster>, clock: Clock): Promise<Node> {
  const info = parseInfo(await node.info());
  const askedAtMs = clock.wallMs();
  const [seconds, micros] = await node.time();
  const halfwayMs = (askedAtMs + clock.wallMs()) / 2;
  const config = await node.config("GET", "*").then(parseConfig, () => undefined);
  const user = await node.acl("WHOAMI").then(String, () => undefined);
  return {
    info,
    config,
    user,
    offsetMs: Number(seconds) * 1000 + Number(micros) / 1000 - halfwayMs,
  };
}

function judge(node: Node): Finding[] {
  return [
    judgeVersion(node.info),
    judgeRole(node.info),
    judgeEviction(node.info),
    judgeMemory(node.info),
    ...judgePersistence(node),
    judgeReplicas(node),
    judgeUser(node),
    judgeListpack(node.config),
    judgeDebug(node.config),
    judgeClock(node.offsetMs),
  ];
}

/** Whether a release has what our scripts need and not the holes we know of (S-38), by its INFO. */
export function judgeVersion(info: ReadonlyMap<string, string>): Finding {
  const isValkey = info.has("valkey_version");
  const name = isValkey ? "valkey" : "redis";
  const version = info.get(`${name}_version`) ?? "0";
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  const told = `${name} ${version}`;
  if (major < 7) {
    return refuse("version", `${told}: scripts with flags need 7.0`);
  }
  const floor = PATCH_FLOORS[`${name} ${major}.${minor}`];
  if (major === 7 && minor === 0) {
    return warn("version", `${told}: no more fixes but those that a distribution brings`);
  }
  return floor !== undefined && patch < floor
    ? refuse(
        "version",
        `${told}: known holes in the script engine, fixed in ${major}.${minor}.${floor}`,
      )
    : ok("version", told);
}

function judgeRole(info: Info): Finding {
  const role = info.get("role") ?? "unknown";
  return role === "master" ? ok("role", "primary") : refuse("role", `${role}: not a primary`);
}

function judgeEviction(info: Info): Finding {
  const policy = info.get("maxmemory_policy") ?? "unknown";
  return policy === "noeviction"
    ? ok("eviction-policy", policy)
    : refuse(
        "eviction-policy",
        `${policy}: evicting a revocation brings its session back; set noeviction`,
      );
}

function judgeMemory(info: Info): Finding {
  const bytes = Number(info.get("maxmemory") ?? 0);
  if (bytes === 0) {
    return warn("maxmemory", "no limit: the system ends Redis where memory does");
  }
  const used = Number(info.get("used_memory") ?? 0) / bytes;
  const told = `${Math.round(used * 100)} % of ${Math.round(bytes / 1_048_576)} MiB used`;
  return used > 0.85 ? warn("maxmemory", told) : ok("maxmemory", told);
}

function judgePersistence({ info, config }: Node): Finding[] {
  const failed = [
    info.get("aof_last_write_status") === "err" ? "the last AOF write failed" : "",
    info.get("rdb_last_bgsave_status") === "err" ? "the last snapshot failed" : "",
  ].filter((text) => text !== "");
  const disk = failed.length === 0 ? [] : [refuse("disk", failed.join(", "))];
  if (info.get("aof_enabled") === "1") {
    const fsync = config?.get("appendfsync");
    if (fsync === undefined) {
      return [
        ...disk,
        warn("persistence", "AOF; appendfsync cannot be asked for (CONFIG is denied)"),
      ];
    }
    return fsync === "no"
      ? [...disk, warn("persistence", "AOF without fsync: a crash of the machine loses up to 30 s")]
      : [...disk, ok("persistence", `AOF, appendfsync ${fsync}`)];
  }
  if (config === undefined) {
    return [
      ...disk,
      warn("persistence", "no AOF; snapshots cannot be asked for (CONFIG is denied)"),
    ];
  }
  return (config.get("save") ?? "") === ""
    ? [...disk, refuse("persistence", "none: a restart forgets every revocation and every session")]
    : [
        ...disk,
        warn("persistence", "snapshots only: a crash forgets the revocations since the last"),
      ];
}

function judgeReplicas({ info, config }: Node): Finding {
  const replicas = Number(info.get("connected_slaves") ?? 0);
  if (replicas === 0) {
    return ok("replicas", "none: no failover can lose a revocation");
  }
  const least = Number(config?.get("min-replicas-to-write") ?? 0);
  return least > 0
    ? ok("replicas", `${replicas}, at least ${least} to write`)
    : warn(
        "replicas",
        `${replicas} without min-replicas-to-write: a failover can lose revocations`,
      );
}

function judgeUser({ user }: Node): Finding {
  if (user === undefined) {
    return ok("user", "an own one, that may not ask for its name");
  }
  return user === "default"
    ? warn("user", "the default user, who may do everything; make one with its own rights")
    : ok("user", user);
}

function judgeListpack(config: Info | undefined): Finding {
  const text = config?.get("hash-max-listpack-value");
  if (text === undefined) {
    return warn("listpack", "hash-max-listpack-value cannot be asked for (CONFIG is denied)");
  }
  return Number(text) >= LISTPACK_VALUE_MIN
    ? ok("listpack", `hash-max-listpack-value ${text}`)
    : warn(
        "listpack",
        `hash-max-listpack-value ${text}: a session takes three times the memory; set ${LISTPACK_VALUE_MIN}`,
      );
}

function judgeDebug(config: Info | undefined): Finding {
  const setting = config?.get("enable-debug-command");
  if (setting === undefined) {
    return warn("debug-command", "enable-debug-command cannot be asked for (CONFIG is denied)");
  }
  return setting === "no"
    ? ok("debug-command", "off")
    : warn("debug-command", `${setting}: it can stop and crash the server`);
}

function judgeClock(offsetMs: number): Finding {
  const told = `${Math.round(offsetMs)} ms from this machine's`;
  const distance = Math.abs(offsetMs);
  if (distance > CLOCK_OFFSET_REFUSE_MS) {
    return refuse("clock", told);
  }
  return distance > CLOCK_OFFSET_WARN_MS ? warn("clock", told) : ok("clock", told);
}

/** The data of all partitions: their schema, and whether the audit trail is whole. */
async function inspectData(
  client: ScriptClient,
  { namespace, clock }: InspectOptions,
): Promise<Finding[]> {
  const keys = createKeySpace(namespace);
  const schemas = new Set<string>();
  const broken: string[] = [];
  let entries = 0;
  for (let partition = 0; partition < PARTITION_COUNT; partition += 1) {
    const head = keys.head(partition);
    const [schema = null, audit = null, denied = null] = await client.hmget(
      head,
      "schema",
      "audit",
      "denied",
    );
    if (schema !== null) schemas.add(schema);
    for (const [stream, last] of Object.entries({ audit, denied })) {
      const key = head.replace(/head$/, stream);
      const chain = await readChain(client, key);
      entries += chain.length;
      const found = findChainBreak(chain, last?.split(" ")[1]);
      // What retention has emptied is empty rightly; so soon after an entry it has not.
      const isEmptied = chain.length === 0 && !mayBeEmpty(last, clock.wallMs());
      if (isEmptied || (chain.length > 0 && found !== undefined)) {
        broken.push(`${key} at ${found?.at ?? "end"}`);
      }
    }
  }
  return [judgeSchemas([...schemas]), judgeChains(broken, entries)];
}

/** `last` is the newest entry as the head has it: `<instant> <chain>`. */
function mayBeEmpty(last: string | null, nowMs: number): boolean {
  return last === null || nowMs - Number(last.split(" ")[0]) >= AUDIT_RETENTION_MS_MIN;
}

function judgeSchemas(schemas: readonly string[]): Finding {
  const newer = schemas.filter((schema) => Number(schema) > SCHEMA);
  if (newer.length > 0) {
    return refuse(
      "schema",
      `${newer.join(", ")}: written by a newer server; this one knows ${SCHEMA}`,
    );
  }
  return ok("schema", schemas.length === 0 ? "no data yet" : schemas.join(", "));
}

function judgeChains(broken: readonly string[], entries: number): Finding {
  return broken.length === 0
    ? ok("audit-chain", `${entries} entries, each follows from the one before`)
    : refuse("audit-chain", `the audit trail was changed: ${broken.join("; ")}`);
}

/** The newest entries of a stream, oldest first. */
async function readChain(
  client: ScriptClient,
  key: string,
): Promise<{ id: string; fields: string[] }[]> {
  const newestFirst: { id: string; fields: string[] }[] = [];
  let end = "+";
  for (let page = 0; page < CHAIN_PAGES_MAX; page += 1) {
    const found = await client.xrevrange(key, end, "-", "COUNT", CHAIN_PAGE);
    newestFirst.push(...found.map(([id, fields]) => ({ id, fields })));
    const last = found.at(-1);
    if (last === undefined || found.length < CHAIN_PAGE) break;
    end = `(${last[0]}`;
  }
  return newestFirst.reverse();
}

function parseInfo(text: string): Info {
  const lines = text.split("\r\n").filter((line) => line.includes(":"));
  return new Map(lines.map((line) => splitOnce(line)));
}

function splitOnce(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1)];
}

function parseConfig(reply: unknown): Info {
  const list: readonly unknown[] = Array.isArray(reply) ? reply : [];
  const config = new Map<string, string>();
  for (let position = 0; position + 1 < list.length; position += 2) {
    config.set(String(list[position]), String(list[position + 1]));
  }
  return config;
}

function ok(check: string, detail: string): Finding {
  return { check, level: "ok", detail };
}

function warn(check: string, detail: string): Finding {
  return { check, level: "warn", detail };
}

function refuse(check: string, detail: string): Finding {
  return { check, level: "refuse", detail };
}
