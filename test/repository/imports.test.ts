import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { checkImports } from "../../scripts/importRules.ts";

const messages = (file: string, source: string): string[] =>
  checkImports(file, source).map((violation) => `${violation.line}: ${violation.message}`);

describe("the direction of imports", () => {
  test("the repository follows it", () => {
    const run = Bun.spawnSync([process.execPath, join(import.meta.dir, "../../scripts/check-imports.ts")]);
    expect(run.stderr.toString()).toBe("");
    expect(run.exitCode).toBe(0);
  });

  test("domain imports nothing, not even types or the runtime", () => {
    expect(messages("src/domain/a.ts", 'import type { Job } from "./job.ts";')).toEqual([]);
    expect(messages("src/domain/a.ts", 'import type { E } from "../engine/engine.ts";')).toEqual([
      '1: domain may import no other room, found "src/engine/engine.ts"',
    ]);
    expect(messages("src/domain/a.ts", '\nimport { readFileSync } from "node:fs";')).toEqual([
      '2: domain may import nothing from outside, found "node:fs"',
    ]);
  });

  test("engine may use the store, the store not the engine", () => {
    expect(messages("src/engine/a.ts", 'import { S } from "../store/store.ts";')).toEqual([]);
    expect(messages("src/store/sqlite/a.ts", 'export * from "../../engine/engine.ts";')).toHaveLength(1);
    expect(messages("src/store/a.ts", 'const e = await import("../engine/engine.ts");')).toHaveLength(1);
  });

  test("the agent reaches a server only through the SDK's name", () => {
    expect(messages("src/agent/a.ts", 'import { YardmasterClient } from "@yardmaster/client";')).toEqual([]);
    expect(messages("src/agent/a.ts", 'import { s } from "../server/startServer.ts";')).toHaveLength(1);
    expect(
      messages("src/agent/a.ts", 'import { c } from "../../clients/typescript/src/index.ts";'),
    ).toHaveLength(1);
    expect(
      messages("src/engine/a.ts", 'import { YardmasterClient } from "@yardmaster/client";'),
    ).toHaveLength(1);
  });

  test("the command line uses the entry points of server and agent alone", () => {
    expect(
      messages("src/cli/commands/serve.ts", 'import { startServer } from "../../server/startServer.ts";'),
    ).toEqual([]);
    expect(messages("src/cli/commands/serve.ts", 'import { x } from "../../server/limits.ts";')).toHaveLength(
      1,
    );
    expect(messages("src/cli/a.ts", 'import { s } from "../store/sqlite/sqliteStore.ts";')).toHaveLength(1);
  });

  test("the SDK imports nothing outside its folder", () => {
    expect(messages("clients/typescript/src/a.ts", 'import type { Job } from "./types.ts";')).toEqual([]);
    expect(
      messages("clients/typescript/src/a.ts", 'import { x } from "../../../src/domain/job.ts";'),
    ).toHaveLength(1);
    expect(messages("clients/typescript/src/a.ts", 'import { z } from "zod";')).toHaveLength(1);
  });

  test("several lines, missing endings and comments are read right", () => {
    const source =
      '/** import { a } from "../engine/engine.ts" */\nimport {\n  b,\n} from "../engine/engine.ts";\n';
    expect(messages("src/domain/a.ts", source)).toEqual([
      '4: domain may import no other room, found "src/engine/engine.ts"',
    ]);
    expect(messages("src/domain/a.ts", 'import { a } from "./job";')).toEqual([
      '1: "./job" needs its file ending',
    ]);
  });
});
