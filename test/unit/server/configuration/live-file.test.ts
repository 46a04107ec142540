import { execFileSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { LiveFile } from "#server/configuration/live-file.js";
import { FILE_BYTES_MAX } from "#server/configuration/read-file.js";

import { eventually } from "../../../support/eventually.js";

const GOOD = "tenants: [{ id: first }]\n";
const NEXT = "tenants: [{ id: second }]\n";

let folder: string;
let path: string;
let files: LiveFile<string>[];
let lines: string[];
let changes: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "coatcheck-live-"));
  path = join(folder, "coatcheck.yaml");
  files = [];
  lines = [];
  changes = [];
});

afterEach(() => {
  for (const file of files) file.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Follows the file; what it says is the id of its tenant. */
function open(): LiveFile<string> {
  const file: LiveFile<string> = new LiveFile<string>({
    path,
    build: ({ tenants }) => tenants.map(({ id }) => id).join(),
    onChange: () => void changes.push(file.current),
    log: {
      debug: () => undefined,
      info: (_, message) => void lines.push(message),
      warn: () => undefined,
      error: ({ why }, message) => void lines.push(`${message}: ${String(why)}`),
    },
  });
  files.push(file);
  return file;
}

function written(text = GOOD): LiveFile<string> {
  writeFileSync(path, text);
  return open();
}

describe("LiveFile", { timeout: 30_000 }, () => {
  it("has the new settings in one step and then tells of them", () => {
    const file = written();
    writeFileSync(path, NEXT);

    file.reload();

    expect(file.current).toBe("second");
    expect(changes).toEqual(["second"]);
    expect(lines).toEqual(["the configuration was reloaded"]);
  });

  it("says nothing of a file that has not changed, however often it is asked", () => {
    const file = written();

    for (let signal = 0; signal < 1000; signal += 1) file.reload();

    expect([lines, changes]).toEqual([[], []]);
  });

  it("says once that a file is refused, and takes it when it is mended", () => {
    const file = written();

    writeFileSync(path, "tenants: 1");
    for (let signal = 0; signal < 1000; signal += 1) file.reload();
    expect([file.current, lines.length, changes]).toEqual(["first", 1, []]);
    writeFileSync(path, NEXT);
    file.reload();

    expect(file.current).toBe("second");
  });

  const unreadable: [string, () => void, string][] = [
    ["gone", () => undefined, "it cannot be read (ENOENT)"],
    [
      "a folder",
      () => {
        mkdirSync(path);
      },
      "it must be a regular file",
    ],
    [
      "a pipe without a writer",
      () => {
        execFileSync("mkfifo", [path]);
      },
      "it must be a regular file",
    ],
    [
      "a device without an end",
      () => {
        symlinkSync("/dev/zero", path);
      },
      "it must be a regular file",
    ],
    [
      "a link to itself",
      () => {
        symlinkSync(path, path);
      },
      "it cannot be read (ELOOP)",
    ],
    [
      "10 MB",
      () => {
        writeFileSync(path, "");
        truncateSync(path, 10_000_000);
      },
      `it has 10000000 bytes and must have at most ${FILE_BYTES_MAX}`,
    ],
    [
      "empty, as while it is written",
      () => {
        writeFileSync(path, " \n");
      },
      "it is empty",
    ],
  ];

  it.each(unreadable)("stays as it was where the file is %s", (_, spoil, why) => {
    const file = written();
    rmSync(path);
    spoil();

    file.reload();

    expect(file.current).toBe("first");
    expect(lines).toEqual([
      `the configuration stays as it was: the file was refused: Cannot use ${path}: ${why}`,
    ]);
  });

  it.each(unreadable.slice(0, -1))("does not begin where the file is %s", (_, spoil, why) => {
    spoil();

    expect(open).toThrow(`Cannot use ${path}: ${why}`);
  });

  it("misses no change between the first reading and the first look", () => {
    const file = written();
    writeFileSync(path, NEXT);

    file.start();

    expect(file.current).toBe("second");
  });

  it("finds a file that is replaced by renaming", async () => {
    const file = written();
    file.start();

    writeFileSync(`${path}.new`, NEXT);
    renameSync(`${path}.new`, path);

    await eventually(() => file.current === "second", { timeoutMs: 20_000 });
  });

  it("finds what a link to a folder brings when it is turned, as in a mounted ConfigMap", async () => {
    for (const [version, text] of Object.entries({ "..1": GOOD, "..2": NEXT })) {
      mkdirSync(join(folder, version));
      writeFileSync(join(folder, version, "coatcheck.yaml"), text);
    }
    symlinkSync("..1", join(folder, "..data"));
    symlinkSync(join("..data", "coatcheck.yaml"), path);
    const file = open();
    file.start();

    symlinkSync("..2", join(folder, "..data_tmp"));
    renameSync(join(folder, "..data_tmp"), join(folder, "..data"));
    rmSync(join(folder, "..1"), { recursive: true });

    await eventually(() => file.current === "second", { timeoutMs: 20_000 });
    expect(lines).toEqual(["the configuration was reloaded"]);
  });

  it("goes on following a file that cannot be had for a while", async () => {
    const file = written();
    file.start();

    rmSync(path);
    symlinkSync(path, path);
    await eventually(() => lines.some((line) => line.includes("ELOOP")), { timeoutMs: 20_000 });
    rmSync(path);
    writeFileSync(path, NEXT);

    await eventually(() => file.current === "second", { timeoutMs: 20_000 });
  });

  it("waits for the end of a file that is written in place, a piece at a time", async () => {
    const ids = Array.from({ length: 30 }, (_, index) => `tenant-${index}`);
    const file = written();
    file.start();

    const descriptor = openSync(path, "w");
    writeSync(descriptor, "tenants:\n");
    let next = 0;
    // Slower than it is looked at, and each piece a whole configuration by itself.
    await eventually(
      () => {
        if (next < ids.length) writeSync(descriptor, `  - id: ${ids[next] ?? ""}\n`);
        next += 1;
        return next >= ids.length;
      },
      { timeoutMs: 20_000, intervalMs: 100 },
    );
    closeSync(descriptor);

    await eventually(() => changes.length > 0, { timeoutMs: 20_000 });
    expect(changes).toEqual([ids.join()]);
  });
});
