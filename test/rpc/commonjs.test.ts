import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { ROOT } from "../support/child.js";

/*
 * The client is ESM only, and CommonJS services `require` it: Node can since
 * 20.19 and 22.12, as long as no module in it uses top-level await. The consumer
 * here stands in a folder of its own and sees the built package, as theirs do.
 */

const run = promisify(execFile);
const BUILD_MS = 120_000;

let consumer: string;

beforeAll(async () => {
  await run(
    process.execPath,
    [join(ROOT, "node_modules/typescript/bin/tsc"), "--build", "client"],
    {
      cwd: ROOT,
    },
  );
  consumer = mkdtempSync(join(tmpdir(), "coatcheck-commonjs-"));
  mkdirSync(join(consumer, "node_modules/@coatcheck"), { recursive: true });
  mkdirSync(join(consumer, "node_modules/@types"));
  symlinkSync(join(ROOT, "client"), join(consumer, "node_modules/@coatcheck/client"));
  symlinkSync(join(ROOT, "node_modules/@types/node"), join(consumer, "node_modules/@types/node"));
}, BUILD_MS);

afterAll(() => {
  rmSync(consumer, { recursive: true, force: true });
});

describe("a CommonJS consumer", () => {
  it(`requires the client on Node ${process.versions.node}`, async () => {
    writeFileSync(
      join(consumer, "consumer.cjs"),
      `const { createSessionClient, SessionAuthorityError } = require("@coatcheck/client");
       const client = createSessionClient({ target: "127.0.0.1:1", tenantId: "acme", clientName: "cjs" });
       client.validate("").then(async (answer) => {
         console.log(answer.kind, answer.outcome, typeof SessionAuthorityError);
         await client.close();
       });`,
    );

    const { stdout, stderr } = await run(process.execPath, ["consumer.cjs"], { cwd: consumer });

    expect(stderr).toBe("");
    expect(stdout.trim()).toBe("invalid no-token function");
  });

  it("finds the types as `module: nodenext` sees them", async () => {
    writeFileSync(
      join(consumer, "consumer.cts"),
      `import coatcheck = require("@coatcheck/client");
       const client: coatcheck.SessionClient = coatcheck.createSessionClient({
         target: "127.0.0.1:1", tenantId: "acme", clientName: "cjs",
       });
       void client.close();\n`,
    );
    const flags = ["--noEmit", "--strict", "--target", "es2023", "--module", "nodenext"];

    const checked = run(
      process.execPath,
      [join(ROOT, "node_modules/typescript/bin/tsc"), ...flags, "consumer.cts"],
      { cwd: consumer },
    );

    await expect(checked).resolves.toBeDefined();
  }, 60_000);
});
