import { status } from "@grpc/grpc-js";

import { Durations } from "./durations.js";

/** One call that has its answer, or its error. */
export interface FinishedCall {
  /** `package.Service/Method`. Only the contract's own: the number of names is bounded. */
  readonly method: string;
  readonly durationMs: number;
  readonly code: status;
  /** The reason of the failure; undefined where it did not fail. */
  readonly reason: string | undefined;
}

const CREATE = "coatcheck.v1.SessionService/CreateSession";

/** The codes of a refusal, and the reason that has one of them and is none. */
const REFUSALS: ReadonlySet<status> = new Set([
  status.RESOURCE_EXHAUSTED,
  status.FAILED_PRECONDITION,
]);
const REPEAT = "REQUEST_SUPERSEDED";

/** Counts calls by how they ended, and how long they took. */
export class CallStatistics {
  readonly durations = new Durations();
  /** Failed calls: reasons by method. */
  readonly failures = new Map<string, Map<string, number>>();
  /** Sessions that were not created because something forbade it, by reason. */
  readonly rejected = new Map<string, number>();

  /** Counts one call. */
  finished({ method, durationMs, code, reason }: FinishedCall): void {
    this.durations.add(method, status[code], durationMs);
    if (reason === undefined) {
      return;
    }
    const reasons = this.failures.get(method) ?? new Map<string, number>();
    this.failures.set(method, reasons);
    countOne(reasons, reason);
    if (method === CREATE && REFUSALS.has(code) && reason !== REPEAT) {
      countOne(this.rejected, reason);
    }
  }
}

function countOne(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
