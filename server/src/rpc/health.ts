import { RevocationServiceService, SessionServiceService } from "@coatcheck/proto";
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Server,
  type ServerWritableStream,
  status as GrpcCode,
} from "@grpc/grpc-js";
import { service as definition } from "grpc-health-check";

import type { Clock, Timer } from "../base/clock.js";
import { STREAM_RETRY_MS } from "./held-streams.js";
import type { MetadataLimit } from "./metadata-limit.js";
import { RpcError, toRpcError, toServiceError } from "./status.js";

/*
 * Two questions, asked by two parties. Readiness (`""` and the services' names):
 * may traffic come here? Only if every partition of the store answered a pull
 * lately; a pull is refused on a read-only replica of Redis, so a success means a
 * writable primary. Liveness (`liveness`): would a restart help? An outage of
 * Redis is no reason, so it is always SERVING; otherwise every replica would be
 * restarted just when the caches behind them ask most.
 *
 * Health needs no identity, so anybody may ask, as often and for whatever they like.
 * The implementation that grpc-health-check brings keeps every name that was ever
 * watched, of any length, so that strangers could fill the memory. Here nothing is
 * kept of a name that is none of ours, and streams are counted.
 */

/** What readiness is decided by. */
export interface HealthEnvironment {
  readonly clock: Clock;
  /** Milliseconds since each partition's last successful pull. */
  readonly pullAgesMs: () => readonly number[];
  /** The greatest of those ages at which the replica is ready. */
  readonly readyWithinMs: number;
  readonly intervalMs: number;
  readonly metadata: MetadataLimit;
}

const READINESS = ["", serviceName(SessionServiceService), serviceName(RevocationServiceService)];
const LIVENESS = "liveness";

/** A client that checks the health of what it connects to holds one: as many as watches. */
const HEALTH_WATCHES_MAX = 10_000;
const NAME_CHARS_MAX = 128;

interface HealthRequest {
  readonly service: string;
}

interface HealthResponse {
  readonly status: "SERVING" | "NOT_SERVING" | "SERVICE_UNKNOWN";
}

type HealthStream = ServerWritableStream<HealthRequest, HealthResponse>;

/** Answers `grpc.health.v1.Health`. */
export class Health {
  readonly #environment: HealthEnvironment;
  readonly #watches = new Set<HealthStream>();
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
    server.addService(definition, { check: this.#check, watch: this.#watch, list: this.#list });
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

  readonly #check: handleUnaryCall<HealthRequest, HealthResponse> = (call, callback) => {
    try {
      this.#environment.metadata.check(call.metadata);
      const answer = this.#answer(call.request.service);
      if (answer.status === "SERVICE_UNKNOWN") {
        callback({ code: GrpcCode.NOT_FOUND, details: "There is no service of that name" });
      } else {
        callback(null, answer);
      }
    } catch (error) {
      callback(toServiceError(toRpcError(error)));
    }
  };

  readonly #watch: handleServerStreamingCall<HealthRequest, HealthResponse> = (call) => {
    try {
      this.#environment.metadata.check(call.metadata);
      this.#hold(call);
      call.write(this.#answer(call.request.service));
    } catch (error) {
      call.emit("error", toServiceError(toRpcError(error)));
    }
  };

  readonly #list: handleUnaryCall<unknown, unknown> = (_call, callback) => {
    const statuses = [...READINESS, LIVENESS].map((name) => [name, this.#answer(name)] as const);
    callback(null, { statuses: Object.fromEntries(statuses) });
  };

  #answer(service: string): HealthResponse {
    if (service === LIVENESS) return { status: "SERVING" };
    if (!READINESS.includes(service)) return { status: "SERVICE_UNKNOWN" };
    return { status: this.isReady ? "SERVING" : "NOT_SERVING" };
  }

  #hold(call: HealthStream): void {
    const { length } = call.request.service;
    // The call keeps its request as long as it lives.
    if (length > NAME_CHARS_MAX) {
      throw new RpcError(
        "INVALID_FIELD",
        `Cannot watch a service whose name has ${length} characters: at most ${NAME_CHARS_MAX}`,
      );
    }
    if (this.#watches.size >= HEALTH_WATCHES_MAX) {
      throw new RpcError(
        "TOO_MANY_WATCHERS",
        `Cannot watch health: the replica holds ${HEALTH_WATCHES_MAX} such streams, as many as it may`,
        { retryAfterMs: STREAM_RETRY_MS },
      );
    }
    this.#watches.add(call);
    call.once("cancelled", () => {
      this.#watches.delete(call);
    });
  }

  #update(): void {
    const { pullAgesMs, readyWithinMs } = this.#environment;
    const isReady = !this.#isDraining && pullAgesMs().every((ageMs) => ageMs < readyWithinMs);
    if (isReady === this.#isReady) {
      return;
    }
    this.#isReady = isReady;
    for (const call of this.#watches) {
      if (READINESS.includes(call.request.service)) call.write(this.#answer(call.request.service));
    }
  }
}

/** The full name of a service, from the path of any of its methods. */
function serviceName(definition: Readonly<Record<string, { readonly path: string }>>): string {
  return Object.values(definition)[0]?.path.split("/")[1] ?? "";
}
