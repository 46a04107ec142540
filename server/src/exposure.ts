import { isLoopback, type ListenAddress } from "./config.js";

/** What decides who can reach an authority, and what they can do there. */
export interface Exposure {
  readonly listen: ListenAddress;
  readonly storeKind: "memory" | "redis";
  readonly hasTls: boolean;
  readonly hasCallers: boolean;
  readonly dangerousPlaintext: boolean;
}

/**
 * Throws where an authority would be reached by more than this machine without
 * what that takes: a store that others can share, TLS, and callers to tell apart.
 * `dangerousPlaintext` stands for the latter two where something in front of the
 * authority sees to them (S-25).
 */
export function refuseExposure(exposure: Exposure): void {
  const { host } = exposure.listen;
  if (isLoopback(host)) {
    return;
  }
  if (exposure.storeKind === "memory") {
    throw new RangeError(`Cannot listen on ${host}: the memory store serves loopback only`);
  }
  if (!exposure.hasTls && !exposure.dangerousPlaintext) {
    throw new RangeError(`Cannot listen on ${host}: without TLS only loopback is served`);
  }
  if (!exposure.hasCallers && (exposure.hasTls || !exposure.dangerousPlaintext)) {
    throw new RangeError(
      `Cannot listen on ${host}: without a callers configuration only loopback is served`,
    );
  }
}

/** What decides who can read the metrics. */
export interface MetricsExposure {
  readonly listen: ListenAddress;
  /** Whether clients must show a certificate that was verified. */
  readonly hasClientCertificates: boolean;
  readonly dangerousPlaintext: boolean;
}

/**
 * Whether metrics are served over TLS, to clients with a certificate only. This
 * machine reads them in plaintext. Throws where others would, and nobody said that
 * something in front sees to it (S-25, S-30).
 */
export function isMetricsTls(exposure: MetricsExposure): boolean {
  const { listen, hasClientCertificates, dangerousPlaintext } = exposure;
  if (isLoopback(listen.host)) {
    return false;
  }
  if (!hasClientCertificates && !dangerousPlaintext) {
    throw new RangeError(
      `Cannot serve metrics on ${listen.host}: without certificates for clients only loopback is served`,
    );
  }
  return hasClientCertificates;
}
