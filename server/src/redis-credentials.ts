import type { Log } from "./base/log.js";
import { readSmallFile, UnreadableFileError } from "./base/small-file.js";
import type { RedisCredentials } from "./store/redis/connection.js";
import { CertificateError, readCertificates } from "./transport/certificate-files.js";

/** Where the credentials for Redis are. */
export interface RedisCredentialFiles {
  /** A file with the password and nothing else, but the line end that editors leave. */
  readonly passwordPath: string | undefined;
  /** Who signs the certificate of Redis, PEM. */
  readonly caPath: string | undefined;
}

/** A password that cannot be used. The message names the file and never its content. */
export class PasswordFileError extends Error {
  override readonly name = "PasswordFileError";
}

/** Redis takes longer ones, but a file of such a size is another file. */
const PASSWORD_BYTES_MAX = 1024;

/**
 * Reads the credentials, and again whenever they are asked for, which is before each
 * attempt to connect: a password or an authority is exchanged by exchanging the
 * file, and connections that are open go on (S-49). What cannot be used then leaves
 * what was read last, and says so.
 *
 * Throws a `PasswordFileError` or `CertificateError` where they cannot be used at the start.
 */
export function redisCredentials(files: RedisCredentialFiles, log: Log): () => RedisCredentials {
  let current = read(files);
  return () => {
    try {
      current = read(files);
    } catch (error) {
      const isOurs = error instanceof PasswordFileError || error instanceof CertificateError;
      const why = isOurs ? error.message : "they cannot be used";
      log.error({ why }, "the credentials for Redis stay as they were");
    }
    return current;
  };
}

function read({ passwordPath, caPath }: RedisCredentialFiles): RedisCredentials {
  return {
    password: passwordPath === undefined ? undefined : readPassword(passwordPath),
    tlsAuthority: caPath === undefined ? undefined : readCertificates(caPath),
  };
}

function readPassword(path: string): string {
  const password = readLine(path).replace(/\r?\n$/, "");
  if (password === "" || /[\r\n]/.test(password)) {
    throw new PasswordFileError(`Cannot use ${path}: it must hold one line with a password`);
  }
  return password;
}

function readLine(path: string): string {
  try {
    return readSmallFile(path, PASSWORD_BYTES_MAX).toString("utf8");
  } catch (error) {
    if (!(error instanceof UnreadableFileError)) throw error;
    throw new PasswordFileError(`Cannot use ${path}: it ${error.why}`);
  }
}
