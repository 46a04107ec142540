import { describe, expect, it } from "vitest";

import { readConfig } from "#server/config.js";

describe("readConfig", () => {
  it("has defaults that are safe on any machine", () => {
    expect(readConfig({ PATH: "/bin" })).toEqual({
      listen: { host: "127.0.0.1", port: 7443 },
      redisUrl: undefined,
      namespace: "cc:",
      reflection: false,
      logLevel: "info",
      maxStalenessMs: 3000,
      dangerousPlaintext: false,
      tls: undefined,
      redisCaPath: undefined,
      redisPasswordPath: undefined,
      configurationPath: undefined,
    });
  });

  it("reads every variable", () => {
    const config = readConfig({
      COATCHECK_LISTEN: "[::1]:0",
      COATCHECK_REDIS_URL: "rediss+cluster://h1:6379,h2:6379",
      COATCHECK_NAMESPACE: "prod:",
      COATCHECK_REFLECTION: "1",
      COATCHECK_LOG_LEVEL: "debug",
      COATCHECK_MAX_STALENESS: "10s",
      COATCHECK_DANGEROUS_PLAINTEXT: "1",
      COATCHECK_TLS_CERT: "/tls/cert.pem",
      COATCHECK_TLS_KEY: "/tls/key.pem",
      COATCHECK_TLS_CLIENT_CA: "/tls/ca.pem",
      COATCHECK_REDIS_CA: "/tls/redis.pem",
      COATCHECK_REDIS_PASSWORD_FILE: "/tls/redis.password",
      COATCHECK_CONFIG: "/etc/coatcheck.yaml",
    });

    expect(config).toEqual({
      listen: { host: "::1", port: 0 },
      redisUrl: "rediss+cluster://h1:6379,h2:6379",
      namespace: "prod:",
      reflection: true,
      logLevel: "debug",
      maxStalenessMs: 10_000,
      dangerousPlaintext: true,
      tls: { certPath: "/tls/cert.pem", keyPath: "/tls/key.pem", clientCaPath: "/tls/ca.pem" },
      redisCaPath: "/tls/redis.pem",
      redisPasswordPath: "/tls/redis.password",
      configurationPath: "/etc/coatcheck.yaml",
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it.each([
    ["1s", 1000],
    ["3s", 3000],
    ["500", 500],
    ["60000", 60_000],
  ])("takes %s for a staleness bound", (text, expected) => {
    expect(readConfig({ COATCHECK_MAX_STALENESS: text }).maxStalenessMs).toBe(expected);
  });

  it.each(["499", "60001", "2s", "0", "-1", "3 s", "1e3", ""])("refuses the bound %j", (text) => {
    expect(() => readConfig({ COATCHECK_MAX_STALENESS: text })).toThrow(
      `Cannot set COATCHECK_MAX_STALENESS to ${JSON.stringify(text)}: it must be one of 1s, 3s, 10s, or 500 to 60000`,
    );
  });

  it.each(["7443", "127.0.0.1", "127.0.0.1:65536", "::1:7443", "a b:1", ":1", "127.0.0.1:x"])(
    "refuses to listen on %j",
    (text) => {
      expect(() => readConfig({ COATCHECK_LISTEN: text })).toThrow(
        `Cannot set COATCHECK_LISTEN to ${JSON.stringify(text)}`,
      );
    },
  );

  it("serves loopback only without TLS, unless told otherwise (S-25)", () => {
    const everywhere = {
      COATCHECK_LISTEN: "0.0.0.0:7443",
      COATCHECK_REDIS_URL: "redis://127.0.0.1:6379",
    };

    expect(() => readConfig(everywhere)).toThrow("COATCHECK_DANGEROUS_PLAINTEXT=1");
    expect(readConfig({ ...everywhere, COATCHECK_DANGEROUS_PLAINTEXT: "1" }).listen.host).toBe(
      "0.0.0.0",
    );
  });

  it("serves the memory store on loopback only, whatever it is told", () => {
    const everywhere = { COATCHECK_LISTEN: "0.0.0.0:7443", COATCHECK_DANGEROUS_PLAINTEXT: "1" };

    expect(() => readConfig(everywhere)).toThrow("the memory store serves loopback only");
  });

  it.each(["127.0.0.1.evil.example:1", "localhost.evil.example:1", "1127.0.0.1:1"])(
    "does not take %s for loopback",
    (listen) => {
      expect(() => readConfig({ COATCHECK_LISTEN: listen })).toThrow("only loopback");
    },
  );

  it("refuses a variable it does not know, and names it", () => {
    expect(() => readConfig({ COATCHECK_MAX_STALENES: "1s" })).toThrow(
      "Cannot use COATCHECK_MAX_STALENES: there is no such variable",
    );
  });

  it("leaves the test suite's own variables alone", () => {
    expect(() => readConfig({ COATCHECK_TEST_REDIS_URL: "x" })).not.toThrow();
  });

  it.each([
    [{ COATCHECK_TLS_CERT: "/cert" }],
    [{ COATCHECK_TLS_KEY: "/key" }],
    [{ COATCHECK_TLS_CLIENT_CA: "/ca" }],
    [{ COATCHECK_TLS_CERT: "/cert", COATCHECK_TLS_CLIENT_CA: "/ca" }],
  ])("refuses the half of TLS that is %j", (variables) => {
    expect(() => readConfig(variables)).toThrow(
      "COATCHECK_TLS_CERT and COATCHECK_TLS_KEY must both be set",
    );
  });

  it("refuses an authority for a Redis that is reached without TLS (S-25)", () => {
    const variables = { COATCHECK_REDIS_CA: "/ca", COATCHECK_REDIS_URL: "redis://127.0.0.1" };

    expect(() => readConfig(variables)).toThrow("COATCHECK_REDIS_URL must be rediss://");
  });

  it.each([
    ["no Redis", undefined],
    ["one password in the URL", "redis://hunter2@10.0.0.1"],
    ["a user and a password in the URL", "rediss://rt:hunter2@10.0.0.1:6379/1"],
    ["a password with odd characters", "redis+cluster://:hun:ter:2@10.0.0.1"],
  ])("refuses a password file beside %s, and quotes no password (S-49)", (_, url) => {
    const variables = {
      COATCHECK_REDIS_PASSWORD_FILE: "/run/secrets/redis",
      ...(url === undefined ? {} : { COATCHECK_REDIS_URL: url }),
    };

    expect(() => readConfig(variables)).toThrow("Cannot use COATCHECK_REDIS_PASSWORD_FILE");
    expect(() => readConfig(variables)).not.toThrow(/hun/);
  });

  it.each(["redis://10.0.0.1", "rediss://rt:@10.0.0.1", "redis+sentinel://h1,h2/main"])(
    "takes a password file for %s",
    (url) => {
      const variables = {
        COATCHECK_REDIS_PASSWORD_FILE: "/run/secrets/redis",
        COATCHECK_REDIS_URL: url,
      };

      expect(readConfig(variables).redisPasswordPath).toBe("/run/secrets/redis");
    },
  );

  it("never quotes a Redis URL, which may carry a password (I-15)", () => {
    const url = "redsi://user:hunter2@10.0.0.1:6379";

    expect(() => readConfig({ COATCHECK_REDIS_URL: url })).toThrow(
      expect.not.stringContaining("hunter2") as Error,
    );
  });

  it.each([
    ["COATCHECK_REFLECTION", "yes", "0 or 1"],
    ["COATCHECK_LOG_LEVEL", "loud", "one of debug, info, warn, error, silent"],
    ["COATCHECK_NAMESPACE", "a{b}:", "1 to 32 of"],
  ])("names variable, value and bound of a bad %s", (name, value, bound) => {
    expect(() => readConfig({ [name]: value })).toThrow(
      `Cannot set ${name} to ${JSON.stringify(value)}: it must be ${bound}`,
    );
  });
});
