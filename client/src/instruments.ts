import type { ClientStatus } from "./status.js";

/*
 * Every metric of a client. README.md has the same table for people, and a test
 * compares the two with what is really collected.
 *
 * Labels come from closed sets. A session, a token, a subject or a tenant is never
 * one (S-46). Clients of several tenants in one process share the series: numbers
 * are added up, and of ages the greatest counts.
 */

/** A value and its label, where the instrument has one. */
export type Sample = readonly [value: number, label?: string];

/** One metric. */
export interface Instrument {
  readonly name: string;
  readonly kind: "counter" | "gauge";
  /** In UCUM: `s` are seconds, `1` a flag, `{…}` is counted. */
  readonly unit: string;
  /** The name of its label; undefined where it has none. */
  readonly label?: string;
  readonly meaning: string;
  /** What becomes of the values of several clients. @default "sum" */
  readonly combine?: "max";
  readonly read: (status: ClientStatus) => readonly Sample[];
}

/** All of them. */
export const INSTRUMENTS: readonly Instrument[] = [
  {
    name: "coatcheck_client_validations_total",
    kind: "counter",
    unit: "{answer}",
    label: "answer",
    meaning:
      "Validations: `hit` and `denied` from memory; `miss` asked, and of those `unavailable` and `stale`",
    read: ({ counters }) => [
      [counters.hits, "hit"],
      [counters.misses, "miss"],
      [counters.deniedFromMemory, "denied"],
      [counters.unavailable, "unavailable"],
      [counters.staleAccepts, "stale"],
    ],
  },
  {
    name: "coatcheck_client_state",
    kind: "gauge",
    unit: "{client}",
    label: "state",
    meaning: "Clients that are `fresh`, in `jeopardy` or `cold`",
    read: ({ state }) =>
      (["fresh", "jeopardy", "cold"] as const).map((each) => [each === state ? 1 : 0, each]),
  },
  {
    name: "coatcheck_client_lease_age_seconds",
    kind: "gauge",
    unit: "s",
    meaning:
      "Age of the oldest lease, infinite where a partition has none; beyond the bound it lapsed",
    combine: "max",
    read: ({ partitions }) => [
      [Math.max(...partitions.map(({ leaseAgeMs = Infinity }) => leaseAgeMs)) / 1000],
    ],
  },
  {
    name: "coatcheck_client_feed_age_seconds",
    kind: "gauge",
    unit: "s",
    meaning: "Time since the authority was last heard of, infinite before the first time",
    combine: "max",
    read: ({ silentForMs = Infinity }) => [[silentForMs / 1000]],
  },
  {
    name: "coatcheck_client_staleness_bound_seconds",
    kind: "gauge",
    unit: "s",
    meaning: "The bound L as it is known",
    combine: "max",
    read: ({ maxStalenessMs }) => [[maxStalenessMs / 1000]],
  },
  {
    name: "coatcheck_client_fresh_partitions",
    kind: "gauge",
    unit: "{partition}",
    meaning: "Partitions whose lease holds, of 16 for each client",
    read: ({ partitions }) => [[partitions.filter(({ state }) => state === "fresh").length]],
  },
  {
    name: "coatcheck_client_streams",
    kind: "gauge",
    unit: "{stream}",
    meaning: "Open watch streams",
    read: ({ isStreaming }) => [[isStreaming ? 1 : 0]],
  },
  {
    name: "coatcheck_client_entries",
    kind: "gauge",
    unit: "{session}",
    meaning: "Sessions in memory",
    read: ({ entries }) => [[entries]],
  },
  {
    name: "coatcheck_client_tombstones",
    kind: "gauge",
    unit: "{session}",
    meaning: "Sessions remembered as revoked",
    read: ({ tombstones }) => [[tombstones]],
  },
  {
    name: "coatcheck_client_calls_in_flight",
    kind: "gauge",
    unit: "{call}",
    meaning: "Questions to the authority on their way",
    read: ({ inFlight }) => [[inFlight]],
  },
  {
    name: "coatcheck_client_followers",
    kind: "gauge",
    unit: "{session}",
    meaning: "Sessions followed for a connection that outlives a request",
    read: ({ followers }) => [[followers]],
  },
  {
    name: "coatcheck_client_fills_refused_total",
    kind: "counter",
    unit: "{answer}",
    label: "reason",
    meaning: "Valid answers that were not kept, by reason",
    read: ({ counters }) => each(counters.fillsRefused),
  },
  {
    name: "coatcheck_client_answers_discarded_total",
    kind: "counter",
    unit: "{answer}",
    label: "reason",
    meaning: "Answers not used: `too-old`, `behind` what was applied, or `unusable`",
    read: ({ counters }) => each(counters.discarded),
  },
  {
    name: "coatcheck_client_resets_total",
    kind: "counter",
    unit: "{partition}",
    label: "cause",
    meaning: "Partitions whose entries were given up, by cause",
    read: ({ counters }) => each(counters.resets),
  },
  {
    name: "coatcheck_client_syncs_total",
    kind: "counter",
    unit: "{sync}",
    label: "result",
    meaning: "Syncs, `ok` or `failed`",
    read: ({ counters }) => [
      [counters.syncs - counters.syncFailures, "ok"],
      [counters.syncFailures, "failed"],
    ],
  },
  {
    name: "coatcheck_client_stream_changes_total",
    kind: "counter",
    unit: "{stream}",
    label: "change",
    meaning: "Watch streams `opened` and `ended`",
    read: ({ counters }) => [
      [counters.streamsOpened, "opened"],
      [counters.streamsEnded, "ended"],
    ],
  },
  {
    name: "coatcheck_client_touches_total",
    kind: "counter",
    unit: "{use}",
    label: "result",
    meaning: "Uses answered from memory that were `reported`, or `dropped` for lack of room",
    read: ({ counters }) => [
      [counters.touchesReported, "reported"],
      [counters.touchesDropped, "dropped"],
    ],
  },
  {
    name: "coatcheck_client_late_accepts_total",
    kind: "counter",
    unit: "{session}",
    meaning: "Sessions accepted from memory after they were revoked, within the bound",
    read: ({ counters }) => [[counters.lateAccepts]],
  },
  {
    name: "coatcheck_client_late_accept_age_seconds",
    kind: "gauge",
    unit: "s",
    meaning: "The longest time between a revocation and such a use, by wall clocks",
    combine: "max",
    read: ({ counters }) => [[counters.lateAcceptAgeMaxMs / 1000]],
  },
];

function each(counts: Readonly<Record<string, number | undefined>>): Sample[] {
  return Object.entries(counts).map(([name, count = 0]): Sample => [count, name]);
}
