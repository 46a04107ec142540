import { SessionServiceService } from "@coatcheck/proto";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";

import { type Child, startChild } from "../support/child.js";
import { newServiceKey } from "../support/callers.js";
import { eventually } from "../support/eventually.js";
import { freePort } from "../support/free-port.js";

// S-30: what helps a developer and an attacker is not there unless it was asked for.

const closing: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(env: Record<string, string> = {}): Promise<{ child: Child; client: Client }> {
  const address = `127.0.0.1:${await freePort()}`;
  const child = startChild("server/src/main.ts", { env: { COATCHECK_LISTEN: address, ...env } });
  closing.push(() => child.kill().then(() => undefined));
  await child.waitForLine(/listens on/);
  const client = new Client(address, credentials.createInsecure());
  closing.push(() => {
    client.close();
  });
  return { child, client };
}

/** The status that a call with an empty message ends with. */
async function statusOf(client: Client, path: string): Promise<string> {
  const options = { deadline: Date.now() + 20_000 };
  return await new Promise((resolve) => {
    const call = client.makeBidiStreamRequest(path, asIs, asIs, new Metadata(), options);
    call.on("data", () => undefined);
    call.on("error", (error: ServiceError) => {
      resolve(status[error.code]);
    });
    call.on("end", () => {
      resolve("OK");
    });
    call.end(Buffer.alloc(0));
  });
}

/** The ports on which a process listens, from the kernel. */
function listeningPorts({ pid }: Child): number[] {
  const sockets = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((descriptor) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${descriptor}`)];
      } catch {
        return [];
      }
    }),
  );
  const LISTEN = "0A";
  return ["tcp", "tcp6"]
    .flatMap((kind) => readFileSync(`/proc/${pid}/net/${kind}`, "utf8").trim().split("\n").slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, , , state, , , , , , inode]) =>
        state === LISTEN && sockets.has(`socket:[${inode ?? ""}]`),
    )
    .map(([, local = ""]) => Number.parseInt(local.split(":")[1] ?? "", 16));
}

const { listSessions } = SessionServiceService;

describe("a process in production", () => {
  it("serves neither reflection nor channelz", async () => {
    const { client } = await start();

    for (const path of [
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
      "/grpc.channelz.v1.Channelz/GetServers",
      "/grpc.channelz.v1.Channelz/GetTopChannels",
    ]) {
      expect(await statusOf(client, path)).toBe("UNIMPLEMENTED");
    }
    expect(await statusOf(client, listSessions.path)).toBe("INVALID_ARGUMENT");
  });

  it("serves reflection where it was asked to", async () => {
    const { client } = await start({ COATCHECK_REFLECTION: "1" });

    expect(
      await statusOf(client, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
    ).toBe("OK");
  });

  it("opens no debugger on SIGUSR1 and goes on", async () => {
    const { child, client } = await start();
    const ports = listeningPorts(child);

    process.kill(child.pid, "SIGUSR1");
    // Served after the signal, with the time that Node takes to open its port.
    for (let call = 0; call < 50; call += 1) {
      expect(await statusOf(client, listSessions.path)).toBe("INVALID_ARGUMENT");
    }

    expect(child.stderr).not.toContain("Debugger");
    expect(ports).toHaveLength(1);
    expect(listeningPorts(child)).toEqual(ports);
  });

  it("opens one without the guard, so that the test above would see it", async () => {
    const child = startChild("test/support/idle.ts");
    closing.push(() => child.kill().then(() => undefined));
    await child.waitForLine(/idle/);

    process.kill(child.pid, "SIGUSR1");

    await eventually(
      () => listeningPorts(child).length === 1 && child.stderr.includes("Debugger"),
      { timeoutMs: 20_000 },
    );
  });

  it("shows no secret in its command line (I-15)", async () => {
    const password = newServiceKey();
    const { child } = await start({
      COATCHECK_REDIS_URL: `redis://:${password}@127.0.0.1:1`,
    });

    expect(readFileSync(`/proc/${child.pid}/cmdline`, "utf8")).not.toContain(password);
    expect(child.stdout + child.stderr).not.toContain(password);
  });
});

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
