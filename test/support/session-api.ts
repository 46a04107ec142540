import {
  BatchValidateSessionsRequest,
  type BatchValidateSessionsResponse,
  CreateSessionRequest,
  type CreateSessionResponse,
  ErrorInfo,
  type GetSessionResponse,
  GetStatsRequest,
  type GetStatsResponse,
  AdminServiceClient,
  ListSessionsRequest,
  type ListSessionsResponse,
  RetryInfo,
  RevokeSessionRequest,
  type RevokeSessionResponse,
  RevocationServiceClient,
  RevokeSubjectSessionsRequest,
  type RevokeSubjectSessionsResponse,
  RotateSessionRequest,
  type RotateSessionResponse,
  SessionServiceClient,
  Status,
  SyncRevocationsRequest,
  type SyncRevocationsResponse,
  TouchSessionsRequest,
  type TouchSessionsResponse,
  UpdateSessionRequest,
  type UpdateSessionResponse,
  ValidateSessionRequest,
  type ValidateSessionResponse,
  ValidationOutcome,
} from "@coatcheck/proto";
import {
  type CallOptions,
  type ChannelCredentials,
  type ClientUnaryCall,
  InterceptingCall,
  type Interceptor,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";

/** How a caller makes itself known. */
export interface ApiOptions {
  /** Plaintext where it is not given. */
  readonly security?: ChannelCredentials;
  readonly serviceKey?: string;
}

function sendKey(key: string): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start: (metadata, listener, next) => {
        metadata.set("authorization", `Bearer ${key}`);
        next(metadata, listener);
      },
    });
}

/** The services as their callers see them, without an SDK in between. */
export class SessionApi {
  readonly client: SessionServiceClient;
  readonly admin: AdminServiceClient;
  readonly revocations: RevocationServiceClient;

  constructor(address: string, { security, serviceKey }: ApiOptions = {}) {
    const channel = security ?? credentials.createInsecure();
    const own = {
      "grpc.use_local_subchannel_pool": 1,
      interceptors: serviceKey === undefined ? [] : [sendKey(serviceKey)],
    };
    this.client = new SessionServiceClient(address, channel, own);
    this.admin = new AdminServiceClient(address, channel, own);
    this.revocations = new RevocationServiceClient(address, channel, own);
  }

  close(): void {
    this.client.close();
    this.admin.close();
    this.revocations.close();
  }

  async create(
    request: Partial<CreateSessionRequest> = {},
    options: Partial<CallOptions> = {},
  ): Promise<CreateSessionResponse> {
    const defaults = { tenantId: "acme", subject: "alice" };
    return await invoke(
      this.client.createSession.bind(this.client),
      { ...CreateSessionRequest.create(defaults), ...request },
      options,
    );
  }

  async validate(
    token: string,
    request: Partial<ValidateSessionRequest> = {},
    options: Partial<CallOptions> = {},
  ): Promise<ValidateSessionResponse> {
    return await invoke(
      this.client.validateSession.bind(this.client),
      { ...ValidateSessionRequest.create({ tenantId: "acme", token }), ...request },
      options,
    );
  }

  async batch(items: Partial<ValidateSessionRequest>[]): Promise<BatchValidateSessionsResponse> {
    const defaults = ValidateSessionRequest.create({ tenantId: "acme" });
    const request = { items: items.map((item) => ({ ...defaults, ...item })) };
    return await invoke(
      this.client.batchValidateSessions.bind(this.client),
      BatchValidateSessionsRequest.create(request),
    );
  }

  async touch(items: TouchSessionsRequest["items"]): Promise<TouchSessionsResponse> {
    return await invoke(
      this.client.touchSessions.bind(this.client),
      TouchSessionsRequest.create({ items }),
    );
  }

  async get(sessionId: string): Promise<GetSessionResponse> {
    return await invoke(this.client.getSession.bind(this.client), { sessionId });
  }

  async list(request: Partial<ListSessionsRequest> = {}): Promise<ListSessionsResponse> {
    const defaults = { tenantId: "acme", subject: "alice" };
    return await invoke(this.client.listSessions.bind(this.client), {
      ...ListSessionsRequest.create(defaults),
      ...request,
    });
  }

