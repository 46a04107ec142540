import type { RevocationEvent } from "#server/session/event.js";
import { PARTITION_COUNT } from "#server/session/partition.js";
import type { Revision } from "#server/session/revision.js";
import { MemoryLog } from "#server/store/memory/memory-log.js";
import type { PullResult, RevocationLog } from "#server/store/revocation-log.js";
import { StoreUnavailableError } from "#server/store/store-error.js";

/** Where every partition of a scripted log begins. */
export const FIRST_GENERATION = 1_700_000_000_000_000;

interface HeldPull {
  readonly partition: number;
  readonly release: () => void;
}

/** What a test says of an event; the rest is filled in. */
export interface EventScript {
  readonly tenantId?: string;
  readonly sessionId?: string;
  readonly all?: boolean;
  /** Makes the event larger, in characters. */
  readonly padding?: number;
}

/** A log that a test writes, cuts, forks, holds back and breaks. */
export class ScriptedLog implements RevocationLog {
  /** Every pull that was started. */
  readonly pulls: { readonly partition: number; readonly from: Revision | undefined }[] = [];
  /** Partitions whose pulls fail. */
  readonly broken = new Set<number>();
  /** Partitions whose pulls wait for `releaseHeld`. */
  readonly held = new Set<number>();
  nudges = true;
  readonly #logs: MemoryLog[];
  readonly #listeners = new Set<(partition: number) => void>();
  #waiting: HeldPull[] = [];
  #events = 0;

  constructor(retention = 100_000) {
    this.#logs = Array.from(
      { length: PARTITION_COUNT },
      (_, partition) =>
        new MemoryLog({ partition, generation: FIRST_GENERATION, sequence: 0 }, retention),
    );
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }

  async pull(partition: number, from: Revision | undefined, limit: number): Promise<PullResult> {
    this.pulls.push({ partition, from });
    // Read when the pull starts: an answer that is held back is an old answer.
    const result = this.#log(partition).pull(from, limit);
    if (this.held.has(partition)) {
      await new Promise<void>((release) => {
        this.#waiting.push({ partition, release });
      });
    }
    if (this.broken.has(partition)) {
      throw new StoreUnavailableError("scripted", "no");
    }
    return result;
  }

  onNudge(listener: (partition: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  append(partition: number, script: EventScript = {}): Revision {
    this.#events += 1;
    const target: RevocationEvent["target"] =
      script.all === true
        ? { kind: "all" }
        : { kind: "session", sessionId: script.sessionId ?? `s${this.#events}` };
    const revision = this.#log(partition).append({
      eventId: `e${this.#events}${"x".repeat(script.padding ?? 0)}`,
      kind: "revoked",
      trigger: undefined,
      target,
      cutoff: script.all === true,
      tenantId: script.all === true ? "" : (script.tenantId ?? "acme"),
      reason: "admin",
      initiatingEntity: "admin",
      atMs: 1_700_000_000_000,
    });
    if (this.nudges) {
      for (const listener of this.#listeners) listener(partition);
    }
    return revision;
  }

  appendMany(partition: number, count: number, script: EventScript = {}): void {
    for (let index = 0; index < count; index += 1) this.append(partition, script);
  }

  /** The newest events never happened; a new generation begins. */
  fork(partition: number, lostEvents: number): void {
    this.#log(partition).fork(this.head(partition).generation + 1_000_000, lostEvents);
  }

  head(partition: number): Revision {
    return this.#log(partition).head;
  }

  /** Lets the pulls that were held back answer, and holds no more of them. */
  releaseHeld(): void {
    this.held.clear();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { release } of waiting) release();
  }

  pullsOf(partition: number): number {
    return this.pulls.filter((pull) => pull.partition === partition).length;
  }

  #log(partition: number): MemoryLog {
    const log = this.#logs[partition];
    if (log === undefined) throw new Error(`Cannot use partition ${partition}`);
    return log;
  }
}
