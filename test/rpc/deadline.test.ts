// No work for who has stopped waiting, S-41, FAULTS R7.

import {
  AdminServiceService,
  RevocationServiceService,
  RotationTrigger,
  SessionServiceService,
} from "@coatcheck/proto";
import { Client, credentials, Server, ServerCredentials, type ServiceError } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { systemClock } from "#server/base/clock.js";
import { silentLog } from "#server/base/log.js";
import { createAdminService } from "#server/rpc/admin-service.js";
import { CallerGate } from "#server/rpc/caller-gate.js";
import { MetadataLimit } from "#server/rpc/metadata-limit.js";
import { createRevocationService } from "#server/rpc/revocation-service.js";
import { createSessionService } from "#server/rpc/session-service.js";
import { createAuthority } from "#server/server.js";

import { eventually } from "../support/eventually.js";
import { readFailure, SessionApi } from "../support/session-api.js";
import { wrappedStore } from "../support/wrapped-store.js";

const UNARY = [
  ...Object.values(SessionServiceService),
  ...Object.values(RevocationServiceService),
  ...Object.values(AdminServiceService),
].filter(({ responseStream }) => !responseStream);

describe("a call whose deadline passed while it waited for its turn", () => {
  let server: Server;
  let client: Client;
  let reached: string[];

  /** Stands for everything a handler could work with, and tells what was reached for. */
  function untouchable(path: string): never {
    return new Proxy(() => undefined, {
      get: (_, name) => {
        reached.push(`${path}.${String(name)}`);
        return untouchable(`${path}.${String(name)}`);
      },
    }) as never;
  }

  beforeEach(async () => {
    reached = [];
    const calls = {
      // Of the handlers alone: grpc-js, which cuts calls off as well, thinks it is in time.
      clock: { ...systemClock, wallMs: () => systemClock.wallMs() + 60_000 },
      log: silentLog,
      metadata: new MetadataLimit(8192),
      gate: new CallerGate(() => undefined),
    };
    server = new Server();
    server.addService(SessionServiceService, createSessionService(untouchable("sessions"), calls));
    server.addService(
      RevocationServiceService,
      createRevocationService(untouchable("revocations"), calls),
    );
    server.addService(AdminServiceService, createAdminService(untouchable("admin"), calls));
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    reached = [];
  });

  afterEach(() => {
    client.close();
    server.forceShutdown();
  });

  it.each(UNARY.map(({ path }) => path))("is not begun: %s", async (path) => {
    const error = await new Promise<ServiceError | null>((resolve) => {
      client.makeUnaryRequest(
        path,
        () => Buffer.alloc(0),
        (bytes: Buffer) => bytes,
        undefined,
        { deadline: Date.now() + 30_000 },
        resolve,
      );
    });

    expect(error === null ? error : readFailure(error)).toMatchObject({
      code: "DEADLINE_EXCEEDED",
      reason: "NOT_STARTED",
    });
    expect(reached).toEqual([]);
  });
});

describe("a change that waits for another change of its session", () => {
  const changes = [
    ["an update", "update"],
    ["a rotation that raises facts", "rotate"],
  ] as const;

  it.each(changes)("%s reads nothing once its caller has hung up", async (_, kind) => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const reads: string[] = [];
    const authority = await createAuthority({
      createStore: wrappedStore({
        before: async (method) => {
          if (method !== "read") return;
          reads.push(method);
          await held;
        },
      }),
    });
    const api = new SessionApi(authority.address);
    const { token, session } = await api.create();
    const sessionId = session?.sessionId ?? "";
    const set = new Map([["a", "1"]]);
    const first = api.update({ sessionId, set });
    await eventually(() => reads.length === 1);

    const second = new Promise<ServiceError | null>((resolve) => {
      const shared = { sessionId, requestId: "" };
      const call =
        kind === "update"
          ? api.client.updateSession(
              { ...shared, set, remove: [], invalidateCaches: false },
              resolve,
            )
          : api.client.rotateSession(
              {
                token,
                trigger: RotationTrigger.REAUTHENTICATION,
                bindSubject: "",
                aal: 2,
                amr: [],
                authenticatedAt: undefined,
                requestId: "",
              },
              resolve,
            );
      // An answer on the same connection: what was sent before has arrived.
      api.validate(token).then(() => {
        call.cancel();
      }, resolve);
    });
    await second;
    await api.validate(token);
    release();
    await first;
    await api.validate(token);

    expect(reads).toHaveLength(1);
    api.close();
    await authority.close();
  });
});
