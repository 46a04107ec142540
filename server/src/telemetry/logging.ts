import { type DestinationStream, pino } from "pino";

import type { Log } from "../base/log.js";

/** How much is logged, from everything to nothing. */
export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;

/** One of `LOG_LEVELS`. */
export type LogLevel = (typeof LOG_LEVELS)[number];

// Anything that looks like a session or a recovery token, whole or cut short, or like a SHA-256.
const SECRET = /ccr?1_[0-9A-Za-z]+|(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])/g;

// JSON leaves these as they are, and they end a line or begin a terminal's command all the same.
const CONTROL = /[\u007f-\u009f\u2028\u2029]/g;

/**
 * JSON lines on stderr: stdout belongs to the banner, which people paste from.
 *
 * Nothing here logs a token or a digest, and this is the net below it: what looks
 * like one is replaced in every line before it is written (S-46). What was given is
 * one line whatever is in it: nobody can forge a second (S-45).
 */
export function createLog(level: LogLevel, destination?: DestinationStream): Log {
  return pino(
    {
      level,
      base: { service: "coatcheck" },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      hooks: {
        streamWrite: (line) => line.replace(SECRET, "[redacted]").replace(CONTROL, escape),
      },
    },
    destination ?? pino.destination({ dest: 2, sync: true }),
  );
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
