import { readFileSync } from "node:fs";

import {
  AdminServiceClient,
  ErrorInfo,
  RevocationServiceClient,
  SessionServiceClient,
  Status,
} from "@coatcheck/proto";
import {
  type CallOptions,
  type ChannelCredentials,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";

import { systemClock } from "../../base/clock.js";
import { isLoopback, readServiceKeySource } from "../../config.js";
import { CommandError, EXIT, exitCodeOf } from "./exit.js";

/** Where the authority is and how it is spoken to. Paths and names only: a secret is never an argument. */
export interface ConnectionOptions {
  readonly target: string;
  readonly tls?: boolean;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly plaintext?: boolean;
}

/** The services of one authority, for one command. */
export interface Connection {
  readonly sessions: SessionServiceClient;
  readonly revocations: RevocationServiceClient;
  readonly admin: AdminServiceClient;
  /** Says who calls, where a service key is given. */
  readonly metadata: Metadata;
  close(): void;
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

// A revocation of everything asks sixteen partitions; nothing else takes a tenth of it.
const DEADLINE_MS = 10_000;

/** Somebody looks at the screen: the library's two minutes are for machines. */
const RECONNECT = {
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1000,
};

/** Makes the clients. Nothing connects before the first call. */
export function connect(options: ConnectionOptions): Connection {
  const channel = channelCredentials(options);
  const { target } = options;
  const sessions = new SessionServiceClient(target, channel, RECONNECT);
  const revocations = new RevocationServiceClient(target, channel, RECONNECT);
  const admin = new AdminServiceClient(target, channel, RECONNECT);
  return {
    sessions,
    revocations,
    admin,
    metadata: callerMetadata(),
    close: () => {
      for (const client of [sessions, revocations, admin]) client.close();
    },
  };
}

/** Calls one method; a failure becomes the end of the command, with its sentence. */
export async function call<Request, Response>(
  { metadata }: Pick<Connection, "metadata">,
  method: UnaryMethod<Request, Response>,
  request: Request,
): Promise<Response> {
  return await new Promise<Response>((resolve, reject) => {
    const deadline = systemClock.wallMs() + DEADLINE_MS;
    method(request, metadata, { deadline }, (error, response) => {
      if (error === null) resolve(response);
      else reject(toCommandError(error));
    });
  });
}

/** What a failed call tells the operator. */
export function toCommandError(error: ServiceError): CommandError {
  const reason = reasonOf(error);
  const told = reason === "" ? status[error.code] : `${status[error.code]} ${reason}`;
  return new CommandError(exitCodeOf(error.code), `${told}: ${plainDetails(error.details)}`);
}

/** One line, without what the gRPC library adds where there was no connection. */
function plainDetails(details: string): string {
  return details
    .replace(/^No connection established\. Last error: (?:Error: )?/, "no connection: ")
    .replace(/ Resolution note: .*$/s, "")
    .replace(/[0-9A-F]+:error:[0-9A-F]+:SSL routines:[^:]*:([^:]*):.*$/s, "TLS says $1")
    .replace(/\s+/g, " ")
    .replace(/[ .]+$/, "");
}

function reasonOf(error: ServiceError): string {
  const [trailer] = error.metadata.get("grpc-status-details-bin");
  if (!Buffer.isBuffer(trailer)) {
    return "";
  }
  const info = Status.decode(trailer).details.find(({ typeUrl }) =>
    typeUrl.endsWith("/google.rpc.ErrorInfo"),
  );
  return info === undefined ? "" : ErrorInfo.decode(info.value).reason;
}

function channelCredentials(options: ConnectionOptions): ChannelCredentials {
  const { ca, cert, key } = options;
  if ((cert === undefined) !== (key === undefined)) {
    throw new CommandError(EXIT.usage, "Cannot use --cert without --key, or the other way round");
  }
  if (options.tls === true || ca !== undefined || cert !== undefined) {
    const [root, chain, secret] = [ca, cert, key].map(readPem);
    return credentials.createSsl(root ?? null, secret ?? null, chain ?? null);
  }
  if (options.plaintext !== true && !isLoopback(hostOf(options.target))) {
    throw new CommandError(
      EXIT.usage,
      `Cannot speak plaintext to ${options.target}: give --tls or --ca, or --plaintext if you must`,
    );
  }
  return credentials.createInsecure();
}

function hostOf(target: string): string {
  return /^(?:dns:\/*)?\[?([^\]]*?)\]?(?::\d+)?$/.exec(target)?.[1] ?? target;
}

function readPem(path: string | undefined): Buffer | undefined {
  return path === undefined ? undefined : readOrRefuse(path);
}

function readOrRefuse(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    throw new CommandError(EXIT.usage, `Cannot read ${path}`);
  }
}

function callerMetadata(): Metadata {
  const metadata = new Metadata();
  const source = readServiceKeySource();
  const key =
    source.path === undefined ? source.key : readOrRefuse(source.path).toString("utf8").trim();
  if (key !== undefined && key !== "") {
    metadata.set("authorization", `Bearer ${key}`);
  }
  return metadata;
}
