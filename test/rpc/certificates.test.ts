import { WatchRevocationsRequest } from "@coatcheck/proto";
import { credentials, type ChannelCredentials } from "@grpc/grpc-js";
import { appendFileSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type ConnectionOptions } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { type Authority, createAuthority } from "#server/server.js";
import { createLog } from "#server/telemetry/logging.js";

import {
  callersSection,
  ConfigurationOnDisk,
  newServiceKey,
  type TestCaller,
} from "../support/callers.js";
import { type Certificate, rawNames, TestCa } from "../support/certificates.js";
import { type Child, startChild } from "../support/child.js";
import { eventually } from "../support/eventually.js";
import { freePort } from "../support/free-port.js";
import { failure, SessionApi } from "../support/session-api.js";
import { TestWatch } from "./watch-client.js";

const LOGIN = "spiffe://example.org/login";
const SERVER_NAMES = "DNS:localhost,IP:127.0.0.1";
const CALLERS: TestCaller[] = [
  { name: "login", roles: ["issuer", "validator"], tenants: ["acme"], uris: [LOGIN] },
  { name: "edge", roles: ["issuer"], tenants: ["acme"], dnsNames: ["edge.example"] },
  { name: "operator", roles: ["admin"], tenants: "*", key: newServiceKey() },
];

let ca: TestCa;
let otherCa: TestCa;
let server: Certificate;
let right: Certificate;
let configuration: ConfigurationOnDisk;
const closing: (() => void | Promise<void>)[] = [];

