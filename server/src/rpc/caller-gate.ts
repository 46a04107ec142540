import type { Metadata, ServerUnaryCall } from "@grpc/grpc-js";

import { type Caller, LOCAL_CALLER } from "../callers/caller.js";
import type { CallerDirectory } from "../callers/caller-directory.js";
import { parsePeerNames, type PeerNames } from "../callers/peer-names.js";
import { authorize } from "./authorization.js";
import { RpcError } from "./status.js";
import { transportOf } from "./transport-of.js";

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
   * `CALLER_NOT_ALLOWED` otherwise.
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
    const connection = transportOf(call)?.session;
    const isKeyed = typeof connection === "object" && connection !== null;
    const known = isKeyed ? this.#names.get(connection) : undefined;
    if (known !== undefined) {
      return known;
    }
    // Absent where the peer was not verified, whatever certificate it showed.
    const certificate = call.getAuthContext().sslPeerCertificate;
    const names = parsePeerNames(certificate?.subjectaltname);
    if (isKeyed) this.#names.set(connection, names);
    return names;
  }
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
