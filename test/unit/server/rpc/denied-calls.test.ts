import { Metadata } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";

import { silentLog } from "#server/base/log.js";
import { LOCAL_CALLER } from "#server/callers/caller.js";
import { DeniedCalls } from "#server/rpc/denied-calls.js";
import { RpcError } from "#server/rpc/status.js";
import type { AuditTrail, DeniedCall } from "#server/store/audit-trail.js";
import { StoreUnavailableError } from "#server/store/store-error.js";

import { ManualClock } from "../../../support/manual-clock.js";

const REFUSAL = new RpcError("CALLER_NOT_ALLOWED", "no");
const CALL = {
  metadata: new Metadata(),
  getPath: () => "/coatcheck.v1.SessionService/CreateSession",
  getAuthContext: () => ({}),
  getPeer: () => "192.0.2.7:1",
};

class Bench {
  readonly clock = new ManualClock();
  readonly appended: DeniedCall[] = [];
  isAway = false;
  caller = "local";
  readonly denied: DeniedCalls;

  constructor() {
    const trail: AuditTrail = {
      appendDenied: (_partition, calls) => {
        if (this.isAway) return Promise.reject(new StoreUnavailableError("away", "no"));
        this.appended.push(...calls);
        return Promise.resolve();
      },
      read: () => Promise.resolve([]),
    };
    const gate = { identify: () => ({ ...LOCAL_CALLER, name: this.caller }) };
    this.denied = new DeniedCalls({ trail, clock: this.clock, log: silentLog, gate });
  }

  note(calls: number, request: object = { tenantId: "acme" }): void {
    for (let index = 0; index < calls; index += 1) this.denied.note(CALL, request, REFUSAL);
  }

  /** As many refusals as wait at most, of as many callers as that takes. */
  flood(): void {
    for (const caller of ["a", "b", "c", "d", "e"]) {
      this.caller = caller;
      this.note(64);
    }
  }

  async flush(): Promise<void> {
    this.clock.advance(100);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("refused calls", () => {
  it("are written in batches of 64, one every 100 ms, however many there are", async () => {
    const bench = new Bench();
    bench.flood();

    expect(bench.appended).toHaveLength(0);
    await bench.flush();
    expect(bench.appended).toHaveLength(64);
    await bench.flush();
    expect(bench.appended).toHaveLength(128);
  });

  it("wait in a bounded list; what comes on top is dropped and counted", async () => {
    const bench = new Bench();
    bench.flood();

    expect(bench.denied.dropped).toBe(64);
    for (let round = 0; round < 6; round += 1) await bench.flush();
    expect(bench.appended).toHaveLength(256);
  });

  it("of one caller fill a quarter of the list, so that a flood hides nobody else's", async () => {
    const bench = new Bench();
    bench.note(1_000);
    expect(bench.denied.dropped).toBe(1_000 - 64);
    bench.caller = "other";
    bench.note(1);

    await bench.flush();
    await bench.flush();
    expect(bench.appended.map(({ caller }) => caller)).toContain("other");
    // What has left the list makes room.
    bench.caller = "local";
    bench.note(64);
    expect(bench.denied.dropped).toBe(1_000 - 64);
  });

  it("name the tenant of a stream that asked for one, and the session but never the token", async () => {
    const bench = new Bench();
    bench.note(1, { tenantIds: ["globex"] });
    bench.note(1, { tenantIds: ["globex", "initech"] });
    bench.note(1, { target: { $case: "sessionId", value: "0a" } });
    bench.note(1, { target: { $case: "token", value: "cc1_secret" } });
    await bench.flush();

    expect(bench.appended.map(({ tenantId, sessionId }) => [tenantId, sessionId])).toEqual([
      ["globex", ""],
      ["", ""],
      ["", "0a"],
      ["", ""],
    ]);
  });

  it("are dropped and counted while the store is away, and recorded again after it", async () => {
    const bench = new Bench();
    bench.isAway = true;
    bench.note(3);
    await bench.flush();

    bench.isAway = false;
    bench.note(1);
    await bench.flush();

    expect(bench.denied.dropped).toBe(3);
    expect(bench.appended).toHaveLength(1);
  });

  it("are cut to what an identifier may be, because nobody has checked them", async () => {
    const bench = new Bench();
    bench.note(1, { tenantId: `a\r\nb${"x".repeat(1_000)}`, sessionId: 7 });
    await bench.flush();

    expect(bench.appended).toMatchObject([{ tenantId: `a??b${"x".repeat(124)}`, sessionId: "" }]);
  });

  it("are only those that were refused because of who called", async () => {
    const bench = new Bench();
    bench.denied.note(CALL, {}, new RpcError("INVALID_FIELD", "no"));
    bench.denied.note(CALL, {}, new RpcError("RATE_LIMITED", "no"));
    bench.denied.note(CALL, {}, new RpcError("CALLER_UNKNOWN", "no"));
    await bench.flush();

    expect(bench.appended).toMatchObject([{ statusCode: 16 }]);
  });
});
