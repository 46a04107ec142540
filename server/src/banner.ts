import { styleText } from "node:util";

import type { Config } from "./config.js";

/** Host, port and database: nothing that could be a secret. */
const PLAIN_URL = /^redis:\/\/[A-Za-z0-9.-]+(:\d+)?(\/\d+)?$/;
const DEFAULT_NAMESPACE = "cc:";

/** What the banner is about. */
export interface BannerFacts {
  readonly address: string;
  readonly version: string;
  readonly config: Config;
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
    "",
    paint("dim", "# Create a session:"),
    grpcurl(target, config.reflection),
    "",
    paint("dim", "# In a service:"),
    ...sdk(target),
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

function grpcurl(address: string, hasReflection: boolean): string {
  const schema = hasReflection
    ? ""
    : "-import-path proto -proto coatcheck/v1/session_service.proto ";
  return [
    `grpcurl -plaintext ${schema}\\`,
    `  -d '{"tenant_id":"acme","subject":"alice"}' \\`,
    `  ${address} coatcheck.v1.SessionService/CreateSession`,
  ].join("\n");
}

function sdk(address: string): string[] {
  return [
    'import { createSessionClient } from "@coatcheck/client";',
    "const sessions = createSessionClient({",
    `  target: "${address}", credentials: "plaintext", tenantId: "acme", clientName: "orders",`,
    "});",
    'const { token } = await sessions.create({ subject: "alice" });',
    "console.log((await sessions.validate(token)).kind); // valid, invalid or unavailable",
    "await sessions.close();",
  ];
}
