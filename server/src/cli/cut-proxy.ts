// A TCP proxy on loopback that breaks the network on demand, in the ways that networks break.
//
//   cut        everything is reset, and so is every new connection
//   stall      sockets stay open; bytes of one direction (or both) wait, and arrive on heal()
//   blackhole  sockets stay open; nothing passes, not even their end, and what was sent is lost
//   abandon    the same for the connections there are; new ones are served
//   delay      every byte arrives late
//
// A stall is a slow path: after it a connection goes on without a gap. A blackhole is a dead
// one: after it the peers no longer agree, so heal() resets every connection it touched.

import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

import { systemClock, type Timer } from "../base/clock.js";

/** Which way bytes travel. */
export type Direction = "client-to-server" | "server-to-client";

/** Where a proxy forwards to. */
export interface CutProxyOptions {
  readonly targetPort: number;
  /** @default "127.0.0.1" */
  readonly targetHost?: string;
}

/** Starts a proxy on a free port of loopback. */
export async function startCutProxy(options: CutProxyOptions): Promise<CutProxy> {
  const proxy = new CutProxy(options);
  await proxy.listen();
  return proxy;
}

/** Held bytes per lane, above which the source is no longer read. */
const HELD_BYTES_MAX = 16 * 1024 * 1024;

type Mode = "open" | "cut" | "blackhole";

/** What the lanes of every connection obey. */
interface Weather {
  mode: Mode;
  delayMs: number;
  readonly stalled: Set<Direction>;
  readonly bytes: Record<Direction, number>;
}

