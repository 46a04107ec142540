import { type DestinationStream, pino } from "pino";

import type { Log } from "../base/log.js";

/** How much is logged, from everything to nothing. */
export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;

/** One of `LOG_LEVELS`. */
export type LogLevel = (typeof LOG_LEVELS)[number];

// Anything that looks like a session or a recovery token, whole or cut short.
const TOKEN = /ccr?1_[0-9A-Za-z]+/g;

/**
 * JSON lines on stderr: stdout belongs to the banner, which people paste from.
 *
 * Nothing here logs a token, and this is the net below it: what looks like one
 * is replaced in every line before it is written (S-46).
 */
export function createLog(level: LogLevel, destination?: DestinationStream): Log {
  return pino(
    {
      level,
      base: { service: "coatcheck" },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: { streamWrite: (line) => line.replace(TOKEN, "[redacted]") },
    },
    destination ?? pino.destination({ dest: 2, sync: true }),
  );
}