beforeAll(() => {
  ca = new TestCa();
  otherCa = new TestCa("another authority");
  server = ca.issue({ names: SERVER_NAMES });
  right = ca.issue({ names: `URI:${LOGIN}` });
  configuration = new ConfigurationOnDisk(callersSection(CALLERS));
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

afterAll(() => {
  for (const made of [ca, otherCa, configuration]) made.remove();
});

/** What a client proves itself with; nothing: it brings no certificate. */
function trusting(trusted: TestCa, own?: Certificate): ChannelCredentials {
  return credentials.createSsl(trusted.cert, own?.key ?? null, own?.cert ?? null);
}

function callAs(address: string, security: ChannelCredentials): SessionApi {
  const api = new SessionApi(address, { security });
  closing.push(() => {
    api.close();
  });
  return api;
}

/** Copies of certificates that a test may replace. */
class Files {
  readonly certPath: string;
  readonly keyPath: string;
  readonly clientCaPath: string;

  constructor(name: string) {
    [this.certPath, this.keyPath, this.clientCaPath] = ["cert", "key", "ca"].map((part) =>
      join(ca.folder, `${name}-${part}.pem`),
    ) as [string, string, string];
    this.present(server);
    copyFileSync(ca.path, this.clientCaPath);
  }

  present({ certPath, keyPath }: Certificate): void {
    copyFileSync(certPath, this.certPath);
    copyFileSync(keyPath, this.keyPath);
  }
}

interface Running {
  readonly authority: Authority;
  readonly files: Files;
  readonly errors: () => string[];
}

async function startMutual(name: string): Promise<Running> {
  const files = new Files(name);
  const lines: string[] = [];
  const authority = await createAuthority({
    tls: files,
    configurationPath: configuration.path,
    log: createLog("info", { write: (line: string) => void lines.push(line) }),
  });
  closing.push(() => authority.close());
  return { authority, files, errors: () => lines.filter((line) => line.includes('"error"')) };
}

describe("a client certificate", () => {
  let running: Running;

  const zoo: [string, () => ChannelCredentials, object][] = [
    ["that is not there", () => trusting(ca), { code: "UNAVAILABLE" }],
    [
      "that signs itself",
      () => trusting(ca, ca.selfSigned({ names: `URI:${LOGIN}` })),
      { code: "UNAVAILABLE" },
    ],
    [
      "that has expired",
      () => trusting(ca, ca.issue({ names: `URI:${LOGIN}`, days: -1 })),
      { code: "UNAVAILABLE" },
    ],
    [
      "of another authority",
      () => trusting(ca, otherCa.issue({ names: `URI:${LOGIN}` })),
      { code: "UNAVAILABLE" },
    ],
    [
      "with a name that nobody has",
      () => trusting(ca, ca.issue({ names: "URI:spiffe://example.org/intruder" })),
      { code: "UNAUTHENTICATED", reason: "CALLER_UNKNOWN" },
    ],
    [
      "with a known name of another kind",
      () => trusting(ca, ca.issue({ names: "DNS:localhost,email:edge.example" })),
      { code: "UNAUTHENTICATED", reason: "CALLER_UNKNOWN" },
    ],
    [
      "with the names of two callers",
      () => trusting(ca, ca.issue({ names: `URI:${LOGIN},DNS:edge.example` })),
      { code: "UNAUTHENTICATED", reason: "CALLER_UNKNOWN" },
    ],
  ];

  it.each(zoo)("%s gets no data (S-26)", async (_, security, refusal) => {
    running = await startMutual("zoo");
    const api = callAs(running.authority.address, security());
    const watch = new TestWatch(
      api.revocations.watchRevocations(WatchRevocationsRequest.fromPartial({})),
    );

    await watch.ended;

    expect(watch.refusal).toMatchObject(refusal);
    expect(watch.messages).toEqual([]);
    expect(await failure(api.sync())).toMatchObject(refusal);
    expect(await failure(api.create())).toMatchObject(refusal);
    expect(running.authority.stats().sessionsCreated).toBe(0);
  });

  const strangers: [string, () => string][] = [
    ["a name in another case", () => "URI:spiffe://example.org/Login"],
    ["a name with more after it", () => `URI:${LOGIN}/`],
    ["a pattern that would match", () => "DNS:*.example,DNS:edge.example.evil.example"],
    [
      "a separator in a name (CVE-2021-44532)",
      () => rawNames([["URI", `spiffe://evil.example/x, URI:${LOGIN}`]]),
    ],
    ["a quote in a name", () => rawNames([["DNS", 'x", DNS:edge.example, URI:"']])],
    ["a NUL in a name", () => rawNames([["DNS", "edge.example\0.evil.example"]])],
    ["a line end in a name", () => rawNames([["DNS", "edge.example\n"]])],
    [
      "a name that is none beside a known one of another caller's",
      () => rawNames([["DNS", "edge.example"], ["URI", LOGIN]]), // prettier-ignore
    ],
  ];

  it.each(strangers)("with %s is nobody's", async (_, names) => {
    running = await startMutual("stranger");
    const api = callAs(running.authority.address, trusting(ca, ca.issue({ names: names() })));

    expect(await failure(api.create())).toMatchObject({ reason: "CALLER_UNKNOWN" });
    expect(await failure(api.sync())).toMatchObject({ reason: "CALLER_UNKNOWN" });
  });

  it("decides where a service key comes with it, unless it names nobody", async () => {
    running = await startMutual("decides");
    const serviceKey = String(CALLERS[2]?.key);
    const [login, nobody] = [right, ca.issue({ names: "DNS:sidecar.example" })].map((own) => {
      const api = new SessionApi(running.authority.address, {
        security: trusting(ca, own),
        serviceKey,
      });
      closing.push(() => {
        api.close();
      });
      return api;
    });

    expect((await login?.create())?.token).not.toBe("");
    expect(await failure(Promise.resolve(login?.stats()))).toMatchObject({
      reason: "CALLER_NOT_ALLOWED",
    });
    expect((await nobody?.stats())?.sessionsCreated).toBe(1n);
  });

  it("with a caller's name twice, or beside a stranger's, is the caller's", async () => {
    running = await startMutual("twice");

    for (const names of ["DNS:edge.example,DNS:EDGE.example", `DNS:*.example,URI:${LOGIN}`]) {
      const api = callAs(running.authority.address, trusting(ca, ca.issue({ names })));
      expect((await api.create()).token).not.toBe("");
    }
  });

  it("with a caller's URI or host name gets what the caller may", async () => {
    running = await startMutual("right");
    const login = callAs(running.authority.address, trusting(ca, right));
    const edge = callAs(
      running.authority.address,
      trusting(ca, ca.issue({ names: "DNS:Edge.Example" })),
    );

    const { token } = await login.create();

    expect((await login.validate(token)).session?.subject).toBe("alice");
    expect((await edge.create()).token).not.toBe("");
    expect(await failure(edge.validate(token))).toMatchObject({ reason: "CALLER_NOT_ALLOWED" });
  });
});

describe("the transport", () => {
  it("refuses plaintext where there are certificates, and a stranger's server certificate", async () => {
    const { authority } = await startMutual("plaintext");

    const plaintext = callAs(authority.address, credentials.createInsecure());
    const suspicious = callAs(authority.address, trusting(otherCa, right));

    expect(await failure(plaintext.create())).toMatchObject({ code: "UNAVAILABLE" });
    expect(await failure(suspicious.create())).toMatchObject({ code: "UNAVAILABLE" });
  });

  it("asks for no client certificate where no authority for them is given", async () => {
    const files = new Files("one-way");
    const authority = await createAuthority({
      tls: { certPath: files.certPath, keyPath: files.keyPath },
    });
    closing.push(() => authority.close());

    expect((await callAs(authority.address, trusting(ca)).create()).token).not.toBe("");
  });

  it("refuses TLS 1.1, whatever the process was told (S-25)", async () => {
    const child = await startProcess({
      // OpenSSL itself refuses the old versions unless it is told to accept their signatures.
      NODE_OPTIONS: "--tls-min-v1.0 --tls-cipher-list=DEFAULT:@SECLEVEL=0",
    });

    const versions = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const;
    const spoken = await Promise.all(versions.map((version) => handshake(child.port, version)));

    expect(spoken).toEqual(["refused", "refused", "TLSv1.2", "TLSv1.3"]);
  });

  it("asks no caller for health, which the container's own check gets with its certificate", async () => {
    const { clientCaPath, certPath, keyPath } = new Files("health");
    const env = {
      COATCHECK_CONFIG: configuration.path,
      COATCHECK_TLS_CERT: certPath,
      COATCHECK_TLS_KEY: keyPath,
      COATCHECK_TLS_CLIENT_CA: clientCaPath,
    };
    const { port } = await startProcess(env);

    const check = startChild("server/src/cli/health.ts", { args: ["", `127.0.0.1:${port}`], env });

    expect(await check.exited).toMatchObject({ code: 0 });
    expect(check.stdout).toContain("SERVING");
  });

  it.each(["without callers", "without TLS"])("serves loopback only %s", async (what) => {
    const files = new Files("exposed");
    const child = startChild("server/src/main.ts", {
      env: {
        COATCHECK_LISTEN: "0.0.0.0:0",
        COATCHECK_REDIS_URL: "redis://127.0.0.1:1",
        ...(what === "without TLS"
          ? { COATCHECK_CONFIG: configuration.path }
          : {
              COATCHECK_TLS_CERT: files.certPath,
              COATCHECK_TLS_KEY: files.keyPath,
              COATCHECK_TLS_CLIENT_CA: files.clientCaPath,
            }),
      },
    });
    closing.push(() => child.kill().then(() => undefined));

    expect(await child.exited).toMatchObject({ code: 2 });
    expect(child.stderr).toContain("only loopback");
  });
});

describe("certificates that are replaced", () => {
  it("end what a session of the old ones could be resumed with", async () => {
    const { authority, files } = await startMutual("resumed");
    const first = await resume(authority.port, undefined);
    const again = await resume(authority.port, first.ticket);
    expect([first.outcome, again.outcome]).toEqual(["handshake", "resumed"]);

    copyFileSync(otherCa.path, files.clientCaPath);
    authority.reload();

    expect((await resume(authority.port, first.ticket)).outcome).toBe("refused");
  });

  it("fail no call under load, and the old leaf is refused once its authority has gone (S-29)", async () => {
    const { authority, files } = await startMutual("rotated");
    const both = Buffer.concat([ca.cert, otherCa.cert]);
    const successor = otherCa.issue({ names: `URI:${LOGIN}` });
    function trustBoth({ key, cert }: Certificate): ChannelCredentials {
      return credentials.createSsl(both, key, cert);
    }
    let own = right;
    let isLoaded = true;
    let calls = 0;
    const failures: unknown[] = [];
    const { token } = await callAs(authority.address, trustBoth(right)).create();
    const load = Array.from({ length: 8 }, async () => {
      while (isLoaded) {
        // A connection of its own for every few calls, so that handshakes are under load too.
        const api = new SessionApi(authority.address, { security: trustBoth(own) });
        for (let call = 0; call < 5; call += 1) {
          calls += 1;
          await api.validate(token).catch((error: unknown) => failures.push(error));
        }
        api.close();
      }
    });
    async function after(count: number): Promise<void> {
      const from = calls;
      await eventually(() => calls >= from + count, { timeoutMs: 20_000 });
    }

    await after(50);
    appendFileSync(files.clientCaPath, otherCa.cert);
    authority.reload();
    await after(50);
    files.present(otherCa.issue({ names: SERVER_NAMES }));
    authority.reload();
    own = successor;
    await after(100);
    copyFileSync(otherCa.path, files.clientCaPath);
    authority.reload();
    await after(50);
    isLoaded = false;
    await Promise.all(load);

    expect(failures).toEqual([]);
    expect(calls).toBeGreaterThan(250);
    const old = callAs(authority.address, trustBoth(right));
    expect(await failure(old.validate(token))).toMatchObject({ code: "UNAVAILABLE" });
  });

  it("are found without being told of", async () => {
    const { authority, files } = await startMutual("found");
    const successor = otherCa.issue({ names: SERVER_NAMES });

    files.present(successor);

    await eventually(async () => (await servedBy(authority.port)) === "another authority", {
      timeoutMs: 20_000,
    });
  });

  it("with a mistake leave the old ones, with a line each and no key in it", async () => {
    const { authority, files, errors } = await startMutual("mistaken");
    const other = otherCa.issue({ names: SERVER_NAMES });
    const mistakes: (() => void)[] = [
      () => {
        copyFileSync(other.certPath, files.certPath);
      },
      () => {
        writeFileSync(
          files.certPath,
          "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        );
      },
      () => {
        rmSync(files.certPath);
      },
      () => {
        files.present(ca.issue({ names: SERVER_NAMES, days: -1 }));
      },
      () => {
        files.present(other);
        writeFileSync(files.clientCaPath, "nothing");
      },
      () => {
        // A bundle in the making: Node would take the first authority and forget the second.
        const half = otherCa.cert.subarray(0, otherCa.cert.length / 2);
        writeFileSync(files.clientCaPath, Buffer.concat([ca.cert, half]));
      },
      () => {
        const text = otherCa.cert.toString().replace(/\n[^-]{20}/, "\n");
        writeFileSync(files.clientCaPath, ca.cert.toString() + text);
      },
      () => {
        rmSync(files.clientCaPath);
        mkdirSync(files.clientCaPath);
      },
    ];

    for (const [made, mistake] of mistakes.entries()) {
      mistake();
      authority.reload();

      const api = new SessionApi(authority.address, { security: trusting(ca, right) });
      expect((await api.create()).token).not.toBe("");
      api.close();
      expect(errors()).toHaveLength(made + 1);
    }
    expect(errors().map((line) => /Cannot use .*?: ([^"]*)/.exec(line)?.[1])).toEqual([
      "they must be a certificate and its own key",
      "of its 1 certificates not every one can be read",
      "it cannot be read (ENOENT)",
      expect.stringMatching(/^its certificate expired at /),
      "it has no CERTIFICATE in PEM",
      "of its 2 certificates not every one can be read",
      "of its 2 certificates not every one can be read",
      "it must be a regular file",
    ]);
    expect(errors().join("")).toContain("Cannot use");
    expect(errors().join("")).not.toMatch(/BEGIN|AAAA/);
  });
});

async function startProcess(env: Record<string, string>): Promise<{ child: Child; port: number }> {
  const files = new Files("process");
  const port = await freePort();
  const child = startChild("server/src/main.ts", {
    env: {
      COATCHECK_LISTEN: `127.0.0.1:${port}`,
      COATCHECK_TLS_CERT: files.certPath,
      COATCHECK_TLS_KEY: files.keyPath,
      ...env,
    },
  });
  closing.push(() => child.kill().then(() => undefined));
  await child.waitForLine(/listens on/);
  return { child, port };
}

/** The protocol that a handshake in one version ends with. */
async function handshake(
  port: number,
  version: NonNullable<ConnectionOptions["minVersion"]>,
): Promise<string> {
  const socket = connect({
    host: "127.0.0.1",
    port,
    ca: ca.cert,
    minVersion: version,
    maxVersion: version,
    ciphers: "DEFAULT:@SECLEVEL=0",
    ALPNProtocols: ["h2"],
  });
  return await new Promise((resolve) => {
    socket.once("secureConnect", () => {
      resolve(String(socket.getProtocol()));
      socket.destroy();
    });
    socket.once("error", () => {
      resolve("refused");
    });
  });
}

/** Who signed the certificate that the authority presents now. */
async function servedBy(port: number): Promise<string> {
  const socket = connect({
    host: "127.0.0.1",
    port,
    key: right.key,
    cert: right.cert,
    rejectUnauthorized: false,
    ALPNProtocols: ["h2"],
  });
  return await new Promise((resolve) => {
    socket.once("secureConnect", () => {
      resolve(String(socket.getPeerCertificate().issuer.CN));
      socket.destroy();
    });
    socket.once("error", () => {
      resolve("nobody");
    });
  });
}

interface Resumption {
  readonly outcome: "handshake" | "resumed" | "refused";
  readonly ticket: Buffer | undefined;
}

/** Connects as the right caller, with what an earlier connection was given to resume it. */
async function resume(port: number, session: Buffer | undefined): Promise<Resumption> {
  const socket = connect({
    host: "127.0.0.1",
    port,
    ca: ca.cert,
    key: right.key,
    cert: right.cert,
    maxVersion: "TLSv1.2",
    ALPNProtocols: ["h2"],
    ...(session === undefined ? {} : { session }),
  });
  return await new Promise((resolve) => {
    socket.once("secureConnect", () => {
      resolve({
        outcome: socket.isSessionReused() ? "resumed" : "handshake",
        ticket: socket.getSession(),
      });
      socket.destroy();
    });
    socket.once("error", () => {
      resolve({ outcome: "refused", ticket: undefined });
    });
  });
}
