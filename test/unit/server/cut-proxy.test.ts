import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { startCutProxy, type CutProxy } from "#server/cli/cut-proxy.js";
import { eventually } from "../../support/eventually.js";
import { listeningPort } from "../../support/free-port.js";

/** Long enough for loopback to have delivered what it was going to. */
const NOTHING_CAME_MS = 60;

/** A connection through the proxy, and what its user sees of it. */
class Caller {
  readonly socket: Socket;
  received = "";
  isClosed = false;

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("data", (chunk) => (this.received += chunk.toString()));
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => (this.isClosed = true));
  }
}

describe("CutProxy", () => {
  let server: Server;
  let proxy: CutProxy;
  let atServer: string;
  let serverSockets: Socket[];
  let client: Caller;

  beforeEach(async () => {
    atServer = "";
    serverSockets = [];
    server = createServer((socket) => {
      serverSockets.push(socket);
      socket.on("error", () => undefined);
      socket.on("data", (chunk) => {
        atServer += chunk.toString();
        socket.write(`echo:${chunk.toString()}`);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    proxy = await startCutProxy({ targetPort: listeningPort(server.address()) });
    client = new Caller(proxy.port);
    client.socket.write("a");
    await eventually(() => client.received === "echo:a");
  });

  afterEach(async () => {
    client.socket.destroy();
    await proxy.close();
    await new Promise((resolve) => server.close(resolve));
  });

  it("forwards both ways and counts", () => {
    expect(proxy.bytes).toEqual({ "client-to-server": 1, "server-to-client": 6 });
    expect(proxy.connectionCount).toBe(1);
    expect(proxy.acceptedCount).toBe(1);
  });

  it("resets present and new connections while it is cut", async () => {
    proxy.cut();
    await eventually(() => client.isClosed && proxy.connectionCount === 0);

    client = new Caller(proxy.port);
    await eventually(() => client.isClosed);
    expect(serverSockets).toHaveLength(1);

    proxy.heal();
    client = new Caller(proxy.port);
    client.socket.write("b");
    await eventually(() => client.received === "echo:b");
  });

  it("holds one direction without closing anything, and loses no byte", async () => {
    proxy.stall("server-to-client");
    client.socket.write("b");
    await eventually(() => atServer === "ab");
    await sleep(NOTHING_CAME_MS);
    expect(client.received).toBe("echo:a");
    expect(client.isClosed).toBe(false);

    proxy.heal();
    await eventually(() => client.received === "echo:aecho:b");
  });

  it("holds the end of a stalled connection behind its bytes", async () => {
    let serverSawEnd = false;
    serverSockets[0]?.on("end", () => (serverSawEnd = true));
    proxy.stall("client-to-server");
    client.socket.end("b");
    await sleep(NOTHING_CAME_MS);
    expect(serverSawEnd).toBe(false);

    proxy.heal();
    await eventually(() => serverSawEnd);
    expect(atServer).toBe("ab");
  });

  it("tells neither peer anything in a blackhole, and resets what lived through it", async () => {
    proxy.blackhole();
    client.socket.write("b");
    const unserved = new Caller(proxy.port);
    await sleep(NOTHING_CAME_MS);
    expect(atServer).toBe("a");
    expect(client.isClosed).toBe(false);
    expect(serverSockets).toHaveLength(1);

    let serverSocketClosed = false;
    serverSockets[0]?.on("close", () => (serverSocketClosed = true));
    proxy.heal();
    await eventually(() => client.isClosed && unserved.isClosed && serverSocketClosed);
    expect(atServer).toBe("a");
  });

  it("delivers late and in order under a delay", async () => {
    proxy.delay(50);
    const sentAtMs = performance.now();
    client.socket.write("b");
    await sleep(5);
    client.socket.write("c");

    await eventually(() => client.received === "echo:aecho:becho:c");

    expect(performance.now() - sentAtMs).toBeGreaterThanOrEqual(99);
  });

  it("passes a reset on to the other side", async () => {
    serverSockets[0]?.resetAndDestroy();

    await eventually(() => client.isClosed);
  });

  it("resets the client when nobody listens behind it", async () => {
    await new Promise((resolve) => {
      server.close(resolve);
      proxy.resetAll();
    });

    client = new Caller(proxy.port);

    await eventually(() => client.isClosed);
  });
});
