import type { Metadata, ServerUnaryCall } from "@grpc/grpc-js";

import { type Caller, LOCAL_CALLER } from "../callers/caller.js";
import type { CallerDirectory } from "../callers/caller-directory.js";
import { parsePeerNames, type PeerNames } from "../callers/peer-names.js";
import { authorize } from "./authorization.js";
import { NotStartedError, RpcError } from "./status.js";
import { isObject, transportOf } from "./transport-of.js";

/*
 * Who calls, and whether the caller may. It is asked before anything else about a
 * call is looked at.
 *
 * A caller is known by the names in its verified client certificate, or, where
 * TLS ends in front of the authority or clients have no certificates, by the
 * service key in `authorization: Bearer …`. The certificate decides where it names
 * somebody. What a proxy says about a client in other metadata is never believed
 * (S-26, S-32).
 */

/** A call as the gate sees it: any of grpc-js. */
export interface GatedCall {
  readonly metadata: Metadata;
  getPath(): string;
  getAuthContext: ServerUnaryCall<unknown, unknown>["getAuthContext"];
}

/** Admits calls. */
export class CallerGate {
  readonly #directory: () => CallerDirectory | undefined;
  // By connection: reading a certificate takes longer than a validation.
  readonly #names = new WeakMap<object, PeerNames>();

  /** `directory` is asked at each call, because callers can be configured anew. */
  constructor(directory: () => CallerDirectory | undefined) {
    this.#directory = directory;
  }

  /**
   * Who calls, where it may make this call. Throws `CALLER_UNKNOWN` or
   * `CALLER_NOT_ALLOWED` otherwise, and `NOT_STARTED` where the call is over already.
   */
  admit(call: GatedCall, request: unknown): Caller {
    const caller = this.identify(call);
    authorize(caller, call.getPath(), request);
    return caller;
  }

  /** Who calls. Throws `CALLER_UNKNOWN` where nobody can say. */
  identify(call: GatedCall): Caller {
    const directory = this.#directory();
    if (directory === undefined) {
      return LOCAL_CALLER;
    }
    const caller = directory.findByPeer(this.#namesOf(call)) ?? findByKey(directory, call.metadata);
    if (caller === undefined) {
      // One sentence for every reason: which it was would help whoever is guessing.
      throw new RpcError(
        "CALLER_UNKNOWN",
        "The call comes from no configured caller: neither its certificate nor its service key " +
          "names one",
      );
    }
    return caller;
  }

  #namesOf(call: GatedCall): PeerNames {
    const transport = transportOf(call);
    if (transport === undefined) {
      return parsePeerNames(undefined);
    }
    const connection = transport.session;
    if (!isObject(connection)) {
      // The stream has been reset since, and grpc-js could not say any more who it came from.
      throw new NotStartedError(true);
    }
    const known = this.#names.get(connection);
    if (known !== undefined) {
      return known;
    }
    // grpc-js gives no certificate of a peer that was not verified; before 1.14.5 it did, so the
    // connection is asked too (I-10).
    const certificate = isVerifiedPeer(connection) && call.getAuthContext().sslPeerCertificate;
    const names = parsePeerNames(certificate === false ? undefined : certificate?.subjectaltname);
    this.#names.set(connection, names);
    return names;
  }
}

/** Whether TLS has verified the other end of an HTTP/2 connection. */
function isVerifiedPeer(connection: object): boolean {
  const socket: unknown = Reflect.get(connection, "socket");
  return isObject(socket) && Reflect.get(socket, "authorized") === true;
}

const BEARER = /^Bearer ([\x21-\x7e]{1,256})$/i;

function findByKey(directory: CallerDirectory, metadata: Metadata): Caller | undefined {
  const values = metadata.get("authorization");
  // Of two, a proxy may have checked the other.
  const [value] = values;
  if (values.length !== 1 || typeof value !== "string") {
    return undefined;
  }
  const [, key] = BEARER.exec(value) ?? [];
  return key === undefined ? undefined : directory.findByServiceKey(key);
}
