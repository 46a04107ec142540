import type { Range, Revision, WatchRevocationsResponse } from "@coatcheck/proto";

/** What a strict client makes of a stream. Any broken promise of R3 throws. */
export class StrictReader {
  readonly applied = new Map<number, Revision>();
  /** Event ids in the order they came. */
  readonly events: string[] = [];
  readonly resets: { readonly partition: number; readonly reason: number }[] = [];
  goaways = 0;
  #isOpen = false;

  /** Applies the messages of one stream from its first. */
  readAll(messages: readonly WatchRevocationsResponse[]): this {
    for (const message of messages) this.read(message);
    return this;
  }

  read({ body }: WatchRevocationsResponse): void {
    if (body === undefined) throw new Error("A message without a body");
    if (this.#isOpen === (body.$case === "opened")) {
      throw new Error(`${body.$case} while ${this.#isOpen ? "open" : "not open"}`);
    }
    switch (body.$case) {
      case "opened":
        this.#isOpen = true;
        for (const at of body.value.position) this.applied.set(at.partition, at);
        return;
      case "reset":
        for (const at of body.value.at) {
          this.applied.set(at.partition, at);
          this.resets.push({ partition: at.partition, reason: body.value.reason });
        }
        return;
      case "goaway":
        this.goaways += 1;
        return;
      case "progress":
        for (const range of body.value.ranges) this.#cover(range);
        return;
      case "batch": {
        const before = new Map(this.applied);
        for (const range of body.value.ranges) this.#cover(range);
        for (const event of body.value.events) {
          const { revision } = event;
          if (revision === undefined) throw new Error("An event without a revision");
          const from = before.get(revision.partition);
          const through = this.applied.get(revision.partition);
          // I5, I7: never at or before what was covered already, and always inside the range.
          if (from !== undefined && compare(revision, from) <= 0) {
            throw new Error(`Event ${event.eventId} came again or out of order`);
          }
          if (through === undefined || compare(revision, through) > 0) {
            throw new Error(`Event ${event.eventId} is outside its range`);
          }
          before.set(revision.partition, revision);
          this.events.push(event.eventId);
        }
      }
    }
  }

  // I6, I8: a range starts exactly where the one before it ended.
  #cover({ fromExclusive, through }: Range): void {
    if (fromExclusive === undefined || through === undefined) {
      throw new Error("A range without ends");
    }
    const applied = this.applied.get(through.partition);
    if (applied !== undefined && compare(applied, fromExclusive) !== 0) {
      throw new Error(
        `A gap in partition ${through.partition}: at ${applied.sequence}, range from ${fromExclusive.sequence}`,
      );
    }
    if (compare(through, fromExclusive) < 0) throw new Error("A range that goes back");
    this.applied.set(through.partition, through);
  }
}

/** Negative where `a` is before `b`. */
export function compare(a: Revision, b: Revision): number {
  const order =
    a.generation === b.generation ? a.sequence - b.sequence : a.generation - b.generation;
  return Number(order);
}
