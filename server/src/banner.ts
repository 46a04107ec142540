import { styleText } from "node:util";

import { type Config, isLoopback } from "./config.js";

/** Host, port and database: nothing that could be a secret. */
const PLAIN_URL = /^redis:\/\/[A-Za-z0-9.-]+(:\d+)?(\/\d+)?$/;
const DEFAULT_NAMESPACE = "cc:";

/** What the banner is about. */
export interface BannerFacts {
  readonly address: string;
  readonly version: string;
  readonly config: Config;
  /** Whether callers are told apart. */
  readonly hasCallers: boolean;
  /** Whether the reader sees colours. */
  readonly isColoured: boolean;
}

/** What `npm start` prints: what is running, and three things to paste. */
export function formatBanner(facts: BannerFacts): string {
  const { address, version, config } = facts;
  const paint: Paint = (style, text) => (facts.isColoured ? styleText(style, text) : text);
  const store = config.redisUrl === undefined ? memoryWarning(paint) : redisLine(config, paint);
  // Every interface is no place to connect to.
  const target = address.replace(/^(0\.0\.0\.0|\[::\]):/, "127.0.0.1:");
  return [
    "",
    `${paint("bold", `Coatcheck ${version}`)} listens on ${paint("bold", address)}, ` +
      `no cache is staler than ${config.maxStalenessMs / 1000} s`,
    ...store,
    callersLine(facts, paint),
    "",
    paint("dim", "# Create a session:"),
    grpcurl({ ...facts, address: target }),
    "",
    paint("dim", "# In a service:"),
    ...sdk({ ...facts, address: target }),
    "",
    ...nextStep(config, paint),
    "",
    "",
  ].join("\n");
}

type Paint = (style: "bold" | "dim" | "yellow" | "green", text: string) => string;

function memoryWarning(paint: Paint): string[] {
  return [
    "",
    paint("yellow", "  MEMORY STORE: every session is gone when this process ends."),
    paint("yellow", "  One process, this machine only. For trying out and for tests."),
  ];
}

function redisLine(config: Config, paint: Paint): string[] {
  // The URL may carry a password, so only its kind and the keys' prefix are said.
  const kind = config.redisUrl?.split("://")[0] ?? "redis";
  return [
    paint("green", `  Sessions are kept in Redis (${kind}), keys begin with ${config.namespace}`),
  ];
}

/** Who may call, in one line: an open door is no surprise where the start said so. */
function callersLine({ config, hasCallers }: BannerFacts, paint: Paint): string {
  if (hasCallers) {
    return paint(
      "green",
      `  Only configured callers are served (${config.configurationPath ?? ""})`,
    );
  }
  return isLoopback(config.listen.host)
    ? paint("yellow", "  NO CALLERS CONFIGURED: every program on this machine may do everything.")
    : paint("yellow", "  NO CALLERS CONFIGURED: whoever reaches this address may do everything.");
}

function nextStep(config: Config, paint: Paint): string[] {
  const { redisUrl, listen, namespace } = config;
  if (redisUrl === undefined) {
    return [
      paint("dim", "# Keep sessions in Redis 7 instead, with as many replicas as you like:"),
      "COATCHECK_REDIS_URL=redis://127.0.0.1:6379 npm start",
    ];
  }
  const variables = [
    `COATCHECK_LISTEN=127.0.0.1:${listen.port === 0 ? 0 : listen.port + 1}`,
    ...(namespace === DEFAULT_NAMESPACE ? [] : [`COATCHECK_NAMESPACE=${namespace}`]),
    `COATCHECK_REDIS_URL=${PLAIN_URL.test(redisUrl) ? redisUrl : "redis://…"}`,
  ];
  return [paint("dim", "# Another replica on this machine:"), `${variables.join(" ")} npm start`];
}

function grpcurl({ address, config, hasCallers }: BannerFacts): string {
  const schema = config.reflection
    ? ""
    : "-import-path proto -proto coatcheck/v1/session_service.proto ";
  const key = hasCallers && config.tls?.clientCaPath === undefined;
  return [
    `grpcurl ${security(config)} ${schema}\\`,
    ...(key ? ['  -H "authorization: Bearer $SERVICE_KEY" \\'] : []),
    `  -d '{"tenant_id":"acme","subject":"alice"}' \\`,
    `  ${address} coatcheck.v1.SessionService/CreateSession`,
  ].join("\n");
}

function security({ tls }: Config): string {
  if (tls === undefined) return "-plaintext";
  return tls.clientCaPath === undefined
    ? "-cacert ca.pem"
    : "-cacert ca.pem -cert client.pem -key client.key";
}

function sdkCredentials({ tls }: Config): string {
  if (tls === undefined) return '"plaintext"';
  return tls.clientCaPath === undefined
    ? "{ rootCertificates }"
    : "{ rootCertificates, privateKey, certificateChain }";
}

function sdk({ address, config, hasCallers }: BannerFacts): string[] {
  const isMutual = config.tls?.clientCaPath !== undefined;
  return [
    'import { createSessionClient } from "@coatcheck/client";',
    "const sessions = createSessionClient({",
    `  target: "${address}", credentials: ${sdkCredentials(config)}, tenantId: "acme", clientName: "orders",`,
    ...(hasCallers && !isMutual ? ["  serviceKey,"] : []),
    "});",
    'const { token } = await sessions.create({ subject: "alice" });',
    "console.log((await sessions.validate(token)).kind); // valid, invalid or unavailable",
    "await sessions.close();",
  ];
}
