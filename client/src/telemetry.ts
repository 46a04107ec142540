import type { BatchObservableResult, MeterProvider, Observable } from "@opentelemetry/api";

import { INSTRUMENTS, type Instrument } from "./instruments.js";
import type { ClientStatus } from "./status.js";

/*
 * What `status` shows, as metrics. Nothing is measured twice: the instruments read
 * the same numbers when they are collected.
 *
 * Two clients of one process, one for each tenant, say, would each set the series
 * of the other if they observed on their own, so all clients of a provider are read
 * together.
 */

type ReadStatus = () => ClientStatus;

const METER = "@coatcheck/client";

/** The clients of each provider that are not closed. */
const clientsOf = new WeakMap<MeterProvider, Set<ReadStatus>>();

/** Registers a client's metrics with a provider. Returns what takes them out again. */
export function registerMetrics(provider: MeterProvider, status: ReadStatus): () => void {
  const clients = clientsOf.get(provider) ?? observe(provider);
  clients.add(status);
  return () => {
    clients.delete(status);
  };
}

function observe(provider: MeterProvider): Set<ReadStatus> {
  const clients = new Set<ReadStatus>();
  clientsOf.set(provider, clients);
  const meter = provider.getMeter(METER);
  const rows = INSTRUMENTS.map((instrument) => {
    const { name, kind, meaning, unit } = instrument;
    const options = { description: meaning, unit };
    const observable =
      kind === "counter"
        ? meter.createObservableCounter(name, options)
        : meter.createObservableGauge(name, options);
    return { instrument, observable };
  });
  meter.addBatchObservableCallback(
    (result) => {
      const statuses = [...clients].map((read) => read());
      for (const row of rows) observeOne(result, row, statuses);
    },
    rows.map(({ observable }) => observable),
  );
  return clients;
}

function observeOne(
  result: BatchObservableResult,
  row: { readonly instrument: Instrument; readonly observable: Observable },
  statuses: readonly ClientStatus[],
): void {
  const { instrument, observable } = row;
  for (const [label, value] of combine(instrument, statuses)) {
    const attributes = instrument.label === undefined ? {} : { [instrument.label]: label };
    result.observe(observable, value, attributes);
  }
}

/** The values of all clients by label; the label of an instrument without one is empty. */
function combine(
  { read, combine: way }: Instrument,
  statuses: readonly ClientStatus[],
): ReadonlyMap<string, number> {
  const values = new Map<string, number>();
  for (const [value, label = ""] of statuses.flatMap(read)) {
    const before = values.get(label);
    const both = way === "max" ? Math.max(before ?? value, value) : (before ?? 0) + value;
    values.set(label, both);
  }
  return values;
}
