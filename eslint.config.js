import vitest from "@vitest/eslint-plugin";
import { importX } from "eslint-plugin-import-x";
import { createNodeResolver } from "eslint-plugin-import-x";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

const SOURCE = ["proto/src/**/*.ts", "client/src/**/*.ts", "server/src/**/*.ts"];
const TYPESCRIPT = ["**/*.ts"];
const TESTS = ["test/**/*.ts"];

/** Where a package's declared dependencies are looked for, by the files that import them. */
const PACKAGE_DIRS = {
  "proto/**/*.ts": ["proto"],
  "client/**/*.ts": ["client"],
  "server/**/*.ts": ["server"],
  // They see everything, nothing sees them.
  "{test,bench,scripts}/**/*.{ts,mjs}": [".", "proto", "client", "server"],
};

/** Folder → the sibling folders it may import. The arrows of DESIGN.md §2, acyclic. */
const ARROWS = {
  server: {
    base: [],
    session: ["base"],
    store: ["base", "session"],
    watch: ["base", "session", "store"],
    callers: ["base"],
    transport: ["base"],
    configuration: ["base", "session", "callers"],
    rpc: ["base", "session", "store", "watch", "callers"],
    telemetry: ["base"],
  },
  client: {
    base: [],
    transport: ["base"],
    cache: ["base"],
    freshness: ["base", "cache", "transport"],
  },
};

const GRPC = "^@grpc/|^grpc-health-check$";
const WIRE = "^@bufbuild/|^@coatcheck/proto(/|$)";
const REDIS = "^ioredis(/|$)";
const CLIENT = "^@coatcheck/client(/|$)|^#client/";
const SERVER = "^@coatcheck/server(/|$)|^#server/";
const TIMERS = "^(node:)?timers(/promises)?$";

/** Folder → the packages it may not import, each with what to do instead. */
const FORBIDDEN_PACKAGES = {
  "proto/src/**/*.ts": [[`${CLIENT}|${SERVER}`, "The contract depends on nothing of ours"]],
  "client/src/**/*.ts": [
    [SERVER, "The client never imports the server"],
    [`${GRPC}|${WIRE}`, "Only client/src/transport knows grpc-js and generated types"],
    [TIMERS, "Take a Clock"],
  ],
  "client/src/transport/**/*.ts": [
    [SERVER, "The client never imports the server"],
    [TIMERS, "Take a Clock"],
  ],
  "client/src/base/**/*.ts": [["^(?!node:|\\.)", "base/ imports nothing"]],
  "server/src/**/*.ts": [
    [CLIENT, "Only server/src/cli imports the client"],
    [TIMERS, "Take a Clock"],
  ],
  "server/src/base/**/*.ts": [["^(?!node:|\\.)", "base/ imports nothing"]],
  "server/src/session/**/*.ts": [
    [
      "^(?!node:(crypto|zlib)$|\\.)",
      "session/ is pure: digests, checksums and base/ are all it may use",
    ],
  ],
  "server/src/store/**/*.ts": [
    [CLIENT, "Only server/src/cli imports the client"],
    [`${GRPC}|${WIRE}`, "Wire types stop at server/src/rpc"],
    [TIMERS, "Take a Clock"],
  ],
  "server/src/watch/**/*.ts": [
    [CLIENT, "Only server/src/cli imports the client"],
    [`${GRPC}|${WIRE}`, "Wire types stop at server/src/rpc"],
    [REDIS, "Only server/src/store/redis talks to Redis"],
    [TIMERS, "Take a Clock"],
  ],
  "server/src/rpc/**/*.ts": [
    [CLIENT, "Only server/src/cli imports the client"],
    [REDIS, "Only server/src/store/redis talks to Redis"],
    [TIMERS, "Take a Clock"],
  ],
  // The commands are the authority's own users, and hold the client as any user does.
  "server/src/cli/**/*.ts": [[REDIS, "Only server/src/store/redis talks to Redis"]],
};

/** @param {readonly (readonly string[])[]} rules */
function forbidden(rules) {
  return ["error", { patterns: rules.map(([regex, message]) => ({ regex, message })) }];
}

