import { defineConfig, type TestProjectConfiguration } from "vitest/config";

/** One project per kind of test. The folder names it. */
function project(name: string, include: string[]): TestProjectConfiguration {
  return { extends: true, test: { name, include } };
}

/** A project whose tests may `inject("redisUrl")`. Only these make the run look for a Redis. */
function redisProject(name: string, include: string[]): TestProjectConfiguration {
  const globalSetup = ["support/redis-global-setup.ts"];
  return { extends: true, test: { name, include, globalSetup } };
}

const PROJECTS = [
  project("unit", ["unit/**/*.test.ts"]),
  redisProject("contract", ["contract/**/*.test.ts"]),
  project("rpc", ["rpc/**/*.test.ts"]),
  redisProject("redis", ["redis/**/*.test.ts"]),
  redisProject("fault", ["fault/**/*.test.ts"]),
  project("tidy", ["*.test.ts"]),
];

/** Clients in other languages. They need Python and grpcurl, which `npm test` may not ask for. */
const FOREIGN_PROJECTS = [redisProject("foreign", ["foreign/**/*.test.ts"])];

export default defineConfig(({ mode }) => ({
  root: import.meta.dirname,
  cacheDir: "../node_modules/.vite",
  // Workspaces resolve to each other's sources; the others are Vite's defaults but for "module",
  // which is for bundlers and names files that Node cannot load. Only `ssr` reaches modules that
  // run in Node: `resolve.conditions` does not.
  ssr: {
    resolve: { conditions: ["@coatcheck/source", "node", "development|production"] },
  },
  test: { projects: mode === "foreign" ? FOREIGN_PROJECTS : PROJECTS },
}));
