import { readFileSync } from "node:fs";

import { Cluster, type Redis } from "ioredis";

// `src/store/redis` and `dist/store/redis` are the same depth, so one path finds
// `server/lua` from both and the build never copies a script.
const LUA_DIR = new URL("../../../lua/", import.meta.url);

const INCLUDE = /^-- @include (lib\/[a-z_]+\.lua)$/gm;

/** Every script. Each file of `server/lua/` is one, and its header is its contract. */
export const SCRIPT_NAMES = [
  "append_denied",
  "create_session",
  "list_sessions",
  "measure_partition",
  "pull_revocations",
  "read_audit",
  "read_session",
  "reap_sessions",
  "replace_session",
  "revoke_device",
  "revoke_scope",
  "revoke_session",
  "rotate_session",
  "set_incident",
  "touch_sessions",
  "update_session",
  "validate_batch",
  "validate_readonly",
  "validate_session",
] as const;

/** The name of a script. */
export type ScriptName = (typeof SCRIPT_NAMES)[number];

/** A connection that the scripts are defined on. */
export type ScriptClient = Redis | Cluster;

/** What a script answers: Redis replies as they come, strings as bytes. */
export type Reply = Buffer | number | null | readonly Reply[];

/** A script's keys, head first, and its arguments as its header lists them. */
export interface ScriptCall {
  readonly keys: readonly string[];
  readonly args: readonly (string | number | Buffer)[];
}

/** Reads a script and splices in each library it names. Libraries do not nest. */
export function loadScript(name: ScriptName): string {
  const source = readFileSync(new URL(`${name}.lua`, LUA_DIR), "utf8");
  return source.replace(INCLUDE, (_line, path: string) =>
    readFileSync(new URL(path, LUA_DIR), "utf8").trimEnd(),
  );
}

/**
 * The scripts as a connection's constructor takes them. Defined later, one that
 * shares a tick with a pipelined call would not be found (ioredis #2180).
 */
export function defineScripts(): Record<string, { lua: string }> {
  return Object.fromEntries(SCRIPT_NAMES.map((name) => [name, { lua: loadScript(name) }]));
}

/**
 * Makes Redis know every script before the first call.
 *
 * The library sends a script's source with its first call on a connection and then
 * takes it as known. But a call that Redis refuses (MISCONF, NOREPLICAS) leaves the
 * script unknown, and of calls side by side all but one would answer NOSCRIPT and
 * hide the refusal, to which there may be another way.
 */
export async function preloadScripts(client: ScriptClient): Promise<void> {
  const nodes = client instanceof Cluster ? client.nodes("master") : [client];
  const sources = SCRIPT_NAMES.map(loadScript);
  await Promise.all(
    nodes.flatMap((node) => sources.map(async (source) => await node.script("LOAD", source))),
  );
}

type ScriptMethod = (...args: readonly (string | number | Buffer)[]) => Promise<Reply>;

/**
 * Runs a script by its digest, and loads it where Redis does not know it yet.
 *
 * The connection got a method for each script at run time, which the type of the
 * library cannot know: the one cast of the store is here.
 */
export async function callScript(
  client: ScriptClient,
  name: ScriptName,
  { keys, args }: ScriptCall,
): Promise<Reply> {
  const methods = client as unknown as Record<`${ScriptName}Buffer`, ScriptMethod>;
  return await methods[`${name}Buffer`](keys.length, ...keys, ...args);
}
