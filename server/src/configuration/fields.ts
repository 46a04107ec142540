import { z } from "zod";

/*
 * The kinds of value in the configuration file. Each says its bound in the words
 * that the error for it ends with: "it must be …".
 */

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
// As rpc/rules.ts has it, and halves of a pair, which no request can bring.
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\ufffd\p{Cs}]/u;
const DURATION = /^(\d{1,9})(ms|s|m|h|d)$/;

/** How a whole number is bounded. */
export interface Bounds {
  readonly min: number;
  readonly max: number;
}

/** How a duration is bounded, as it would be written in the file. */
export interface DurationBounds {
  readonly min: string;
  readonly max: string;
  /** What 0 means, where 0 is allowed although it is below `min`. */
  readonly zero?: string;
}

/** A duration such as 500ms, 30s, 30m, 12h or 30d, in ms. */
export function duration({ min, max, zero }: DurationBounds): z.ZodType<number> {
  const bound = `a duration like 30s or 12h from ${min} to ${max}`;
  const error = zero === undefined ? bound : `${bound}, or 0s for ${zero}`;
  return z
    .string({ error })
    .transform(parseDuration)
    .refine(
      (ms) =>
        (ms >= parseDuration(min) && ms <= parseDuration(max)) || (zero !== undefined && ms === 0),
      { error },
    );
}

/** A whole number. */
export function whole({ min, max }: Bounds): z.ZodType<number> {
  const error = `a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

/** A name of our own: for policies and callers, which stand in logs and metrics. */
export function name(): z.ZodType<string> {
  const error = "1 to 64 of A-Z a-z 0-9 _ . -";
  return z.string({ error }).regex(/^[A-Za-z0-9_.-]{1,64}$/, { error });
}

/** A tenant's id, as requests name it. */
export function tenantId(): z.ZodType<string> {
  const error = "1 to 128 bytes of UTF-8 without control characters";
  return z
    .string({ error })
    .refine((id) => id !== "" && Buffer.byteLength(id) <= 128 && !UNPRINTABLE.test(id), { error });
}

/** Milliseconds, or NaN, which no bound admits. */
function parseDuration(text: string): number {
  const [, count, unit] = DURATION.exec(text) ?? [];
  return count === undefined || unit === undefined ? NaN : Number(count) * (UNIT_MS[unit] ?? NaN);
}