/** A running proxy. */
export class CutProxy {
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  #acceptedCount = 0;
  readonly #weather: Weather = {
    mode: "open",
    delayMs: 0,
    stalled: new Set(),
    bytes: { "client-to-server": 0, "server-to-client": 0 },
  };

  constructor({ targetPort, targetHost = "127.0.0.1" }: CutProxyOptions) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      this.#acceptedCount += 1;
      if (this.#weather.mode === "cut") {
        client.resetAndDestroy();
        return;
      }
      const target = { port: targetPort, host: targetHost };
      const connection = new Connection(client, target, this.#weather);
      this.#connections.add(connection);
      connection.onClosed(() => this.#connections.delete(connection));
    });
  }

  /** Called once, by `startCutProxy`. */
  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(0, "127.0.0.1", resolve);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Host and port, as a gRPC target takes them. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Connections that are open on the client's side now. */
  get connectionCount(): number {
    return [...this.#connections].filter((connection) => connection.clientIsOpen).length;
  }

  /** Connections ever made, also those that a cut reset at once. */
  get acceptedCount(): number {
    return this.#acceptedCount;
  }

  /** Bytes delivered so far, each way. Held and lost bytes are not among them. */
  get bytes(): Readonly<Record<Direction, number>> {
    return { ...this.#weather.bytes };
  }

  /** Resets every connection, and every new one as soon as it is made. */
  cut(): void {
    this.#weather.mode = "cut";
    this.resetAll();
  }

  /** Holds the bytes of one direction, or both, of present and new connections. */
  stall(direction: Direction | "both"): void {
    const directions: Direction[] =
      direction === "both" ? ["client-to-server", "server-to-client"] : [direction];
    for (const each of directions) this.#weather.stalled.add(each);
  }

  /** Loses everything, of present and new connections, without a sign to either peer. */
  blackhole(): void {
    this.#weather.mode = "blackhole";
    for (const connection of this.#connections) connection.lost = true;
  }

  /** Loses everything of present connections, as if their peer had gone without a word. */
  abandon(): void {
    for (const connection of this.#connections) connection.lost = true;
  }

  /** Delivers what arrives from now on `ms` late. */
  delay(ms: number): void {
    this.#weather.delayMs = ms;
  }

  /** Ends every fault. Held bytes go out; connections that lost bytes are reset. */
  heal(): void {
    this.#weather.mode = "open";
    this.#weather.delayMs = 0;
    this.#weather.stalled.clear();
    for (const connection of this.#connections) {
      if (connection.lost) connection.reset();
      else connection.flush();
    }
  }

  /** Resets every present connection; new ones are served. */
  resetAll(): void {
    for (const connection of this.#connections) connection.reset();
  }

  /** Stops listening and resets what is open. */
  async close(): Promise<void> {
    this.resetAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

class Connection {
  /** A blackhole took some of its bytes, so it can never be right again. */
  lost: boolean;
  readonly #client: Socket;
  readonly #upstream: Socket | undefined;
  readonly #lanes: readonly Lane[];

  constructor(client: Socket, target: { port: number; host: string }, weather: Weather) {
    this.#client = client;
    this.lost = weather.mode === "blackhole";
    if (this.lost) {
      client.on("error", () => undefined).resume();
      this.#lanes = [];
      return;
    }
    const upstream = connect({ ...target, allowHalfOpen: true, noDelay: true });
    this.#upstream = upstream;
    const isLost = (): boolean => this.lost;
    const both = { weather, isLost };
    this.#lanes = [
      new Lane({ source: client, sink: upstream, direction: "client-to-server", ...both }),
      new Lane({ source: upstream, sink: client, direction: "server-to-client", ...both }),
    ];
  }

  /** Runs `then` when both of its sockets are closed. */
  onClosed(then: () => void): void {
    const sockets = [this.#client, this.#upstream].filter((socket) => socket !== undefined);
    for (const socket of sockets) {
      socket.once("close", () => {
        if (sockets.every((each) => each.closed)) then();
      });
    }
  }

  get clientIsOpen(): boolean {
    return !this.#client.destroyed;
  }

  flush(): void {
    for (const lane of this.#lanes) lane.flush();
  }

  reset(): void {
    for (const lane of this.#lanes) lane.close();
    this.#client.resetAndDestroy();
    this.#upstream?.resetAndDestroy();
  }
}

type Item =
  | { readonly kind: "bytes"; readonly chunk: Buffer; readonly dueAtMs: number }
  | { readonly kind: "end" | "reset"; readonly dueAtMs: number };

interface LaneOptions {
  readonly source: Socket;
  readonly sink: Socket;
  readonly direction: Direction;
  readonly weather: Weather;
  readonly isLost: () => boolean;
}

/** One direction of one connection: a queue between two sockets. Ends queue behind bytes. */
class Lane {
  readonly #options: LaneOptions;
  readonly #queue: Item[] = [];
  #heldBytes = 0;
  #ended = false;
  #timer: Timer | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
    const { source, sink } = options;
    source.on("data", (chunk: Buffer) => {
      this.#heldBytes += chunk.length;
      if (this.#heldBytes > HELD_BYTES_MAX) source.pause();
      this.#push({ kind: "bytes", chunk, dueAtMs: this.#dueAtMs() });
    });
    source.on("end", () => {
      this.#ended = true;
      this.#push({ kind: "end", dueAtMs: this.#dueAtMs() });
    });
    source.on("close", (hadError) => {
      if (hadError || !this.#ended) this.#push({ kind: "reset", dueAtMs: this.#dueAtMs() });
    });
    // The close event follows, and says all there is to pass on.
    source.on("error", () => undefined);
    sink.on("drain", () => {
      this.flush();
    });
  }

  flush(): void {
    this.#timer?.cancel();
    for (let item = this.#queue[0]; item !== undefined; item = this.#queue[0]) {
      if (this.#held || this.#options.sink.writableNeedDrain) return;
      const waitMs = item.dueAtMs - systemClock.monotonicMs();
      if (waitMs > 0) {
        this.#timer = systemClock.setTimer(waitMs, () => {
          this.flush();
        });
        return;
      }
      this.#queue.shift();
      this.#deliver(item);
    }
  }

  close(): void {
    this.#timer?.cancel();
    this.#queue.length = 0;
    this.#ended = true;
  }

  get #held(): boolean {
    return this.#options.weather.stalled.has(this.#options.direction);
  }

  #dueAtMs(): number {
    return systemClock.monotonicMs() + this.#options.weather.delayMs;
  }

  #push(item: Item): void {
    if (this.#options.isLost()) {
      if (item.kind === "bytes") this.#heldBytes -= item.chunk.length;
      return;
    }
    this.#queue.push(item);
    this.flush();
  }

  #deliver(item: Item): void {
    const { source, sink, direction, weather } = this.#options;
    switch (item.kind) {
      case "bytes":
        this.#heldBytes -= item.chunk.length;
        if (this.#heldBytes <= HELD_BYTES_MAX) source.resume();
        if (!sink.writable) return;
        weather.bytes[direction] += item.chunk.length;
        sink.write(item.chunk);
        return;
      case "end":
        sink.end();
        return;
      case "reset":
        sink.resetAndDestroy();
        return;
    }
  }
}
