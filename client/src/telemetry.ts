import type { MeterProvider, ObservableResult } from "@opentelemetry/api";
import type { ClientStatus } from "./status.js";

/**
 * Registers what `status` shows as metrics. Nothing is measured twice: the
 * instruments read the same numbers when they are collected.
 */
export function registerMetrics(provider: MeterProvider, status: () => ClientStatus): void {
  const meter = provider.getMeter("@coatcheck/client");
  function observe(
    name: string,
    description: string,
    read: (status: ClientStatus, result: ObservableResult) => void,
  ): void {
    meter.createObservableGauge(name, { description }).addCallback((result) => {
      read(status(), result);
    });
  }
  function count(
    name: string,
    description: string,
    read: (status: ClientStatus) => Readonly<Record<string, number>>,
  ): void {
    meter.createObservableCounter(name, { description }).addCallback((result) => {
      for (const [kind, value] of Object.entries(read(status()))) result.observe(value, { kind });
    });
  }

  count("coatcheck_client_validations_total", "Validations by how they were answered", (now) => ({
    hit: now.counters.hits,
    miss: now.counters.misses,
    denied_from_memory: now.counters.deniedFromMemory,
    unavailable: now.counters.unavailable,
    stale: now.counters.staleAccepts,
  }));
  count("coatcheck_client_fills_refused_total", "Answers not kept, by reason", (now) => {
    return now.counters.fillsRefused;
  });
  count(
    "coatcheck_client_resets_total",
    "Partitions reset, by cause",
    (now) => now.counters.resets,
  );
  count("coatcheck_client_syncs_total", "Syncs by outcome", (now) => ({
    ok: now.counters.syncs - now.counters.syncFailures,
    failed: now.counters.syncFailures,
  }));
  count("coatcheck_client_streams_total", "Streams opened and ended", (now) => ({
    opened: now.counters.streamsOpened,
    ended: now.counters.streamsEnded,
  }));
  count("coatcheck_client_late_accepts_total", "Sessions used after their revocation", (now) => ({
    all: now.counters.lateAccepts,
  }));
  observe("coatcheck_client_entries", "Sessions in memory", (now, result) => {
    result.observe(now.entries);
  });
  observe("coatcheck_client_fresh_partitions", "Partitions whose lease holds", (now, result) => {
    result.observe(now.partitions.filter(({ state }) => state === "fresh").length);
  });
  observe("coatcheck_client_lease_age_milliseconds", "Age of the oldest lease", (now, result) => {
    const ages = now.partitions.map(({ leaseAgeMs }) => leaseAgeMs ?? Number.POSITIVE_INFINITY);
    const oldestMs = Math.max(...ages);
    if (Number.isFinite(oldestMs)) result.observe(oldestMs);
  });
}
