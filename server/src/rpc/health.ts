import { RevocationServiceService, SessionServiceService } from "@coatcheck/proto";
import type { Server } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";

import type { Clock, Timer } from "../base/clock.js";

/*
 * Two questions, asked by two parties. Readiness (`""` and the services' names):
 * may traffic come here? Only if every partition of the store answered a pull
 * lately; a pull is refused on a read-only replica of Redis, so a success means a
 * writable primary. Liveness (`liveness`): would a restart help? An outage of
 * Redis is no reason, so it is always SERVING; otherwise every replica would be
 * restarted just when the caches behind them ask most.
 */

/** What readiness is decided by. */
export interface HealthEnvironment {
  readonly clock: Clock;
  /** Milliseconds since each partition's last successful pull. */
  readonly pullAgesMs: () => readonly number[];
  /** The greatest of those ages at which the replica is ready. */
  readonly readyWithinMs: number;
  readonly intervalMs: number;
}

const READINESS = ["", serviceName(SessionServiceService), serviceName(RevocationServiceService)];
const LIVENESS = "liveness";

/** Answers `grpc.health.v1.Health`. */
export class Health {
  readonly #environment: HealthEnvironment;
  readonly #implementation = new HealthImplementation({ [LIVENESS]: "SERVING" });
  #isReady: boolean | undefined;
  #isDraining = false;
  #timer: Timer | undefined;

  constructor(environment: HealthEnvironment) {
    this.#environment = environment;
    this.#update();
  }

  /** Whether traffic may come here. */
  get isReady(): boolean {
    return this.#isReady === true;
  }

  /** Registers the service. */
  addToServer(server: Server): void {
    this.#implementation.addToServer(server);
  }

  /** Looks again, and from now on at every interval. */
  start(): void {
    this.#update();
    const { clock, intervalMs } = this.#environment;
    this.#timer = clock.setTimer(intervalMs, () => {
      this.start();
    });
  }

  /** Says NOT_SERVING for good. */
  drain(): void {
    this.#isDraining = true;
    this.#timer?.cancel();
    this.#update();
  }

  #update(): void {
    const { pullAgesMs, readyWithinMs } = this.#environment;
    const isReady = !this.#isDraining && pullAgesMs().every((ageMs) => ageMs < readyWithinMs);
    if (isReady === this.#isReady) {
      return;
    }
    this.#isReady = isReady;
    for (const service of READINESS) {
      this.#implementation.setStatus(service, isReady ? "SERVING" : "NOT_SERVING");
    }
  }
}

/** The full name of a service, from the path of any of its methods. */
function serviceName(definition: Readonly<Record<string, { readonly path: string }>>): string {
  return Object.values(definition)[0]?.path.split("/")[1] ?? "";
}
