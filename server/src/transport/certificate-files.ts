import { X509Certificate } from "node:crypto";
import tls from "node:tls";

import { experimental, type ServerCredentials } from "@grpc/grpc-js";

import { systemClock } from "../base/clock.js";
import { type FileWatch, watchFiles } from "../base/file-watch.js";
import type { Log } from "../base/log.js";
import { readSmallFile, UnreadableFileError } from "../base/small-file.js";

/*
 * The authority's certificates, read from files and read again when they change.
 *
 * grpc-js has a provider that does this, but it hands on whatever it finds: a
 * certificate whose key is not written yet, or a file that is gone for a moment,
 * takes the listener down. Here a set is handed on only when it is whole and fits
 * together; until then the old one goes on. Connections keep the certificates
 * they began with and end at their greatest age.
 */

/** Where the certificates are, in PEM. */
export interface TlsFiles {
  /** The authority's certificate, then those between it and its issuer's root. */
  readonly certPath: string;
  readonly keyPath: string;
  /** Who signs the certificates of clients. Given, every client must bring one. */
  readonly clientCaPath?: string | undefined;
}

/** Certificates that fit together. */
interface CertificateSet {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer | undefined;
}

/** A set that cannot be used. The message names the file and never its content. */
export class CertificateError extends Error {
  override readonly name = "CertificateError";
}

type CaListener = experimental.CaCertificateUpdateListener;
type IdentityListener = experimental.IdentityCertificateUpdateListener;

/** How often the files are looked at. */
const LOOK_MS = 1000;

/** A bundle of every public authority there is has a quarter of it. */
const PEM_BYTES_MAX = 1024 * 1024;

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** The certificates in use, as grpc-js asks for them. */
export class CertificateFiles implements experimental.CertificateProvider {
  readonly #files: TlsFiles;
  readonly #log: Log;
  readonly #caListeners = new Set<CaListener>();
  readonly #identityListeners = new Set<IdentityListener>();
  #current: CertificateSet;
  #watch: FileWatch | undefined;

  /** Reads the files. Throws a `CertificateError` where they cannot be used. */
  constructor(files: TlsFiles, log: Log) {
    this.#files = files;
    this.#log = log;
    this.#current = readSet(files);
    // A process may have been told otherwise by NODE_OPTIONS (S-25).
    tls.DEFAULT_MIN_VERSION = "TLSv1.2";
    tls.DEFAULT_MAX_VERSION = "TLSv1.3";
  }

  /** Credentials that always present and trust what was read last. */
  get credentials(): ServerCredentials {
    const isMutual = this.#files.clientCaPath !== undefined;
    // The types of grpc-js 1.14 name the two providers the other way round than it takes them:
    // the first is asked for the identity. The one provider stands for both.
    return experimental.createCertificateProviderServerCredentials(
      this,
      isMutual ? this : null,
      isMutual,
    );
  }

  /** Follows the files from now on. */
  start(): void {
    const { certPath, keyPath, clientCaPath } = this.#files;
    const paths = [certPath, keyPath, ...(clientCaPath === undefined ? [] : [clientCaPath])];
    this.#watch ??= watchFiles(paths, LOOK_MS, () => {
      this.reload();
    });
    // They may have changed since they were read.
    this.reload();
  }

  /** Follows them no more. */
  stop(): void {
    this.#watch?.stop();
  }

  /** Reads the files again. Never throws: what cannot be used leaves the old certificates. */
  reload(): void {
    try {
      const next = readSet(this.#files);
      if (isSame(next, this.#current)) return;
      this.#current = next;
      for (const listener of this.#identityListeners) listener(identityOf(next));
      for (const listener of this.#caListeners) listener(caOf(next));
      this.#log.info({ path: this.#files.certPath }, "the certificates were reloaded");
    } catch (error) {
      const why = error instanceof CertificateError ? error.message : "they cannot be used";
      this.#log.error({ why }, "the certificates stay as they were: the files were refused");
    }
  }

  addCaCertificateListener(listener: CaListener): void {
    this.#caListeners.add(listener);
    // Not at once: grpc-js has not noted yet whom it would tell.
    process.nextTick(() => {
      listener(caOf(this.#current));
    });
  }

  removeCaCertificateListener(listener: CaListener): void {
    this.#caListeners.delete(listener);
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.#identityListeners.add(listener);
    process.nextTick(() => {
      listener(identityOf(this.#current));
    });
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.#identityListeners.delete(listener);
  }
}

function identityOf({ cert, key }: CertificateSet): experimental.IdentityCertificateUpdate {
  return { certificate: cert, privateKey: key };
}

function caOf({ ca }: CertificateSet): experimental.CaCertificateUpdate | null {
  return ca === undefined ? null : { caCertificate: ca };
}

function readSet({ certPath, keyPath, clientCaPath }: TlsFiles): CertificateSet {
  const cert = readCertificates(certPath);
  const key = readPem(keyPath, "PRIVATE KEY");
  const ca = clientCaPath === undefined ? undefined : readCertificates(clientCaPath);
  try {
    // Throws where the key is another certificate's.
    tls.createSecureContext({ cert, key, ca });
  } catch {
    throw new CertificateError(
      `Cannot use ${certPath} with ${keyPath}: they must be a certificate and its own key`,
    );
  }
  refuseExpired(cert, certPath);
  return { cert, key, ca };
}

/**
 * Nobody would accept it. One that is not valid yet is not refused: clocks differ, and
 * nothing would have the file read again when its time has come.
 */
function refuseExpired(cert: Buffer, path: string): void {
  const { validTo } = new X509Certificate(cert);
  if (Date.parse(validTo) <= systemClock.wallMs()) {
    throw new CertificateError(`Cannot use ${path}: its certificate expired at ${validTo}`);
  }
}

/**
 * Reads one or more certificates in PEM. Throws a `CertificateError` where there is none,
 * and where one of them cannot be read: Node would go on with those before it, without an
 * error, and turn away whoever the others vouch for.
 */
export function readCertificates(path: string): Buffer {
  const pem = readPem(path, "CERTIFICATE");
  const text = pem.toString("latin1");
  const found = text.match(CERTIFICATE) ?? [];
  const begun = text.split("BEGIN CERTIFICATE").length - 1;
  if (found.length < begun || !found.every(isCertificate)) {
    throw new CertificateError(
      `Cannot use ${path}: of its ${begun} certificates not every one can be read`,
    );
  }
  return pem;
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

function readPem(path: string, label: string): Buffer {
  let pem: Buffer;
  try {
    pem = readSmallFile(path, PEM_BYTES_MAX);
  } catch (error) {
    if (!(error instanceof UnreadableFileError)) throw error;
    throw new CertificateError(`Cannot use ${path}: it ${error.why}`);
  }
  if (!pem.includes(`${label}-----`)) {
    throw new CertificateError(`Cannot use ${path}: it has no ${label} in PEM`);
  }
  return pem;
}

function isSame(a: CertificateSet, b: CertificateSet): boolean {
  return a.cert.equals(b.cert) && a.key.equals(b.key) && isSameCa(a.ca, b.ca);
}

function isSameCa(a: Buffer | undefined, b: Buffer | undefined): boolean {
  return a === undefined || b === undefined ? a === b : a.equals(b);
}
