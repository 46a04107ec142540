import { randomBytes } from "node:crypto";

import { credentials, status as grpcStatus, type ServiceError } from "@grpc/grpc-js";
import {
  AdminServiceClient,
  GetStatsRequest,
  RevocationServiceClient,
  SessionServiceClient,
  ValidateSessionRequest,
  ValidationOutcome,
  type ValidateSessionResponse,
} from "@coatcheck/proto";

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

/** A client of the contract alone, without the SDK's retries and cache. */
export interface RawClient {
  readonly sessions: SessionServiceClient;
  readonly revocations: RevocationServiceClient;
  validate(token: string, deadlineMs?: number): Promise<ValidateSessionResponse>;
  /** How many VALID answers the replica has given. */
  validCount(): Promise<number>;
  close(): void;
}

/** Connects a raw client to one replica. */
export function connectRaw(address: string, tenantId = "acme"): RawClient {
  const sessions = new SessionServiceClient(address, credentials.createInsecure());
  const revocations = new RevocationServiceClient(address, credentials.createInsecure());
  const admin = new AdminServiceClient(address, credentials.createInsecure());
  return {
    sessions,
    revocations,
    validate: async (token, deadlineMs = 5_000) =>
      await new Promise((resolve, reject) => {
        sessions.validateSession(
          ValidateSessionRequest.create({ tenantId, token }),
          { deadline: Date.now() + deadlineMs },
          (error, response) => {
            if (error === null) resolve(response);
            else reject(error);
          },
        );
      }),
    validCount: async () =>
      await new Promise((resolve, reject) => {
        admin.getStats(GetStatsRequest.create(), (error, { outcomes }) => {
          if (error !== null) {
            reject(error);
            return;
          }
          const valid = outcomes.find(({ outcome }) => outcome === ValidationOutcome.VALID);
          resolve(Number(valid?.count ?? 0n));
        });
      }),
    close: () => {
      sessions.close();
      revocations.close();
      admin.close();
    },
  };
}

/** The name of the status a call failed with; rejects where it did not fail. */
export async function statusOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    return grpcStatus[(error as ServiceError).code] ?? String(error);
  }
  throw new Error("Expected the call to fail, and it was OK");
}
