import type { Log } from "./base/log.js";
import type { ListenAddress } from "./config.js";
import { isMetricsTls } from "./exposure.js";
import { createMetricsSource, type MeasuredParts } from "./metrics-source.js";
import { createMetrics } from "./telemetry/metrics.js";
import { type MetricsServer, startMetricsServer } from "./telemetry/metrics-server.js";
import type { CertificateFiles, TlsFiles } from "./transport/certificate-files.js";
import { followCertificates } from "./transport/follow-certificates.js";

/** What decides where metrics are served, and to whom. */
export interface MetricsOptions {
  readonly metricsListen?: ListenAddress | undefined;
  readonly tls?: TlsFiles | undefined;
  readonly dangerousPlaintext?: boolean;
}

/**
 * Serves the metrics of an authority where it was asked to. Rejects where that
 * would show them to strangers.
 */
export async function serveMetrics(
  parts: MeasuredParts & { readonly log: Log },
  options: MetricsOptions,
  certificates: CertificateFiles | undefined,
): Promise<MetricsServer | undefined> {
  const { metricsListen: listen, tls, dangerousPlaintext = false } = options;
  if (listen === undefined) {
    return undefined;
  }
  const hasClientCertificates = tls?.clientCaPath !== undefined;
  const isTls = isMetricsTls({ listen, hasClientCertificates, dangerousPlaintext });
  return await startMetricsServer({
    metrics: createMetrics(createMetricsSource(parts)),
    listen,
    log: parts.log,
    followCertificates:
      certificates !== undefined && isTls
        ? (apply) => followCertificates(certificates, apply)
        : undefined,
  });
}
