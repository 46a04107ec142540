import { Client, type ChannelCredentials } from "@grpc/grpc-js";

/** The names of `grpc.health.v1.HealthCheckResponse.ServingStatus`, by number. */
const STATUSES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const DEADLINE_MS = 2_000;

/** `grpc.health.v1.Health/Check` by hand: one string field in, one number out. */
export class HealthClient {
  readonly #client: Client;

  constructor(address: string, credentials: ChannelCredentials) {
    this.#client = new Client(address, credentials);
  }

  /** The status of a service by name; "" is readiness, "liveness" is liveness. */
  async check(service: string): Promise<string> {
    const request = Buffer.concat([Buffer.from([0x0a, service.length]), Buffer.from(service)]);
    return await new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        "/grpc.health.v1.Health/Check",
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        request,
        { deadline: Date.now() + DEADLINE_MS },
        (error, reply) => {
          if (error === null) resolve(STATUSES[reply?.[1] ?? 0] ?? "UNKNOWN");
          else reject(error);
        },
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}
