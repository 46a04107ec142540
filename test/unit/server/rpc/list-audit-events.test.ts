import { ListAuditEventsRequest, type ListAuditEventsResponse } from "@coatcheck/proto";
import { describe, expect, it } from "vitest";

import { listAuditEvents } from "#server/rpc/list-audit-events.js";
import { PARTITION_COUNT } from "#server/session/partition.js";
import type { AuditTrail } from "#server/store/audit-trail.js";
import { MemoryAudit } from "#server/store/memory/memory-audit.js";

/** The trail of sixteen partitions, written by hand. */
class Book {
  readonly #partitions = Array.from(
    { length: PARTITION_COUNT },
    () => new MemoryAudit({ length: 100_000, retentionMs: 1e12 }),
  );

  /** Throws where the caller has gone. */
  check = (): void => undefined;

  write(partition: number, tenantId: string, atMs: number): void {
    const entry = { method: "m", caller: "c", tenantId, eventId: `${tenantId}-${atMs}` };
    this.#partitions[partition]?.append("audit", entry, atMs);
  }

  async list(pageToken = ""): Promise<ListAuditEventsResponse> {
    const trail: AuditTrail = {
      appendDenied: () => Promise.reject(new Error("nobody asked for that")),
      read: ({ partition, stream, before, limit }) =>
        Promise.resolve(this.#partitions[partition]?.read(stream, before, limit) ?? []),
    };
    const request = ListAuditEventsRequest.create({ tenantId: "acme", pageToken });
    return await listAuditEvents(trail, request, this);
  }
}

describe("a filtered page of the audit trail", () => {
  it("has what matches, where that is little", async () => {
    const book = new Book();
    book.write(0, "acme", 1);
    book.write(0, "other", 2);

    expect((await book.list()).events).toMatchObject([{ eventId: "acme-1" }]);
  });

  it("looks behind what one partition has in between, and keeps the order over all", async () => {
    const book = new Book();
    book.write(3, "acme", 0);
    for (let atMs = 1; atMs < 2_500; atMs += 1) book.write(3, "other", atMs);
    book.write(5, "acme", 100);
    book.write(5, "acme", 2_000);

    const { events, nextPageToken } = await book.list();

    expect(events.map(({ eventId }) => eventId)).toEqual(["acme-2000", "acme-100", "acme-0"]);
    expect(nextPageToken).toBe("");
  });

  it("reads a bounded number of stretches, may come empty, and says where to read on", async () => {
    const book = new Book();
    book.write(3, "acme", 0);
    for (let atMs = 1; atMs < 6_000; atMs += 1) book.write(3, "other", atMs);

    const first = await book.list();
    const second = await book.list(first.nextPageToken);

    expect(first.events).toEqual([]);
    expect(first.nextPageToken).not.toBe("");
    expect(second).toMatchObject({ events: [{ eventId: "acme-0" }], nextPageToken: "" });
  });

  it("stops reading when nobody waits for it any more", async () => {
    const book = new Book();
    for (let atMs = 1; atMs < 6_000; atMs += 1) book.write(3, "other", atMs);
    let reads = 0;
    book.check = () => {
      if (reads === 2) throw new Error("gone");
      reads += 1;
    };

    await expect(book.list()).rejects.toThrow("gone");
  });
});
