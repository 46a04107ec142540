import type { Clock } from "../base/clock.js";
import type { IncidentMode } from "../store/incident.js";
import type { PullResult, RevocationLog } from "../store/revocation-log.js";

/*
 * The incident mode as this replica has to act on it.
 *
 * It lies in the head of every partition, and every pull brings it along, so that
 * replicas need no other way to hear of it: within the pull interval, and before
 * the answer to any Sync that arrives after it was set. Where partitions differ,
 * because the call that set it got only half-way, the strictest one holds.
 *
 * While the store is away the last that was heard holds until its own end, which
 * this process counts by its own clock. What may have been set since nobody can
 * say: a replica whose pulls have all failed for half a second lets no answer be
 * kept, so that a cache can hold the old bound no longer than that. Neither does
 * one that has not pulled yet.
 */

/**
 * How old the newest news of the mode may be where an answer may be kept, in ms: five
 * pulls at the usual interval. Less would forbid caching at every pause of the process;
 * more is added to how long a new mode takes to hold everywhere.
 */
export const INCIDENT_HEARD_WITHIN_MS = 500;

interface Noted {
  readonly mode: IncidentMode;
  readonly untilMs: number;
}

/** Tells what may be granted now. */
export class IncidentBoard {
  readonly #clock: Clock;
  readonly #maxStalenessMs: number;
  readonly #noted = new Map<number, Noted>();
  // Pulls of a partition may end in another order than they began.
  readonly #notedPulls = new Map<number, number>();
  #pulls = 0;
  #heardAtMs = -Infinity;

  /** `maxStalenessMs` is the bound L of the deployment in quiet times. */
  constructor(clock: Clock, maxStalenessMs: number) {
    this.#clock = clock;
    this.#maxStalenessMs = maxStalenessMs;
  }

  /** The staleness bound to grant, in ms; 0: no cache may answer. */
  get maxStalenessMs(): number {
    return this.#running().reduce(
      (bound, { mode }) =>
        mode.stopCaching ? 0 : Math.min(bound, mode.maxStalenessMs ?? this.#maxStalenessMs),
      this.#maxStalenessMs,
    );
  }

  /** Whether an answer may be kept that was made just now, without a pull of its own. */
  get allowsCaching(): boolean {
    const heardAgoMs = this.#clock.monotonicMs() - this.#heardAtMs;
    return (
      heardAgoMs <= INCIDENT_HEARD_WITHIN_MS &&
      !this.#running().some(({ mode }) => mode.stopCaching)
    );
  }

  /** How long no session may be created, in ms; 0: it may. */
  get creationStoppedForMs(): number {
    const stops = this.#running().filter(({ mode }) => mode.stopCreating);
    const nowMs = this.#clock.monotonicMs();
    return Math.max(0, ...stops.map(({ untilMs }) => untilMs - nowMs));
  }

  /** The mode that is running, over all partitions; undefined where none is. */
  get mode(): IncidentMode | undefined {
    const running = this.#running();
    if (running.length === 0) {
      return undefined;
    }
    const nowMs = this.#clock.monotonicMs();
    return {
      maxStalenessMs: this.maxStalenessMs,
      stopCaching: running.some(({ mode }) => mode.stopCaching),
      stopCreating: this.creationStoppedForMs > 0,
      leftMs: Math.max(...running.map(({ untilMs }) => untilMs - nowMs)),
    };
  }

  /** The log, with every pull of it telling this board first. */
  observe(log: RevocationLog): RevocationLog {
    return {
      onNudge: (listener) => log.onNudge(listener),
      pull: async (partition, from, limit): Promise<PullResult> => {
        this.#pulls += 1;
        const pull = this.#pulls;
        const startedAtMs = this.#clock.monotonicMs();
        const result = await log.pull(partition, from, limit);
        this.#note(partition, result.incident, pull);
        // It is set in every partition, so any one pull that starts after that brings it.
        this.#heardAtMs = Math.max(this.#heardAtMs, startedAtMs);
        return result;
      },
    };
  }

  #note(partition: number, mode: IncidentMode | undefined, pull: number): void {
    if (pull < (this.#notedPulls.get(partition) ?? 0)) {
      return;
    }
    this.#notedPulls.set(partition, pull);
    if (mode === undefined) {
      this.#noted.delete(partition);
    } else {
      this.#noted.set(partition, { mode, untilMs: this.#clock.monotonicMs() + mode.leftMs });
    }
  }

  /** Asked at every validation, so that quiet times must cost nothing. */
  #running(): readonly Noted[] {
    if (this.#noted.size === 0) {
      return QUIET;
    }
    const nowMs = this.#clock.monotonicMs();
    return [...this.#noted.values()].filter(({ untilMs }) => nowMs < untilMs);
  }
}

const QUIET: readonly Noted[] = [];
