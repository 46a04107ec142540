import { createHash } from "node:crypto";

/** One entry as it lies in its stream. */
export interface ChainedEntry {
  /** `<instant>-<order>`. */
  readonly id: string;
  /** Every field and value in turn, `chain` last. */
  readonly fields: readonly string[];
}

/** Where a chain does not fit. */
export interface ChainBreak {
  /** The first entry that does not follow from the one before it; "end" where the newest are missing. */
  readonly at: string;
}

/**
 * Checks a stream of the audit trail, oldest first: `lib/audit.lua` says how it is
 * chained. The first entry is taken as it is, because what was before it may have
 * been trimmed rightly. `head` is the chain that the partition's head held before the
 * stream was read; newer entries may have followed.
 *
 * What it finds: an entry that was edited, put in, or taken out from between. What
 * it cannot find: a trail that somebody with write access has chained anew.
 */
export function findChainBreak(
  entries: readonly ChainedEntry[],
  head: string | undefined,
): ChainBreak | undefined {
  let previous: string | undefined;
  for (const entry of entries) {
    const chain = entry.fields.at(-1) ?? "";
    if (previous !== undefined && chain !== chainOf(previous, entry)) {
      return { at: entry.id };
    }
    previous = chain;
  }
  const isThere = head === undefined || entries.some(({ fields }) => fields.at(-1) === head);
  return isThere ? undefined : { at: "end" };
}

function chainOf(previous: string, { id, fields }: ChainedEntry): string {
  const [at = ""] = id.split("-");
  const content = [previous, at];
  for (let position = 0; position + 3 < fields.length; position += 2) {
    const value = fields[position + 1] ?? "";
    content.push(`${fields[position] ?? ""} ${Buffer.byteLength(value)}:${value}`);
  }
  return createHash("sha1").update(content.join("\n")).digest("hex");
}
