import { eventCodec } from "#server/rpc/event-codec.js";
import type { Revision } from "#server/session/revision.js";
import { RevocationHub } from "#server/watch/revocation-hub.js";
import { createTenantFilter } from "#server/watch/tenant-filter.js";
import { resolveWatchOptions, type WatchOptions } from "#server/watch/watch-options.js";
import type { WatchSink } from "#server/watch/watch-sink.js";
import { WatcherRegistry } from "#server/watch/watcher-registry.js";
import type { CloseCause } from "#server/watch/watcher-state.js";
import { type RevocationEvent, WatchRevocationsResponse } from "@coatcheck/proto";

import { ManualClock } from "../../../support/manual-clock.js";
import { ScriptedLog } from "./scripted-log.js";

/** L in these tests, in ms. */
export const MAX_STALENESS_MS = 3000;

/** A client's end of a stream, which reads when it is told to. */
export class ScriptedSink implements WatchSink {
  readonly messages: WatchRevocationsResponse[] = [];
  readonly sizes: number[] = [];
  /** Whether the transport takes messages at once. */
  reading = true;
  isRetiring = false;
  writesPending = 0;
  writesPendingMax = 0;
  #settle: ((isWritten: boolean) => void) | undefined;
  #isReleased = false;

  async write(message: Uint8Array): Promise<boolean> {
    if (this.#isReleased) return false;
    this.messages.push(WatchRevocationsResponse.decode(message));
    this.sizes.push(message.length);
    this.writesPending += 1;
    this.writesPendingMax = Math.max(this.writesPendingMax, this.writesPending);
    const isWritten = this.reading
      ? true
      : await new Promise<boolean>((resolve) => {
          this.#settle = resolve;
        });
    this.writesPending -= 1;
    return isWritten;
  }

  /** The transport takes the message under way; `reading` decides about the next. */
  take(): void {
    this.#settle?.(true);
    this.#settle = undefined;
  }

  release(): void {
    this.#isReleased = true;
    this.#settle?.(false);
  }

  get isReleased(): boolean {
    return this.#isReleased;
  }

  kinds(): string[] {
    return this.messages.map(({ body }) => body?.$case ?? "none");
  }

  events(): RevocationEvent[] {
    return this.messages.flatMap(({ body }) => (body?.$case === "batch" ? body.value.events : []));
  }

  eventIds(): string[] {
    return this.events().map(({ eventId }) => eventId);
  }
}

/** A hub with its clock, its log and its watchers. */
export class WatchBench {
  readonly clock = new ManualClock();
  readonly log: ScriptedLog;
  readonly hub: RevocationHub;
  readonly watchers: WatcherRegistry;
  /** Events and messages as the codec made them. */
  readonly encoded = { events: 0, batches: 0 };
  readonly ends: CloseCause[] = [];

  constructor(options: Partial<WatchOptions> = {}, log = new ScriptedLog()) {
    this.log = log;
    const codec: typeof eventCodec = {
      ...eventCodec,
      encodeEvent: (event) => {
        this.encoded.events += 1;
        return eventCodec.encodeEvent(event);
      },
      batch: (range, events) => {
        this.encoded.batches += 1;
        return eventCodec.batch(range, events);
      },
    };
    const environment = {
      log,
      clock: this.clock,
      codec,
      options: resolveWatchOptions({ maxStalenessMs: MAX_STALENESS_MS, ...options }),
    };
    this.hub = new RevocationHub(environment);
    this.watchers = new WatcherRegistry({ ...environment, hub: this.hub });
  }

  /** Starts following and lets the first pulls answer. */
  async start(): Promise<this> {
    this.hub.start();
    await this.pass(0);
    return this;
  }

  async pass(ms: number): Promise<void> {
    await this.clock.advanceAsync(ms);
    await this.clock.advanceAsync(0);
  }

  /** Opens a watch and lets its first message go out. */
  async open(
    options: {
      readonly position?: readonly Revision[];
      readonly tenants?: readonly string[];
      readonly reading?: boolean;
    } = {},
  ): Promise<ScriptedSink> {
    const sink = new ScriptedSink();
    sink.reading = options.reading ?? true;
    this.serve(sink, options);
    await this.pass(25);
    return sink;
  }

  serve(
    sink: WatchSink,
    {
      position = [],
      tenants,
    }: { readonly position?: readonly Revision[]; readonly tenants?: readonly string[] } = {},
  ): void {
    this.watchers
      .serve(
        {
          identity: { clientName: "test", instanceId: "1", sdkVersion: "0" },
          filter: createTenantFilter(tenants),
          position: new Map(position.map((revision) => [revision.partition, revision])),
          deploymentId: "deployment",
        },
        sink,
      )
      .then(
        (cause) => this.ends.push(cause),
        () => this.ends.push("ended"),
      );
  }
}