  async update(request: Partial<UpdateSessionRequest>): Promise<UpdateSessionResponse> {
    return await invoke(this.client.updateSession.bind(this.client), {
      ...UpdateSessionRequest.create(),
      ...request,
    });
  }

  async rotate(request: Partial<RotateSessionRequest>): Promise<RotateSessionResponse> {
    return await invoke(this.client.rotateSession.bind(this.client), {
      ...RotateSessionRequest.create(),
      ...request,
    });
  }

  async revoke(request: Partial<RevokeSessionRequest>): Promise<RevokeSessionResponse> {
    return await invoke(this.client.revokeSession.bind(this.client), {
      ...RevokeSessionRequest.create(),
      ...request,
    });
  }

  async revokeSubject(
    request: Partial<RevokeSubjectSessionsRequest> = {},
    options: Partial<CallOptions> = {},
  ): Promise<RevokeSubjectSessionsResponse> {
    const defaults = { tenantId: "acme", subject: "alice" };
    return await invoke(
      this.client.revokeSubjectSessions.bind(this.client),
      { ...RevokeSubjectSessionsRequest.create(defaults), ...request },
      options,
    );
  }

  async sync(request: Partial<SyncRevocationsRequest> = {}): Promise<SyncRevocationsResponse> {
    return await invoke(this.revocations.syncRevocations.bind(this.revocations), {
      ...SyncRevocationsRequest.create({ clientName: "test" }),
      ...request,
    });
  }

  async stats(): Promise<GetStatsResponse> {
    return await invoke(this.admin.getStats.bind(this.admin), GetStatsRequest.create());
  }

  /** How many VALID answers the server has given. */
  async validCount(): Promise<number> {
    const { outcomes } = await this.stats();
    return Number(outcomes.find(({ outcome }) => outcome === ValidationOutcome.VALID)?.count ?? 0n);
  }
}

/** A failed call as its details tell it. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly reason: string;
  readonly domain: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
}

/** What a call failed with; throws where it did not fail. */
export async function failure(call: Promise<unknown>): Promise<Failure> {
  try {
    await call;
  } catch (error) {
    return readFailure(error as ServiceError);
  }
  throw new Error("The call was expected to fail and did not");
}

/** Reads what grpc-status-details-bin carries. */
export function readFailure(error: ServiceError): Failure {
  const [trailer] = error.metadata.get("grpc-status-details-bin");
  return {
    code: status[error.code],
    ...readDetails(Status.decode(Buffer.isBuffer(trailer) ? trailer : Buffer.alloc(0))),
    message: error.details,
  };
}

/** Reads the details of a google.rpc.Status. */
export function readDetails(told: Status): Omit<Failure, "code"> {
  const info = ErrorInfo.decode(detail(told, "ErrorInfo") ?? Buffer.alloc(0));
  const retry = detail(told, "RetryInfo");
  const delay = retry === undefined ? undefined : RetryInfo.decode(retry).retryDelay;
  return {
    message: told.message,
    reason: info.reason,
    domain: info.domain,
    metadata: Object.fromEntries(info.metadata),
    retryAfterMs:
      delay === undefined ? undefined : Number(delay.seconds) * 1000 + delay.nanos / 1_000_000,
  };
}

/** A method of a generated client, in its longest form. */
type UnaryMethod<Request, Response> = (
  ...call: [
    request: Request,
    metadata: Metadata,
    options: Partial<CallOptions>,
    callback: (error: ServiceError | null, response: Response) => void,
  ]
) => ClientUnaryCall;

function detail(told: Status, type: string): Buffer | undefined {
  const url = `type.googleapis.com/google.rpc.${type}`;
  return told.details.find(({ typeUrl }) => typeUrl === url)?.value;
}

/** Calls one unary method. The deadline only keeps a broken server from hanging the suite. */
export async function invoke<Request, Response>(
  method: UnaryMethod<Request, Response>,
  request: Request,
  options: Partial<CallOptions> = {},
): Promise<Response> {
  return await new Promise<Response>((resolve, reject) => {
    const limited = { deadline: Date.now() + 20_000, ...options };
    method(request, new Metadata(), limited, (error, response) => {
      if (error === null) resolve(response);
      else reject(error);
    });
  });
}
