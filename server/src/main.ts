import { formatBanner } from "./banner.js";
import { traceOf } from "./base/error-trace.js";
import type { Log } from "./base/log.js";
import { type Config, ConfigError, readConfig } from "./config.js";
import { ConfigurationError } from "./configuration/read-file.js";
import { PasswordFileError, redisCredentials } from "./redis-credentials.js";
import { type Authority, type AuthorityOptions, createAuthority } from "./server.js";
import { createRedisStore } from "./store/redis/redis-store.js";
import { createLog } from "./telemetry/logging.js";
import { CertificateError } from "./transport/certificate-files.js";
import { SERVER_VERSION } from "./version.js";

/*
 * The process: configuration, start, banner, signals, exit code.
 *
 * 0: drained after SIGTERM or SIGINT. 1: it could not start, or met an error that
 * nobody caught. 2: the configuration is wrong. 130: a second signal cut the
 * drain short.
 */

// Without a listener Node opens a debugger to whoever can send the signal: every token that
// passes could be read there (S-30).
process.on("SIGUSR1", () => undefined);

await main();

async function main(): Promise<void> {
  const config = readOrExit();
  const log = createLog(config.logLevel);
  let authority: Authority;
  try {
    authority = await createAuthority({ ...authorityOptions(config, log), log });
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : "Cannot start"}\n`);
    process.exit(isMistake(error) ? 2 : 1);
  }
  stopOnSignals(authority, log);
  process.on("SIGHUP", () => {
    authority.reload();
  });
  process.stdout.write(
    formatBanner({
      address: authority.address,
      version: SERVER_VERSION,
      config,
      hasCallers: authority.hasCallers,
      isColoured: process.stdout.isTTY,
    }),
  );
}

function authorityOptions(config: Config, log: Log): AuthorityOptions {
  const { redisUrl, namespace } = config;
  const credentials = redisCredentials(
    { passwordPath: config.redisPasswordPath, caPath: config.redisCaPath },
    log,
  );
  return {
    listen: config.listen,
    maxStalenessMs: config.maxStalenessMs,
    reflection: config.reflection,
    metricsListen: config.metricsListen,
    dangerousPlaintext: config.dangerousPlaintext,
    tls: config.tls,
    configurationPath: config.configurationPath,
    ...(redisUrl === undefined
      ? {}
      : {
          createStore: (options) =>
            createRedisStore({
              ...options,
              url: redisUrl,
              namespace,
              credentials,
            }),
        }),
  };
}

/** Whether a start failed because of what the process was told, rather than what it met. */
function isMistake(error: unknown): boolean {
  return (
    error instanceof ConfigurationError ||
    error instanceof CertificateError ||
    error instanceof PasswordFileError ||
    error instanceof RangeError
  );
}

function readOrExit(): Config {
  try {
    return readConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
}

function stopOnSignals(authority: Authority, log: Log): void {
  let isStopping = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (isStopping) process.exit(130);
      isStopping = true;
      stop(authority, 0);
    });
  }
  // The state after an error that nobody caught is not known, so no new call may meet it. Its
  // text stays out of the log: nobody vouches for what is in it (S-44).
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (error: unknown) => {
      log.error({ event, at: traceOf(error) }, "stopping: an error was not caught");
      if (isStopping) process.exit(1);
      isStopping = true;
      stop(authority, 1);
    });
  }
}

function stop(authority: Authority, exitCode: number): void {
  authority.drain().then(
    () => process.exit(exitCode),
    () => process.exit(1),
  );
}
