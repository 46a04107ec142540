import { Metadata, type ServerUnaryCall } from "@grpc/grpc-js";
import { createHash, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";

import { CallerDirectory, type CallerRecord } from "#server/callers/caller-directory.js";
import { CallerGate, type GatedCall } from "#server/rpc/caller-gate.js";

const KEY = randomBytes(32).toString("base64url");

function record(overrides: Partial<CallerRecord> = {}): CallerRecord {
  return {
    name: "login",
    roles: ["issuer"],
    tenants: ["acme"],
    uris: [],
    dnsNames: [],
    serviceKeyHashes: [],
    ...overrides,
  };
}

function hashOf(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

describe("CallerDirectory", () => {
  it("finds a caller by a URI or a host name of its certificate, compared whole", () => {
    const directory = new CallerDirectory([
      record({ uris: ["spiffe://example.org/login"], dnsNames: ["login.example"] }),
    ]);

    function found(uris: string[], dnsNames: string[]): string | undefined {
      return directory.findByPeer({ uris, dnsNames })?.name;
    }
    expect(found(["spiffe://example.org/login"], [])).toBe("login");
    expect(found([], ["login.example"])).toBe("login");
    expect(found(["spiffe://example.org/login"], ["login.example"])).toBe("login");
    expect(found(["spiffe://example.org/login/x"], [])).toBeUndefined();
    expect(found([], ["a.login.example"])).toBeUndefined();
    // A host name is no URI, whatever it says.
    expect(found(["login.example"], ["spiffe://example.org/login"])).toBeUndefined();
  });

  it("finds nobody by a certificate that names two callers", () => {
    const directory = new CallerDirectory([
      record({ dnsNames: ["login.example"] }),
      record({ name: "admin", dnsNames: ["admin.example"] }),
    ]);

    const names = { uris: [], dnsNames: ["login.example", "admin.example"] };
    expect(directory.findByPeer(names)).toBeUndefined();
  });

  it("finds a caller by each of its service keys, and by nothing near them", () => {
    const other = randomBytes(32).toString("base64url");
    const directory = new CallerDirectory([
      record({ serviceKeyHashes: [hashOf(KEY), hashOf(other)] }),
    ]);

    expect(directory.findByServiceKey(KEY)?.name).toBe("login");
    expect(directory.findByServiceKey(other)?.name).toBe("login");
    for (const near of ["", `${KEY}a`, KEY.slice(1), KEY.toUpperCase(), hashOf(KEY)]) {
      expect(directory.findByServiceKey(near)).toBeUndefined();
    }
  });

  it("takes no key that is too short to be 32 random bytes, although its hash is configured", () => {
    const short = "k".repeat(42);

    const directory = new CallerDirectory([record({ serviceKeyHashes: [hashOf(short)] })]);

    expect(directory.findByServiceKey(short)).toBeUndefined();
  });
});

describe("CallerGate", () => {
  const directory = new CallerDirectory([record({ serviceKeyHashes: [hashOf(KEY)] })]);

  function identify(...authorization: string[]): string {
    const metadata = new Metadata();
    for (const value of authorization) metadata.add("authorization", value);
    type Context = ReturnType<ServerUnaryCall<unknown, unknown>["getAuthContext"]>;
    const call = { metadata, getPath: () => "/x/y", getAuthContext: (): Context => ({}) };
    return new CallerGate(() => directory).identify(call).name;
  }

  it("knows a bearer of a key", () => {
    expect(identify(`Bearer ${KEY}`)).toBe("login");
    expect(identify(`bearer ${KEY}`)).toBe("login");
  });

  it.each([[[]], [[KEY]], [[`Basic ${KEY}`]], [[`Bearer ${KEY}`, `Bearer ${KEY}`]]])(
    "knows nobody by %#",
    (authorization) => {
      expect(() => identify(...authorization)).toThrow(
        expect.objectContaining({ reason: "CALLER_UNKNOWN" }) as Error,
      );
    },
  );

  describe("with a client certificate", () => {
    const known = new CallerDirectory([record({ dnsNames: ["login.example"] })]);

    /** A call of grpc-js over TLS: it says the same of the certificate, verified or not. */
    function overTls(socket: object | undefined): GatedCall & { stream: object } {
      return {
        metadata: new Metadata(),
        getPath: () => "/x/y",
        getAuthContext: () =>
          ({ sslPeerCertificate: { subjectaltname: "DNS:login.example" } }) as ReturnType<
            GatedCall["getAuthContext"]
          >,
        stream: {
          closed: false,
          close: ignore,
          once: ignore,
          session: socket === undefined ? undefined : { socket },
        },
      };
    }

    function gated(socket: object | undefined): object {
      return Object.assign(overTls(socket), { call: overTls(socket) });
    }

    it("knows whom a verified one names", () => {
      const call = gated({ authorized: true }) as GatedCall;

      expect(new CallerGate(() => known).identify(call).name).toBe("login");
    });

    it.each([[{ authorized: false }], [{ authorized: undefined }], [{}]])(
      "knows nobody by one that TLS has not verified, though grpc-js hands it out (S-26, I-10): %j",
      (socket) => {
        const call = gated(socket) as GatedCall;

        expect(() => new CallerGate(() => known).identify(call)).toThrow(
          expect.objectContaining({ reason: "CALLER_UNKNOWN" }) as Error,
        );
      },
    );

    it("takes a call whose stream was reset for over, and not for a stranger's", () => {
      const call = gated(undefined) as GatedCall;

      expect(() => new CallerGate(() => known).identify(call)).toThrow(
        expect.objectContaining({ reason: "NOT_STARTED" }) as Error,
      );
    });
  });

  it("takes everybody for the local caller where none are configured", () => {
    const call = {
      metadata: new Metadata(),
      getPath: () => "/x/y",
      getAuthContext: () => ({}),
    };

    expect(new CallerGate(() => undefined).identify(call)).toMatchObject({
      name: "local",
      tenants: undefined,
    });
  });
});

function ignore(): void {
  // A stream that is not used.
}
