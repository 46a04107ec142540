// Redis only: it is the store that writes files, and that others can watch.

import { describe, expect, it } from "vitest";

import { hunt } from "../leaks/hunt.js";

/** `npm run test:leaks` does the same with 100,000. */
const REQUESTS = 3_000;
const PLANTED_REQUESTS = 200;

describe("a token, a secret or a digest", () => {
  it("is in no log, metric, error, answer, file, slow log or watched command (S-04, S-46, B-17)", async () => {
    const { places, requests, failures, secrets } = await hunt({ requests: REQUESTS });

    const found = places
      .filter(({ name }) => !name.startsWith("control"))
      .filter(({ secrets: leaked, digests = [] }) => leaked.length + digests.length > 0);
    expect(found).toEqual([]);
    expect(requests).toBeGreaterThanOrEqual(REQUESTS);
    // Right and wrong requests, and as many secrets as that makes.
    expect(failures / requests).toBeGreaterThan(0.2);
    expect(failures / requests).toBeLessThan(0.6);
    expect(secrets).toBeGreaterThan(REQUESTS / 10);
    // Every place had something in it, and digests, which belong there, are found where they are.
    expect(places.filter(({ bytes }) => bytes === 0)).toEqual([]);
    const controls = places.filter(({ name }) => name.startsWith("control"));
    expect(controls.map(({ name }) => name)).toEqual(
      expect.arrayContaining([expect.stringContaining("rdb"), expect.stringContaining("aof")]),
    );
    expect(controls.filter(({ digests = [] }) => digests.length === 0)).toEqual([]);
  }, 120_000);

  it("is found in each of these places where it is put there, or the hunt proves nothing", async () => {
    const { places } = await hunt({ requests: PLANTED_REQUESTS, isPlanted: true });

    const found = places.filter(({ secrets }) =>
      secrets.some((each) => each.startsWith("a secret at")),
    );
    // Of the append-only file the number in its name may differ.
    const names = found.map(({ name }) => name.replace(/^.*[/]appendonly[.].*[.]incr/, "incr"));
    expect(names.sort()).toEqual(
      [
        "the log",
        "the metrics",
        "answers and errors",
        "the command line",
        "the audit trail",
        "incr.aof",
        "dump.rdb",
        "SLOWLOG",
        "MONITOR",
        "CLIENT LIST",
      ].sort(),
    );
    const withDigests = found.filter(({ digests = [] }) => digests.length > 0);
    expect(withDigests.map(({ name }) => name)).toEqual(
      places.flatMap(({ name, digests }) =>
        digests === undefined || name.startsWith("control") ? [] : [name],
      ),
    );
  }, 120_000);
});
