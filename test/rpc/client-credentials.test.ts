import { createSessionClient, type SessionClient } from "@coatcheck/client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { type Authority, createAuthority } from "#server/server.js";

import {
  callersSection,
  ConfigurationOnDisk,
  hashOfKey,
  newServiceKey,
  type TestCaller,
} from "../support/callers.js";
import { TestCa } from "../support/certificates.js";
import { createService, say } from "../support/services.js";

// How the SDK says who it is: by a service key (S-49) or a certificate (S-26).

const service: TestCaller = {
  name: "service",
  roles: ["issuer", "validator", "revoker"],
  tenants: ["acme"],
  key: newServiceKey(),
};

const closing: (() => void | Promise<void>)[] = [];
let configuration: ConfigurationOnDisk;
let authority: Authority;

beforeEach(async () => {
  configuration = new ConfigurationOnDisk(callersSection([service]));
  authority = await createAuthority({ configurationPath: configuration.path });
  closing.push(() => {
    configuration.remove();
  });
  closing.push(() => authority.close());
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function clientWith(serviceKey: string | (() => string)): SessionClient {
  const client = createService(authority.address, { serviceKey });
  closing.push(() => client.close());
  return client;
}

/** Has the caller known by these keys from now on. */
function accept(...keys: string[]): void {
  const section = callersSection([service]) as { callers: { service_key_hashes: string[] }[] };
  for (const caller of section.callers) caller.service_key_hashes = keys.map(hashOfKey);
  configuration.write(section);
  authority.reload();
}

describe("a service key of the SDK", () => {
  it("is exchanged for another while the service runs, and no call fails", async () => {
    const successor = newServiceKey();
    let current = String(service.key);
    const client = clientWith(() => current);
    const { token } = await client.create({ subject: "alice" });

    accept(current, successor);
    expect((await client.list("alice")).sessions).toHaveLength(1);
    current = successor;
    expect((await client.list("alice")).sessions).toHaveLength(1);
    accept(successor);
    expect((await client.list("alice")).sessions).toHaveLength(1);

    await client.ready();
    expect(await say(client, token.reveal())).toBe("valid");
  });

  it.each([
    ["is unknown", () => newServiceKey()],
    ["has a line end in it", () => "x\r\nauthorization: Bearer y"],
    [
      "cannot be had",
      () => {
        throw new Error("the vault is sealed");
      },
    ],
  ])("that %s makes every token unavailable, and none invalid", async (_, key) => {
    const { token } = await clientWith(String(service.key)).create({ subject: "alice" });

    expect(await say(clientWith(key), token.reveal())).toBe("unavailable");
  });

  it.each(["", "short", `${"k".repeat(43)}\n`, "k".repeat(129), `${"k".repeat(42)}é`])(
    "%j is refused without being shown",
    (serviceKey) => {
      let message = "";
      try {
        createService(authority.address, { serviceKey });
      } catch (error) {
        message = error instanceof TypeError ? error.message : "another error";
      }

      expect(message).toBe(
        "Cannot use serviceKey: it must be 43 to 128 printable ASCII characters",
      );
    },
  );

  it("is in nothing that a client shows of itself (S-46)", async () => {
    const key = String(service.key);
    const client = clientWith(key);
    await client.create({ subject: "alice" });

    expect(JSON.stringify(client.status())).not.toContain(key);
    expect(JSON.stringify(client)).not.toContain(key);
  });
});

describe("a certificate of the SDK", () => {
  it("is refused without its key, before anything is sent", () => {
    const ca = new TestCa();
    closing.push(() => {
      ca.remove();
    });
    const own = ca.issue({ names: "DNS:service.example" });

    for (const half of [{ privateKey: own.key }, { certificateChain: own.cert }]) {
      expect(() =>
        createSessionClient({
          target: authority.address,
          tenantId: "acme",
          clientName: "test",
          credentials: { rootCertificates: ca.cert, ...half },
        }),
      ).toThrow();
    }
  });
});
