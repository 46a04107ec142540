import { defineConfig, type TestProjectConfiguration } from "vitest/config";

/** One project per kind of test. The folder names it. */
function project(name: string, include: string[]): TestProjectConfiguration {
  return { extends: true, test: { name, include } };
}

export default defineConfig({
  root: import.meta.dirname,
  // Workspaces resolve to each other's sources; the others are Vite's defaults. Only `ssr`
  // reaches modules that run in Node: `resolve.conditions` does not.
  ssr: {
    resolve: { conditions: ["@coatcheck/source", "module", "node", "development|production"] },
  },
  test: {
    projects: [
      project("unit", ["unit/**/*.test.ts"]),
      project("contract", ["contract/**/*.test.ts"]),
      project("rpc", ["rpc/**/*.test.ts"]),
      project("redis", ["redis/**/*.test.ts"]),
      project("fault", ["fault/**/*.test.ts"]),
      project("tidy", ["*.test.ts"]),
    ],
  },
});
