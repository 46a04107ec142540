import { readFileSync } from "node:fs";

import type { Command } from "commander";

import { systemClock } from "../../base/clock.js";
import { type Config, ConfigError, readConfig } from "../../config.js";
import { type Finding, inspectRedis, InspectionError } from "../../store/redis/inspect.js";
import { CommandError, EXIT } from "./exit.js";
import type { Printer } from "./print.js";

/** `doctor`: whether a Redis can be trusted with sessions. It asks Redis, not the authority. */
export function addDoctorCommand(program: Command, printer: () => Printer): void {
  program
    .command("doctor")
    .description(
      "look at the Redis of COATCHECK_REDIS_URL: what would lose sessions or revocations",
    )
    .option("--strict", "a warning fails too")
    .action(async (options: { readonly strict?: boolean }) => {
      const findings = await inspect();
      printer().list(
        ["level", "check", "detail"],
        findings.map(({ level, check, detail }) => ({ level, check, detail })),
      );
      const failing = findings.filter(
        ({ level }) => level === "refuse" || (level === "warn" && options.strict === true),
      );
      if (failing.length > 0) {
        const names = [...new Set(failing.map(({ check }) => check))];
        throw new CommandError(EXIT.failed, `Not fit for sessions: ${names.join(", ")}`);
      }
    });
}

async function inspect(): Promise<readonly Finding[]> {
  const { redisUrl, namespace, redisCaPath } = readOrRefuse();
  if (redisUrl === undefined) {
    throw new CommandError(EXIT.usage, "Set COATCHECK_REDIS_URL: without it there is no Redis");
  }
  try {
    return await inspectRedis({
      url: redisUrl,
      namespace,
      clock: systemClock,
      tlsAuthority: redisCaPath === undefined ? undefined : readFileSync(redisCaPath),
    });
  } catch (error) {
    if (error instanceof InspectionError) {
      throw new CommandError(EXIT.unavailable, error.message);
    }
    throw error;
  }
}

function readOrRefuse(): Config {
  try {
    return readConfig();
  } catch (error) {
    if (error instanceof ConfigError) {
      throw new CommandError(EXIT.usage, error.message);
    }
    throw error;
  }
}
