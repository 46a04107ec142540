import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { SecureContextOptions } from "node:tls";

import { traceOf } from "../base/error-trace.js";
import type { Log } from "../base/log.js";
import type { Metrics } from "./metrics.js";

/*
 * The listener that Prometheus scrapes. It serves one path and reads nothing of a
 * request but its first line. However many ask, one scrape is under way: who comes
 * meanwhile gets the same text, so that a flood costs the store nothing (S-40).
 *
 * An error says that there was one. What it says of itself stays out of the answer
 * and out of the log: it may quote what it was given (S-44).
 */

const PATH = "/metrics";
const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Prometheus holds one connection; a few more are for people. */
const CONNECTIONS_MAX = 16;
const HEADER_BYTES_MAX = 8192;
/** A request is one packet. Who takes longer to send it holds a connection for nothing. */
const REQUEST_TIMEOUT_MS = 5000;
/** Above the usual scrape interval, so that the connection is kept. */
const KEEP_ALIVE_MS = 65_000;

/** What a listener is made of. */
export interface MetricsServerOptions {
  readonly metrics: Metrics;
  readonly listen: { readonly host: string; readonly port: number };
  readonly log: Log;
  /**
   * Hands over certificates, once and whenever they change, and returns what ends
   * that. Given, a client without a certificate that they verify is refused.
   * Undefined: plaintext.
   */
  readonly followCertificates?:
    ((apply: (certificates: SecureContextOptions) => void) => () => void) | undefined;
}

/** A running listener. */
export interface MetricsServer {
  /** `host:port`. */
  readonly address: string;
  close(): Promise<void>;
}

/** Starts to listen. Rejects where the address cannot be had. */
export async function startMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  const { metrics, listen, log } = options;
  const scrape = sharedScrape(metrics, log);
  const { server, release } = createListener(options, (request, response) => {
    answer(request, response, scrape);
  });
  server.maxConnections = CONNECTIONS_MAX;
  const port = await listenOn(server, listen);
  const name = listen.host.includes(":") ? `[${listen.host}]` : listen.host;
  return {
    address: `${name}:${port}`,
    close: async () => {
      release();
      const closed = new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
      server.closeAllConnections();
      await closed;
      await metrics.close();
    },
  };
}

const HTTP_OPTIONS = {
  maxHeaderSize: HEADER_BYTES_MAX,
  headersTimeout: REQUEST_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_MS,
};

function createListener(
  { followCertificates }: MetricsServerOptions,
  onRequest: RequestListener,
): { readonly server: Server | TlsServer; readonly release: () => void } {
  if (followCertificates === undefined) {
    return { server: createServer(HTTP_OPTIONS, onRequest), release: () => undefined };
  }
  const tls = { requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.2" } as const;
  const server = createTlsServer({ ...HTTP_OPTIONS, ...tls }, onRequest);
  const release = followCertificates((certificates) => {
    // It replaces all that was set, the version too.
    server.setSecureContext({ ...certificates, minVersion: tls.minVersion });
  });
  return { server, release };
}

type Scrape = () => Promise<string | undefined>;

/** Undefined where the metrics cannot be read. */
function sharedScrape(metrics: Metrics, log: Log): Scrape {
  let underway: Promise<string | undefined> | undefined;
  return async () => {
    underway ??= metrics
      .scrape()
      .catch((error: unknown) => {
        log.error({ at: traceOf(error) }, "the metrics cannot be read");
        return undefined;
      })
      .finally(() => {
        underway = undefined;
      });
    return await underway;
  };
}

function answer(request: IncomingMessage, response: ServerResponse, scrape: Scrape): void {
  // A body is not read: whoever sends one is no scraper.
  request.resume();
  if (request.url?.split("?", 1)[0] !== PATH) {
    response.writeHead(404).end();
    return;
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.writeHead(405, { allow: "GET, HEAD" }).end();
    return;
  }
  scrape()
    .then((text) => {
      if (text === undefined) {
        response.writeHead(500).end();
      } else {
        response.writeHead(200, { "content-type": CONTENT_TYPE }).end(text);
      }
    })
    .catch(() => {
      response.destroy();
    });
}

async function listenOn(
  server: Server | TlsServer,
  { host, port }: MetricsServerOptions["listen"],
): Promise<number> {
  return await new Promise<number>((resolve, reject) => {
    server.once("error", () => {
      reject(new Error(`Cannot serve metrics on ${host}:${port}: the address cannot be had`));
    });
    server.listen({ host, port }, () => {
      // Scrapes do not keep a process alive that is done.
      server.unref();
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}
