import { execFile, spawn } from "node:child_process";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { ROOT, startChild, type Child } from "../support/child.js";
import { freePort } from "../support/free-port.js";
import { pythonWithGrpc } from "./python.js";

/*
 * Clients that have nothing of ours but the .proto files: Python's grpcio and
 * grpcurl. They live through a whole session life and read the stream.
 */

const run = promisify(execFile);
const TEST_MS = 120_000;

let authority: Child;
let address: string;

beforeAll(async () => {
  address = `127.0.0.1:${String(await freePort())}`;
  authority = startChild("server/src/main.ts", {
    env: {
      COATCHECK_LISTEN: address,
      COATCHECK_REFLECTION: "1",
      COATCHECK_REDIS_URL: inject("redisUrl"),
    },
  });
  await authority.waitForLine(/127\.0\.0\.1/);
}, TEST_MS);

afterAll(async () => {
  await authority.kill();
});

describe("a Python client", () => {
  it(
    "checks the vectors, lives through the life-cycle and reads the stream",
    async () => {
      const python = await pythonWithGrpc();

      const { stdout } = await run(python, ["test/foreign/client.py", `${ROOT}proto`, address], {
        cwd: ROOT,
      });

      expect(stdout.trim().split("\n")).toEqual([
        "vectors: 24 hold",
        expect.stringMatching(/^stubs: generated from \d+ files$/),
        "create: one session, a repeat is handed the same token",
        "validate: VALID with facts, MALFORMED, INSUFFICIENT_AAL",
        "batch, touch, list: agree",
        "update: attributes changed, CHANGED on the stream",
        "rotate: the old token is dead at once",
        "revoke: final, REVOKED on the stream, the record explains itself",
        "sync: the same events after the same position",
        "errors: ErrorInfo names the field",
        "health: SERVING",
        "done",
      ]);
    },
    TEST_MS,
  );
});

describe.each([
  {
    name: "grpcurl with the .proto files",
    flags: [
      ...["-import-path", "proto"],
      ...["session", "revocation"].flatMap((service) => [
        "-proto",
        `coatcheck/v1/${service}_service.proto`,
      ]),
    ],
  },
  { name: "grpcurl with reflection", flags: [] },
])("$name", ({ name, flags }) => {
  const SESSIONS = "coatcheck.v1.SessionService";

  async function call(method: string, request: object): Promise<Record<string, unknown>> {
    const args = ["-plaintext", ...flags, "-d", "@", address, method];
    return JSON.parse(await grpcurl(args, JSON.stringify(request))) as Record<string, unknown>;
  }

  it(
    "lives through the life-cycle and reads the stream",
    async () => {
      const stream = grpcurl(
        [
          ...["-plaintext", ...flags, "-max-time", "6", "-d", '{"tenantIds":["acme"]}'],
          ...[address, "coatcheck.v1.RevocationService/WatchRevocations"],
        ],
        undefined,
        { deadlineIsFine: true },
      );
      const created = await call(`${SESSIONS}/CreateSession`, {
        tenantId: "acme",
        subject: `curl-${name}`,
      });
      const session = created["session"] as { sessionId: string; state: string };
      const token = created["token"] as string;
      expect(session.state).toBe("SESSION_STATE_ACTIVE");

      async function validate(what: string): Promise<unknown> {
        const reply = await call(`${SESSIONS}/ValidateSession`, { tenantId: "acme", token: what });
        return reply["outcome"];
      }
      expect(await validate(token)).toBe("VALIDATION_OUTCOME_VALID");
      const rotated = await call(`${SESSIONS}/RotateSession`, {
        token,
        trigger: "ROTATION_TRIGGER_LOGIN",
      });
      expect(await validate(token)).toBe("VALIDATION_OUTCOME_ROTATED");
      const revoked = await call(`${SESSIONS}/RevokeSession`, {
        sessionId: session.sessionId,
        reason: "REVOCATION_REASON_USER_LOGOUT",
      });
      expect(revoked).toMatchObject({ found: true, achieved: "PROPAGATION_COMMITTED" });
      expect(await validate(rotated["token"] as string)).toBe("VALIDATION_OUTCOME_REVOKED");

      const seen = await stream;
      expect(seen).toContain('"opened"');
      expect(seen).toContain("REVOCATION_EVENT_KIND_REVOKED");
      expect(seen).toContain(session.sessionId);
    },
    TEST_MS,
  );
});

describe("grpcurl with reflection alone", () => {
  it(
    "lists the services, health included, and calls health",
    async () => {
      const listed = await grpcurl(["-plaintext", address, "list"]);
      const health = await grpcurl(["-plaintext", address, "grpc.health.v1.Health/Check"]);

      for (const service of ["SessionService", "RevocationService", "AdminService"]) {
        expect(listed).toContain(`coatcheck.v1.${service}`);
      }
      expect(listed).toContain("grpc.health.v1.Health");
      expect(health).toContain("SERVING");
    },
    TEST_MS,
  );

  it(
    "describes a method with its comments' types",
    async () => {
      const described = await grpcurl([
        "-plaintext",
        address,
        "describe",
        "coatcheck.v1.UpdateSessionRequest",
      ]);

      expect(described).toContain("optional uint64 expected_version");
    },
    TEST_MS,
  );
});

async function grpcurl(
  args: readonly string[],
  input?: string,
  { deadlineIsFine = false } = {},
): Promise<string> {
  return await new Promise((resolve, reject) => {
    const child = spawn("grpcurl", args, { cwd: ROOT, stdio: "pipe" });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.once("error", () => {
      reject(
        new Error(
          "grpcurl is not on the PATH: go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest",
        ),
      );
    });
    child.once("close", (code) => {
      if (code === 0 || (deadlineIsFine && stderr.includes("DeadlineExceeded"))) resolve(stdout);
      else reject(new Error(`grpcurl ended with exit code ${String(code)}: ${stderr}`));
    });
    child.stdin.end(input);
  });
}
