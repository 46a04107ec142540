import {
  ErrorInfo,
  RevocationServiceClient,
  Status,
  type SyncRevocationsRequest,
  SyncRevocationsRequest as SyncRequest,
  type SyncRevocationsResponse,
  type WatchRevocationsRequest,
  WatchRevocationsRequest as WatchRequest,
  type WatchRevocationsResponse,
} from "@coatcheck/proto";
import {
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
  status as GrpcCode,
} from "@grpc/grpc-js";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type IncomingHttpHeaders,
} from "node:http2";
import { createAuthority, type AuthorityOptions } from "#server/server.js";
import { createMemoryStore, type MemoryStore } from "#server/store/memory/memory-store.js";

/** What a failed call said. */
export interface Refusal {
  readonly code: string;
  readonly reason: string;
  readonly metadata: ReadonlyMap<string, string>;
}

/** Reads the details that come with every failed call. */
export function refusalOf(error: ServiceError): Refusal {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const details = bytes === undefined ? [] : Status.decode(Buffer.from(bytes)).details;
  const info = details[0] === undefined ? undefined : ErrorInfo.decode(details[0].value);
  return {
    code: GrpcCode[error.code],
    reason: info?.reason ?? "",
    metadata: info?.metadata ?? new Map<string, string>(),
  };
}

/** One stream as a client sees it. */
export class TestWatch {
  readonly messages: WatchRevocationsResponse[] = [];
  readonly call: ClientReadableStream<WatchRevocationsResponse>;
  refusal: Refusal | undefined;
  #onEnd: () => void = () => undefined;
  readonly ended = new Promise<void>((resolve) => {
    this.#onEnd = resolve;
  });

  constructor(call: ClientReadableStream<WatchRevocationsResponse>) {
    this.call = call;
    call.on("error", (error: ServiceError) => {
      this.refusal = refusalOf(error);
      this.#onEnd();
    });
    call.on("data", (message: WatchRevocationsResponse) => this.messages.push(message));
  }

  /** The name of each message's body. */
  kinds(): string[] {
    return this.messages.map(({ body }) => body?.$case ?? "");
  }

  eventIds(): string[] {
    return this.messages.flatMap(({ body }) =>
      body?.$case === "batch" ? body.value.events.map(({ eventId }) => eventId) : [],
    );
  }
}

/**
 * A client that opens a stream and reads nothing of it, so that HTTP/2 flow control stops the
 * server. (A client of grpc-js takes everything off the socket, whether or not anybody reads.)
 */
export class StuckWatch {
  readonly #session: ClientHttp2Session;
  readonly #stream: ClientHttp2Stream;
  readonly #closed: Promise<void>;

  constructor(address: string) {
    this.#session = connectHttp2(`http://${address}`);
    this.#session.on("error", () => undefined);
    this.#stream = this.#session.request({
      ":method": "POST",
      ":path": "/coatcheck.v1.RevocationService/WatchRevocations",
      "content-type": "application/grpc",
      te: "trailers",
    });
    this.#stream.on("error", () => undefined);
    this.#closed = new Promise((resolve) => {
      this.#stream.once("close", resolve);
    });
    this.#stream.end(Buffer.alloc(5));
  }

  /** The HTTP/2 code that the server reset the stream with, once it has. */
  async resetCode(): Promise<number | undefined> {
    await this.#closed;
    return this.#stream.rstCode;
  }

  /** Starts to read, and gives the status that the stream ends with. */
  async status(): Promise<string> {
    const trailers = new Promise<string>((resolve) => {
      this.#stream.once("trailers", (headers: IncomingHttpHeaders) => {
        resolve(String(headers["grpc-status"]));
      });
    });
    this.#stream.resume();
    return await trailers;
  }

  close(): void {
    this.#session.destroy();
  }
}

/** An authority over the memory store, the store itself, and a client of the revocation service. */
export async function startWatchAuthority(options: AuthorityOptions = {}): Promise<WatchAuthority> {
  let store: MemoryStore | undefined;
  const authority = await createAuthority({
    drainReconnectMs: 200,
    ...options,
    createStore: (storeOptions) => {
      store = createMemoryStore(storeOptions);
      return options.createStore?.(storeOptions) ?? store;
    },
  });
  if (store === undefined) throw new Error("No store was made");
  return new WatchAuthority(authority, store);
}

type RunningAuthority = Awaited<ReturnType<typeof createAuthority>>;

/** See `startWatchAuthority`. */
export class WatchAuthority {
  readonly authority: RunningAuthority;
  readonly store: MemoryStore;
  readonly client: RevocationServiceClient;
  readonly #clients: RevocationServiceClient[] = [];
  readonly #stuck: StuckWatch[] = [];
  #events = 0;

  constructor(authority: RunningAuthority, store: MemoryStore) {
    this.authority = authority;
    this.store = store;
    this.client = this.connect();
  }

  /** A client with a connection of its own. */
  connect(): RevocationServiceClient {
    const client = new RevocationServiceClient(
      this.authority.address,
      credentials.createInsecure(),
      { "grpc.use_local_subchannel_pool": 1 },
    );
    this.#clients.push(client);
    return client;
  }

  watch(request: Partial<WatchRevocationsRequest> = {}, { client = this.client } = {}): TestWatch {
    const call = client.watchRevocations(WatchRequest.fromPartial(request));
    return new TestWatch(call);
  }

  async sync(request: Partial<SyncRevocationsRequest> = {}): Promise<SyncRevocationsResponse> {
    return await new Promise((resolve, reject) => {
      this.client.syncRevocations(
        SyncRequest.fromPartial(request),
        new Metadata(),
        (error, response) => {
          if (error === null) resolve(response);
          else reject(error);
        },
      );
    });
  }

  async syncRefusal(request: Partial<SyncRevocationsRequest>): Promise<Refusal> {
    return await this.sync(request).then(
      () => {
        throw new Error("It was accepted");
      },
      (error: unknown) => refusalOf(error as ServiceError),
    );
  }

  /** Commits one event in a partition, through the store as a revocation would. Returns its id. */
  async revoke(partition: number, { tenantId = "acme", subject = "nobody" } = {}): Promise<string> {
    this.#events += 1;
    const eventId = `event-${this.#events}`;
    await this.store.sessions.revokeScope({
      partition,
      scope: { kind: "subject", tenantId, subject, exceptSessionId: undefined },
      cause: { reason: "admin", initiatingEntity: "admin", reasonAdmin: "", reasonUser: "" },
      request: undefined,
      eventId,
    });
    return eventId;
  }

  /** A client that never reads. */
  stuckWatch(): StuckWatch {
    const watch = new StuckWatch(this.authority.address);
    this.#stuck.push(watch);
    return watch;
  }

  async close(): Promise<void> {
    for (const watch of this.#stuck) watch.close();
    for (const client of this.#clients) client.close();
    await this.authority.close();
  }
}
