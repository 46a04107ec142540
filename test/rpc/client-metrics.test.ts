// What an operator sees of a service that links the SDK, through OpenTelemetry as it would use it.

import { PrometheusExporter, PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { MeterProvider } from "@opentelemetry/sdk-metrics";
import { startTestAuthority, type TestAuthority } from "@coatcheck/server/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { INSTRUMENTS } from "#client/instruments.js";

import { eventually } from "../support/eventually.js";
import { freePort } from "../support/free-port.js";
import { readMetricTable } from "../support/metric-table.js";
import { declared, parseSeries, valueOf } from "../support/prometheus.js";
import { createService, warm } from "../support/services.js";

let authority: TestAuthority;

beforeAll(async () => {
  authority = await startTestAuthority();
});

afterAll(async () => {
  await authority.close();
});

/** A provider, and what it would show to Prometheus. */
function createMeters(): { provider: MeterProvider; read: () => Promise<string> } {
  const reader = new PrometheusExporter({ preventServerStart: true });
  const serializer = new PrometheusSerializer("", false, undefined, true, true);
  return {
    provider: new MeterProvider({ readers: [reader] }),
    read: async () => {
      const { resourceMetrics, errors } = await reader.collect();
      expect(errors).toEqual([]);
      return serializer.serialize(resourceMetrics);
    },
  };
}

describe("a client's metrics", () => {
  it("are the table, in the code, in the README and where they are collected", async () => {
    const { provider, read } = createMeters();
    await using service = createService(authority.address, { meterProvider: provider });
    await service.create();

    const text = await read();

    const table = INSTRUMENTS.map(({ name, kind, unit, label, meaning }) => ({
      name,
      kind,
      unit,
      labels: label === undefined ? [] : [label],
      meaning,
    }));
    expect(readMetricTable("client/README.md")).toEqual(table);
    // Only what has happened has a reason.
    const byReason = /_(fills_refused|answers_discarded|resets)_total$/;
    expect([...declared(text)].filter(([name]) => !byReason.test(name))).toEqual(
      table.filter(({ name }) => !byReason.test(name)).map(({ name, kind }) => [name, kind]),
    );
    for (const { name, labels } of parseSeries(text)) {
      expect([name, Object.keys(labels)]).toEqual([
        name,
        table.find((row) => row.name === name)?.labels,
      ]);
    }
  });

  it("count hits and misses, and say how old the feed is", async () => {
    const { provider, read } = createMeters();
    await using service = createService(authority.address, { meterProvider: provider });
    const { token } = await service.create();
    await service.ready();
    await warm(service, token.reveal());
    const before = valueOf(await read(), "coatcheck_client_validations_total", { answer: "hit" });

    await service.validate(token);

    const text = await read();
    function answers(answer: string): number | undefined {
      return valueOf(text, "coatcheck_client_validations_total", { answer });
    }
    expect(answers("hit")).toBe(Number(before) + 1);
    expect(answers("miss")).toBeGreaterThan(0);
    expect(valueOf(text, "coatcheck_client_state", { state: "fresh" })).toBe(1);
    expect(valueOf(text, "coatcheck_client_fresh_partitions")).toBe(16);
    expect(valueOf(text, "coatcheck_client_feed_age_seconds")).toBeLessThan(3);
    expect(valueOf(text, "coatcheck_client_lease_age_seconds")).toBeLessThan(3);
    expect(valueOf(text, "coatcheck_client_staleness_bound_seconds")).toBe(3);
    expect(valueOf(text, "coatcheck_client_entries")).toBe(1);
    expect(valueOf(text, "coatcheck_client_streams")).toBe(1);
  });

  it("have no session, token, subject, tenant or client in a label (S-46)", async () => {
    const { provider, read } = createMeters();
    await using service = createService(authority.address, {
      meterProvider: provider,
      clientName: "canary-client",
    });
    const { token, session } = await service.create({ subject: "canary-subject" });
    await service.validate(token);

    const text = await read();

    for (const canary of [token.reveal(), session.sessionId, "canary", "acme"]) {
      expect(text).not.toContain(canary);
    }
  });

  it("add up over the clients of a process, and take the greatest of ages", async () => {
    const { provider, read } = createMeters();
    const away = `127.0.0.1:${await freePort()}`;
    await using first = createService(authority.address, { meterProvider: provider });
    await using second = createService(away, { tenantId: "other", meterProvider: provider });
    const { token } = await first.create();
    await first.ready();
    await first.validate(token);
    expect((await second.validate(token)).kind).toBe("unavailable");

    const text = await read();

    expect(valueOf(text, "coatcheck_client_state", { state: "fresh" })).toBe(1);
    expect(valueOf(text, "coatcheck_client_state", { state: "cold" })).toBe(1);
    expect(valueOf(text, "coatcheck_client_validations_total", { answer: "miss" })).toBe(2);
    expect(valueOf(text, "coatcheck_client_lease_age_seconds")).toBe(Infinity);
  });

  it("end with the client: a provider that outlives it does not hold it", async () => {
    const { provider, read } = createMeters();
    const first = createService(authority.address, { meterProvider: provider });
    await using second = createService(authority.address, { meterProvider: provider });
    await first.ready();
    await second.ready();
    expect(valueOf(await read(), "coatcheck_client_state", { state: "fresh" })).toBe(2);

    await first.close();

    await eventually(
      async () => valueOf(await read(), "coatcheck_client_state", { state: "fresh" }) === 1,
    );
  });
});