/** One zone per folder: it sees its own files and the folders its arrows name. */
function zones() {
  return Object.entries(ARROWS).flatMap(([workspace, arrows]) =>
    Object.entries(arrows).map(([folder, allowed]) => ({
      target: `./${workspace}/src/${folder}`,
      from: `./${workspace}/src`,
      except: [folder, ...allowed].map((name) => `./${name}`),
      message: `${folder}/ may import ${[...allowed, "its own files"].join(", ")}`,
    })),
  );
}

const CLOCK_GLOBALS = ["setTimeout", "setInterval"].map((name) => ({
  name,
  message: "Take a Clock.",
}));

const CLOCK_PROPERTIES = [
  ["Date", "now"],
  ["performance", "now"],
  ["process", "hrtime"],
].map(([object, property]) => ({ object, property, message: "Take a Clock." }));

export default defineConfig(
  globalIgnores(["**/dist/", "proto/src/gen/", "bench/results/", "test/fixtures/", ".ci/work/"]),
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  {
    files: ["**/*.{js,mjs}"],
    languageOptions: { globals: { process: "readonly", URL: "readonly" } },
  },
  {
    files: TYPESCRIPT,
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    plugins: { "import-x": importX },
    settings: {
      "import-x/resolver-next": [
        createNodeResolver({
          conditionNames: ["@coatcheck/source", "types", "import", "default"],
          extensions: [".ts", ".js", ".mjs", ".json"],
          extensionAlias: { ".js": [".ts", ".js"] },
        }),
      ],
      "import-x/parsers": { "@typescript-eslint/parser": [".ts"] },
    },
    rules: {
      // A forgotten promise here is a lost revocation.
      "@typescript-eslint/no-floating-promises": ["error", { ignoreVoid: false }],
      "@typescript-eslint/return-await": ["error", "always"],
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: false, requireDefaultForNonUnion: true },
      ],
      "@typescript-eslint/strict-boolean-expressions": [
        "error",
        { allowString: false, allowNumber: false },
      ],
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      // Numbers print the same everywhere; the rule's aim is objects.
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true },
      ],
      eqeqeq: "error",
      "func-style": ["error", "declaration", { allowTypeAnnotation: true }],
      "max-params": ["error", 3],
      "no-console": "error",
      "import-x/no-cycle": "error",
      "import-x/no-default-export": "error",
    },
  },
  ...Object.entries(PACKAGE_DIRS).map(([files, packageDir]) => ({
    files: [files],
    ignores: ["**/*.mjs"],
    rules: { "import-x/no-extraneous-dependencies": ["error", { packageDir }] },
  })),
  {
    files: SOURCE,
    rules: {
      "max-lines": ["error", { max: 350, skipBlankLines: true, skipComments: true }],
      "max-lines-per-function": ["error", { max: 70, skipBlankLines: true, skipComments: true }],
      "max-depth": ["error", 3],
      "import-x/no-restricted-paths": ["error", { basePath: import.meta.dirname, zones: zones() }],
    },
  },
  {
    files: ["server/src/**/*.ts", "client/src/**/*.ts"],
    ignores: ["*/src/base/**"],
    rules: {
      "no-restricted-globals": ["error", ...CLOCK_GLOBALS],
      "no-restricted-properties": [
        "error",
        ...CLOCK_PROPERTIES,
        { object: "Math", property: "random", message: "Take the randomness as a parameter." },
      ],
      "no-restricted-syntax": [
        "error",
        {
          selector: "NewExpression[callee.name='Date'][arguments.length=0]",
          message: "Take a Clock.",
        },
      ],
    },
  },
  ...Object.entries(FORBIDDEN_PACKAGES).map(([files, rules]) => ({
    files: [files],
    rules: { "no-restricted-imports": forbidden(rules) },
  })),
  {
    files: ["server/src/cli/**/*.ts", "bench/**/*.ts", "scripts/**/*.ts"],
    rules: { "no-console": "off" },
  },
  {
    files: TESTS,
    plugins: { vitest },
    rules: {
      "vitest/no-focused-tests": "error",
      "vitest/no-disabled-tests": "error",
    },
  },
  {
    // Vitest reads its configuration from the default export.
    files: ["test/vitest.config.ts"],
    rules: { "import-x/no-default-export": "off" },
  },
);
