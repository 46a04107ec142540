import { randomBytes } from "node:crypto";

import { startChild, type Child } from "./child.js";
import { freePort } from "./free-port.js";

/** What a replica is started with. */
export interface ReplicaOptions {
  readonly redisUrl: string;
  /** Replicas with the same namespace are one deployment. */
  readonly namespace: string;
  readonly port?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** An authority as a process of its own. */
export interface Replica {
  readonly child: Child;
  readonly port: number;
  readonly address: string;
}

/** A namespace that no other test has. */
export function freshNamespace(): string {
  return `t${randomBytes(6).toString("hex")}:`;
}

/** Starts `server/src/main.ts` and waits until it listens. */
export async function startReplica(options: ReplicaOptions): Promise<Replica> {
  const port = options.port ?? (await freePort());
  const address = `127.0.0.1:${String(port)}`;
  const child = startChild("server/src/main.ts", {
    env: {
      COATCHECK_LISTEN: address,
      COATCHECK_REDIS_URL: options.redisUrl,
      COATCHECK_NAMESPACE: options.namespace,
      COATCHECK_LOG_LEVEL: "warn",
      ...options.env,
    },
  });
  await child.waitForLine(/listens on/);
  return { child, port, address };
}
