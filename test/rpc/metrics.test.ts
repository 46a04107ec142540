// What an operator sees of a replica, read as Prometheus reads it.

import { writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { get, type RequestOptions } from "node:https";
import { connect } from "node:net";

import { GetSessionRequest, RevocationReason, WatchRevocationsRequest } from "@coatcheck/proto";
import { Metadata } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";

import { createAuthority, type Authority, type AuthorityOptions } from "#server/server.js";
import { StoreUnavailableError } from "#server/store/store-error.js";
import { INSTRUMENTS, MEASURED, prometheusName } from "#server/telemetry/instruments.js";

import { TestCa, type Certificate } from "../support/certificates.js";
import { eventually } from "../support/eventually.js";
import { readMetricTable, type MetricRow } from "../support/metric-table.js";
import { declared, parseSeries, scrape, valueOf } from "../support/prometheus.js";
import { failure, SessionApi } from "../support/session-api.js";
import { createService } from "../support/services.js";
import { wrappedStore } from "../support/wrapped-store.js";
import { TestWatch } from "./watch-client.js";

const METRICS_LISTEN = { host: "127.0.0.1", port: 0 };

/** Shown only by a store that is another process. */
const REDIS_ONLY: readonly string[] = [MEASURED.scripts.name];

let authority: Authority;
let api: SessionApi;

async function start(options: Partial<AuthorityOptions> = {}): Promise<void> {
  authority = await createAuthority({ metricsListen: METRICS_LISTEN, ...options });
  api = new SessionApi(authority.address);
}

async function read(): Promise<string> {
  return (await scrape(authority.metricsAddress ?? "")).text;
}

afterEach(async () => {
  api.close();
  await authority.close();
});

/** Something of everything: what is never counted has no series. */
async function liveALittle(): Promise<void> {
  const { token, session } = await api.create();
  await api.validate(token);
  await api.revoke({
    target: { $case: "token", value: token },
    reason: RevocationReason.USER_LOGOUT,
  });
  await failure(api.create({ policy: "no-such-policy" }));
  await failure(api.update({ sessionId: session?.sessionId ?? "" }));
  await api.create({ subject: "strict", policy: "strict" }).catch(() => undefined);
  await api.create({ subject: "strict", policy: "strict" }).catch(() => undefined);
  await api.sync();
}

describe("the metrics", () => {
  it("are the table, no more and no less", async () => {
    await start({ policies: { strict: { maxSessionsPerSubject: 1, limitAction: "deny" } } });
    await liveALittle();

    const text = await read();

    const table = INSTRUMENTS.map(({ name, kind }) => [prometheusName(name), kind] as const);
    expect([...declared(text)]).toEqual(table);
    // Each has a value once there is something to count.
    const shown = new Set(parseSeries(text).map(({ name }) => name.replace(/_count$/, "")));
    const silent = table.map(([name]) => name).filter((name) => !shown.has(name));
    expect(silent).toEqual(REDIS_ONLY);
  });

  it("have in the README the same table as in the code", () => {
    const inCode: MetricRow[] = INSTRUMENTS.map(({ name, kind, unit, labels, meaning }) => ({
      name: prometheusName(name),
      kind,
      unit,
      labels: labels.map(prometheusName),
      meaning,
    }));

    expect(readMetricTable("server/README.md")).toEqual(inCode);
  });

  it("have the labels of the table and no others", async () => {
    await start();
    await liveALittle();

    const text = await read();

    const labelsOf = new Map(
      INSTRUMENTS.map(({ name, labels }) => [prometheusName(name), labels.map(prometheusName)]),
    );
    for (const { name, labels } of parseSeries(text)) {
      const allowed = labelsOf.get(name) ?? labelsOf.get(name.replace(/_(bucket|count|sum)$/, ""));
      const own = Object.keys(labels).filter((label) => label !== "le");
      expect([name, own]).toEqual([name, allowed]);
    }
  });

  it("have no session, token, subject, tenant or client in a label (S-46)", async () => {
    await start();
    const { token, session } = await api.create({ tenantId: "acme", subject: "alice" });
    await api.validate(token);
    await failure(api.get("00".padEnd(24, "x")));
    await using service = createService(authority.address, { clientName: "orders" });
    await service.validate(token);

    const text = await read();

    for (const canary of [token, session?.sessionId ?? "", "acme", "alice", "orders"]) {
      expect(text).not.toContain(canary);
    }
    // No more values than the contract has names, whatever is asked.
    const values = new Set(parseSeries(text).flatMap(({ labels }) => Object.values(labels)));
    expect([...values].filter((value) => value.length > 60)).toEqual([]);
  });

  it("count what limits refused, by the limit's name in the file (S-39, S-40)", async () => {
    await start({
      limits: {
        connectionsMax: 1,
        createsPerCallerMax: 2,
        createsPerTenantMax: 1,
        missesPerSessionMax: 1,
        streamsPerPeerMax: 1,
      },
    });
    const { token } = await api.create();
    await failure(api.create());
    await api.create({ tenantId: "globex" });
    await failure(api.create({ tenantId: "initech" }));
    for (let count = 0; count < 3; count += 1) {
      await api.validate(token, { tenantId: "globex" }).catch(() => undefined);
    }
    const metadata = new Metadata();
    metadata.set("x-large", "x".repeat(9000));
    await new Promise<void>((resolve) => {
      api.client.getSession(GetSessionRequest.create(), metadata, () => {
        resolve();
      });
    });
    await new Promise((resolve) => {
      connect(authority.port, "127.0.0.1").on("error", resolve).on("close", resolve);
    });

    const text = await read();

    const counts = Object.fromEntries(
      parseSeries(text)
        .filter(({ name }) => name === "coatcheck_limit_refusals_total")
        .map(({ labels, value }) => [labels["limit"] ?? "", value] as const),
    );
    expect(counts).toEqual({
      creates_per_caller_max: 1,
      creates_per_tenant_max: 1,
      creates_per_subject_max: 0,
      misses_per_caller_max: 0,
      misses_per_session_max: 2,
      calls_per_caller_max: 0,
      streams_per_peer_max: 0,
      metadata_bytes_max: 1,
      watchers_max: 0,
      connections_max: 1,
    });
  });

  it("count refused streams, and calls that were shed, by method", async () => {
    await start({
      limits: { callsInFlightMax: 16, streamsPerPeerMax: 1 },
      createStore: wrappedStore({
        before: async (method) => {
          if (method === "revokeScope") await new Promise((resolve) => setImmediate(resolve));
        },
      }),
    });
    const watches = [1, 2].map(
      () => new TestWatch(api.revocations.watchRevocations(WatchRevocationsRequest.create())),
    );
    await eventually(() => watches.some(({ refusal }) => refusal !== undefined));
    const storm = Array.from({ length: 40 }, () => api.revokeSubject().catch(() => undefined));
    const lists = Array.from({ length: 40 }, () => api.list().catch(() => undefined));
    await Promise.all([...storm, ...lists]);

    const text = await read();

    expect(valueOf(text, "coatcheck_limit_refusals_total", { limit: "streams_per_peer_max" })).toBe(
      1,
    );
    const rpc_method = "coatcheck.v1.SessionService/ListSessions";
    expect(valueOf(text, "coatcheck_calls_shed_total", { rpc_method })).toBeGreaterThan(0);
    for (const { call } of watches) call.cancel();
  });

  it("count calls by method and status, and failures by reason", async () => {
    await start();
    const { token } = await api.create();
    await api.validate(token);
    await api.validate(token);
    await failure(api.create({ policy: "no-such-policy" }));

    const text = await read();

    const method = "coatcheck.v1.SessionService/ValidateSession";
    const labels = { rpc_method: method, rpc_response_status_code: "OK" };
    expect(valueOf(text, "rpc_server_call_duration_count", labels)).toBe(2);
    expect(valueOf(text, "rpc_server_call_duration_bucket", { ...labels, le: "+Inf" })).toBe(2);
    expect(
      valueOf(text, "rpc_server_call_duration_count", {
        rpc_method: "coatcheck.v1.SessionService/CreateSession",
        rpc_response_status_code: "INVALID_ARGUMENT",
      }),
    ).toBe(1);
    expect(valueOf(text, "coatcheck_call_failures_total", { reason: "UNKNOWN_POLICY" })).toBe(1);
    expect(valueOf(text, "coatcheck_validations_total", { outcome: "valid" })).toBe(2);
  });

  it("count sessions created, ended, rejected and active (FEATURES 3.38)", async () => {
    await start({
      policies: {
        default: { maxSessionsPerSubject: 2 },
        strict: { maxSessionsPerSubject: 1, limitAction: "deny" },
      },
    });
    const first = await api.create({ subject: "logs-out" });
    for (let index = 0; index < 3; index += 1) await api.create({ subject: "evicts" });
    await api.create({ subject: "strict", policy: "strict" });
    await failure(api.create({ subject: "strict", policy: "strict" }));
    await api.revoke({
      target: { $case: "token", value: first.token },
      reason: RevocationReason.USER_LOGOUT,
    });

    const text = await read();

    expect(valueOf(text, "coatcheck_sessions_created_total")).toBe(5);
    expect(valueOf(text, "coatcheck_sessions_ended_total", { reason: "user-logout" })).toBe(1);
    expect(valueOf(text, "coatcheck_sessions_ended_total", { reason: "limit-exceeded" })).toBe(1);
    expect(
      valueOf(text, "coatcheck_sessions_rejected_total", { reason: "SESSION_LIMIT_REACHED" }),
    ).toBe(1);
    expect(sum(text, "coatcheck_sessions_active")).toBe(3);
    expect(sum(text, "coatcheck_sessions_kept")).toBe(5);
    expect(sum(text, "coatcheck_log_window_events")).toBe(2);
    expect(valueOf(text, "coatcheck_log_events_total")).toBe(2);
  });

  it("count a repeat as no session, and no rejection", async () => {
    await start();
    const request = { requestId: "once", retrySecret: Buffer.alloc(32, 1) };
    await api.create(request);
    await api.create(request);
    await failure(api.create({ ...request, retrySecret: Buffer.alloc(32, 2) }));

    const text = await read();

    expect(valueOf(text, "coatcheck_sessions_created_total")).toBe(1);
    expect(valueOf(text, "coatcheck_sessions_rejected_total")).toBeUndefined();
  });

  it("show watchers, their position and Syncs", async () => {
    await start();
    const { token } = await api.create();
    await using service = createService(authority.address);
    await service.validate(token);
    await service.ready();

    const text = await read();

    expect(valueOf(text, "coatcheck_watchers", { state: "live" })).toBe(1);
    expect(valueOf(text, "coatcheck_watchers", { state: "lagging" })).toBe(0);
    expect(valueOf(text, "coatcheck_watchers_opened_total")).toBe(1);
    expect(valueOf(text, "coatcheck_syncs_total")).toBeGreaterThan(0);
    expect(valueOf(text, "coatcheck_log_head_sequence", { partition: "0" })).toBe(0);
    expect(valueOf(text, "coatcheck_feed_age_seconds", { partition: "15" })).toBeLessThan(1);
  });

  it("show an outage of the store, and still everything else", async () => {
    let isAway = false;
    await start({
      createStore: (options) => {
        const store = wrappedStore({})(options);
        return {
          ...store,
          condition: () => ({ ...store.condition(), isConnected: !isAway }),
          measure: async () => {
            if (isAway) throw new StoreUnavailableError("away", "no");
            return await store.measure();
          },
          log: {
            ...store.log,
            pull: async (...where) => {
              if (isAway) throw new StoreUnavailableError("away", "no");
              return await store.log.pull(...where);
            },
          },
        };
      },
    });
    expect(valueOf(await read(), "coatcheck_ready")).toBe(1);

    isAway = true;
    await eventually(async () => valueOf(await read(), "coatcheck_ready") === 0);

    const text = await read();
    expect(valueOf(text, "coatcheck_store_connected", { store: "memory" })).toBe(0);
    expect(valueOf(text, "coatcheck_pulls_total", { result: "failed" })).toBeGreaterThan(0);
    expect(parseSeries(text).some(({ name }) => name === "coatcheck_sessions_active")).toBe(false);
  });
});

describe("the metrics listener", () => {
  it("is not there unless it is asked for", async () => {
    authority = await createAuthority();
    api = new SessionApi(authority.address);

    expect(authority.metricsAddress).toBeUndefined();
  });

  it("serves one path, to readers only", async () => {
    await start();
    const address = authority.metricsAddress ?? "";

    expect((await scrape(address)).contentType).toContain("text/plain; version=0.0.4");
    expect((await scrape(address, "/metrics?x=1")).status).toBe(200);
    expect((await scrape(address, "/")).status).toBe(404);
    expect((await scrape(address, "/metrics/../debug")).status).toBe(404);
    expect(await post(address)).toBe(405);
  });

  it("says nothing of an error but that there was one (S-44)", async () => {
    const lines: string[] = [];
    await start({
      createStore: (options) => {
        const store = wrappedStore({})(options);
        return {
          ...store,
          condition: () => {
            throw new Error("canary-10.0.0.7:6379");
          },
        };
      },
      log: {
        debug: () => undefined,
        info: () => undefined,
        warn: () => undefined,
        error: (fields, message) => lines.push(JSON.stringify(fields) + message),
      },
    });

    const answer = await scrape(authority.metricsAddress ?? "");

    expect(answer).toEqual({ status: 500, contentType: "", text: "" });
    expect(lines).toEqual([
      expect.stringMatching(/^\{"at":"Error \| at .*the metrics cannot be read$/),
    ]);
    expect(lines.join()).not.toContain("canary-");
  });

  it("asks the store once for all who ask at once", async () => {
    let asked = 0;
    await start({
      createStore: (options) => {
        const store = wrappedStore({})(options);
        return {
          ...store,
          measure: async () => {
            asked += 1;
            return await store.measure();
          },
        };
      },
    });
    const address = authority.metricsAddress ?? "";

    // In one packet, so that all of them have come before the first is answered.
    const answers = await pipelined(address, 8);

    expect(answers).toBe(8);
    expect(asked).toBe(1);
  });

  it("holds no more connections than it says", async () => {
    await start();
    const [host = "", port = ""] = (authority.metricsAddress ?? "").split(":");
    const sockets = await Promise.all(
      Array.from({ length: 40 }, async () => {
        const socket = connect(Number(port), host);
        socket.on("error", () => undefined);
        await new Promise((resolve) => socket.once("connect", resolve));
        return socket;
      }),
    );
    try {
      await eventually(
        () => sockets.filter((socket) => socket.destroyed || socket.closed).length >= 24,
      );
      expect(sockets.filter((socket) => !socket.destroyed)).toHaveLength(16);
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  });

  it("refuses an address that is taken, and leaves nothing behind", async () => {
    await start();
    const port = Number((authority.metricsAddress ?? "").split(":")[1]);

    await expect(createAuthority({ metricsListen: { host: "127.0.0.1", port } })).rejects.toThrow(
      `Cannot serve metrics on 127.0.0.1:${port}: the address cannot be had`,
    );
  });
});

describe("metrics for other machines", () => {
  const ca = new TestCa();
  const stranger = new TestCa("another authority");
  const server = ca.issue({ names: "IP:127.0.0.1" });
  const scraper = ca.issue({ names: "DNS:prometheus" });
  const everywhere = { host: "0.0.0.0", port: 0 };

  afterAll(() => {
    ca.remove();
    stranger.remove();
  });

  beforeEach(async () => {
    await start({
      metricsListen: everywhere,
      tls: { certPath: server.certPath, keyPath: server.keyPath, clientCaPath: ca.path },
    });
  });

  it("are served to a client with a certificate of the right authority", async () => {
    expect(await ask({ ca: ca.cert, cert: scraper.cert, key: scraper.key })).toBe(200);
  });

  it.each<[name: string, options: () => RequestOptions]>([
    ["none", () => ({})],
    ["one of another authority", () => pair(stranger.issue({ names: "DNS:prometheus" }))],
    ["one that has expired", () => pair(ca.issue({ names: "DNS:prometheus", days: -1 }))],
    ["one that signs itself", () => pair(ca.selfSigned({ names: "DNS:prometheus" }))],
  ])("are refused to a client whose certificate is %s (S-25, S-26)", async (_name, options) => {
    await expect(ask({ ca: ca.cert, ...options() })).rejects.toThrow();
  });

  it("are refused over TLS 1.1 and in plaintext (S-25)", async () => {
    const client = { ca: ca.cert, cert: scraper.cert, key: scraper.key };
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "ALL@SECLEVEL=0" } as const;

    await expect(ask({ ...client, ...old })).rejects.toThrow();
    await expect(scrape(`127.0.0.1:${metricsPort()}`)).rejects.toThrow();
  });

  it("are served with new certificates once the files have them (S-29)", async () => {
    const renewed = stranger.issue({ names: "IP:127.0.0.1" });
    writeFileSync(server.keyPath, renewed.key);
    writeFileSync(server.certPath, renewed.cert);
    const client = { cert: scraper.cert, key: scraper.key };

    authority.reload();

    await eventually(async () => (await ask({ ...client, ca: stranger.cert })) === 200);
    await expect(ask({ ...client, ca: ca.cert })).rejects.toThrow();
  });

  function pair({ cert, key }: Certificate): RequestOptions {
    return { cert, key };
  }

  function metricsPort(): string {
    return (authority.metricsAddress ?? "").split(":").at(-1) ?? "";
  }

  async function ask(options: RequestOptions): Promise<number> {
    const url = `https://127.0.0.1:${metricsPort()}/metrics`;
    return await new Promise<number>((resolve, reject) => {
      get(url, { ...options, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      }).on("error", reject);
    });
  }
});

describe("metrics for strangers", () => {
  it("are refused without certificates for clients, unless somebody asked for it", async () => {
    await start();

    await expect(createAuthority({ metricsListen: { host: "0.0.0.0", port: 0 } })).rejects.toThrow(
      "without certificates for clients only loopback is served",
    );
    const asked = await createAuthority({
      metricsListen: { host: "0.0.0.0", port: 0 },
      dangerousPlaintext: true,
    });
    expect(asked.metricsAddress).toMatch(/^0\.0\.0\.0:\d+$/);
    await asked.close();
  });
});

function sum(text: string, name: string): number {
  return parseSeries(text)
    .filter((series) => series.name === name)
    .reduce((total, { value }) => total + value, 0);
}

async function post(address: string): Promise<number> {
  return await new Promise<number>((resolve, reject) => {
    httpRequest(`http://${address}/metrics`, { method: "POST" }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on("error", reject)
      .end("anything");
  });
}

/** How many of so many requests, written at once, are answered with a scrape. */
async function pipelined(address: string, requests: number): Promise<number> {
  const [host = "", port = ""] = address.split(":");
  const socket = connect(Number(port), host);
  try {
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    socket.write(`GET /metrics HTTP/1.1\r\nhost: ${address}\r\n\r\n`.repeat(requests));
    await eventually(() => text.split("HTTP/1.1 200 OK").length > requests);
    return text.split("HTTP/1.1 200 OK").length - 1;
  } finally {
    socket.destroy();
  }
}
