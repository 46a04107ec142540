import { ValueType, type Attributes } from "@opentelemetry/api";
import { PrometheusExporter, PrometheusSerializer } from "@opentelemetry/exporter-prometheus";
import { emptyResource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  type CollectionResult,
  type DataPoint,
  DataPointType,
  type HistogramMetricData,
  MeterProvider,
  type MetricData,
  type MetricProducer,
} from "@opentelemetry/sdk-metrics";

import { DURATION_BUCKETS, type Durations, type DurationSeries } from "./durations.js";
import { type Instrument, MEASURED, OBSERVED, type ObservedInstrument } from "./instruments.js";
import type { MetricsSnapshot, MetricsSource } from "./metrics-source.js";

/*
 * The metrics of a replica as Prometheus reads them.
 *
 * Nothing is measured here: a scrape takes one snapshot of the numbers that the
 * authority keeps for itself. The table in instruments.ts says what there is, and
 * where in the snapshot each row is found.
 *
 * They enter OpenTelemetry as a producer, the door it has for numbers that were
 * counted elsewhere, and not as observable instruments: those go on showing the
 * last value of a series that is not observed any more, and a store that is away
 * would look as it did when it was last there. What nobody knows is left out; an
 * absent series is what alerts look for.
 */

/** The metrics of one replica. */
export interface Metrics {
  /** Everything in the text format of Prometheus, read after this call began. */
  scrape(): Promise<string>;
  close(): Promise<void>;
}

// The text format of Prometheus shows no instants.
const NO_TIME: Pick<DataPoint<number>, "startTime" | "endTime"> = {
  startTime: [0, 0],
  endTime: [0, 0],
};

/** Makes the metrics of a replica. */
export function createMetrics(source: MetricsSource): Metrics {
  // The exporter's own server is never started: it would put the text of errors on the wire.
  const reader = new PrometheusExporter({
    preventServerStart: true,
    metricProducers: [createProducer(source)],
  });
  const serializer = new PrometheusSerializer("", false, undefined, true, true);
  const provider = new MeterProvider({ readers: [reader] });
  return {
    scrape: async () => {
      const { resourceMetrics } = await reader.collect();
      return serializer.serialize(resourceMetrics);
    },
    close: async () => {
      await provider.shutdown();
    },
  };
}

function createProducer(source: MetricsSource): MetricProducer {
  return {
    collect: async (): Promise<CollectionResult> => {
      const snapshot = await source.read();
      const metrics = [
        histogram(MEASURED.calls, source.calls),
        histogram(MEASURED.scripts, source.scripts),
        ...OBSERVED.map((instrument) => observation(instrument, snapshot)),
      ];
      return {
        resourceMetrics: {
          resource: emptyResource(),
          scopeMetrics: [{ scope: { name: "coatcheck" }, metrics }],
        },
        errors: [],
      };
    },
  };
}

function observation(instrument: ObservedInstrument, snapshot: MetricsSnapshot): MetricData {
  const dataPoints = instrument
    .read(snapshot)
    .filter(([value]) => Number.isFinite(value))
    .map(([value, ...labels]) => ({
      ...NO_TIME,
      attributes: attributesOf(instrument, labels),
      value,
    }));
  const common = {
    descriptor: descriptorOf(instrument),
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPoints,
  };
  return instrument.kind === "counter"
    ? { ...common, dataPointType: DataPointType.SUM, isMonotonic: true }
    : { ...common, dataPointType: DataPointType.GAUGE };
}

function histogram(instrument: Instrument, durations: Durations): HistogramMetricData {
  return {
    descriptor: descriptorOf(instrument),
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPointType: DataPointType.HISTOGRAM,
    dataPoints: durations.read().map((series) => bucketsOf(instrument, series)),
  };
}

function bucketsOf(
  instrument: Instrument,
  { first, second, buckets, count, sumSeconds }: DurationSeries,
): HistogramMetricData["dataPoints"][number] {
  return {
    ...NO_TIME,
    attributes: attributesOf(instrument, [first, second]),
    value: {
      buckets: { boundaries: [...DURATION_BUCKETS], counts: [...buckets] },
      count,
      sum: sumSeconds,
    },
  };
}

function descriptorOf({ name, meaning, unit }: Instrument): MetricData["descriptor"] {
  return { name, description: meaning, unit, valueType: ValueType.DOUBLE };
}

function attributesOf({ labels }: Instrument, values: readonly string[]): Attributes {
  return Object.fromEntries(labels.map((label, index) => [label, values[index] ?? ""]));
}
