import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closingLine, readSummary, skipLines, type TestSummary } from "../../scripts/testSummary.ts";

const folder = mkdtempSync(join(tmpdir(), "yardmaster-summary-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function summaryOf(files: Record<string, string>): string {
  return closingLine(readFiles(files));
}

function readFiles(files: Record<string, string>): TestSummary {
  const run = mkdtempSync(join(folder, "run-"));
  for (const [name, source] of Object.entries(files)) writeFileSync(join(run, name), source);
  const result = Bun.spawnSync([process.execPath, "test"], { cwd: run, stderr: "pipe", stdout: "ignore" });
  return readSummary(result.stderr.toString(), result.exitCode);
}

const PASSING = 'import { test } from "bun:test"; test("a", () => {});';

describe("the closing line of the test command", () => {
  test("counts passed, failed and skipped tests", () => {
    const source = `${PASSING} test.skip("b", () => {}); test.todo("c"); test("d", () => { throw new Error("x"); });`;
    expect(summaryOf({ "a.test.ts": source })).toBe("1 passed, 1 failed, 2 skipped");
    expect(summaryOf({ "a.test.ts": PASSING })).toBe("1 passed, 0 failed");
  });

  test("is preceded by why tests were skipped", () => {
    const source = `import { test } from "bun:test"; import { testNeeding } from "${join(import.meta.dir, "../testNeeding.ts")}";
      for (const name of ["a", "b"]) testNeeding("no (such) tool")(name, () => {}); test.todo("c"); testNeeding(null)("d", () => {});`;
    const summary = readFiles({ "a.test.ts": source });
    expect(closingLine(summary)).toBe("1 passed, 0 failed, 3 skipped");
    expect(skipLines(summary)).toEqual([
      "  2 skipped: not on this machine: no (such) tool",
      "  1 skipped: c",
    ]);
  });

  test("a file that cannot be loaded is a failure", () => {
    expect(summaryOf({ "a.test.ts": PASSING, "b.test.ts": 'import "./missing.ts";' })).toBe(
      "1 passed, 1 failed",
    );
  });

  test("a run that ends before its summary is a failure", () => {
    expect(summaryOf({ "a.test.ts": `${PASSING} process.exit(0);` })).toContain("1 failed");
    expect(closingLine(readSummary("", 137))).toBe("0 passed, 1 failed");
  });
});
