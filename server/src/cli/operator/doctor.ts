import type { Command } from "commander";

import { systemClock } from "../../base/clock.js";
import { silentLog } from "../../base/log.js";
import { type Config, ConfigError, readConfig } from "../../config.js";
import { PasswordFileError, redisCredentials } from "../../redis-credentials.js";
import { parseRedisUrl } from "../../store/redis/connection.js";
import { type Finding, inspectRedis, InspectionError } from "../../store/redis/inspect.js";
import { CertificateError } from "../../transport/certificate-files.js";
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
  const { redisUrl, namespace, redisCaPath, redisPasswordPath } = readOrRefuse();
  if (redisUrl === undefined) {
    throw new CommandError(EXIT.usage, "Set COATCHECK_REDIS_URL: without it there is no Redis");
  }
  try {
    parseRedisUrl(redisUrl);
  } catch (error) {
    throw new CommandError(EXIT.usage, error instanceof Error ? error.message : "");
  }
  try {
    return await inspectRedis({
      url: redisUrl,
      namespace,
      clock: systemClock,
      credentials: redisCredentials(
        { passwordPath: redisPasswordPath, caPath: redisCaPath },
        silentLog,
      ),
    });
  } catch (error) {
    if (error instanceof InspectionError) {
      throw new CommandError(EXIT.unavailable, error.message);
    }
    if (error instanceof PasswordFileError || error instanceof CertificateError) {
      throw new CommandError(EXIT.usage, error.message);
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
