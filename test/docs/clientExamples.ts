/**
 * Runs the examples of a client's page, in their order against one real server: type-checked together, then each as
 * a program of its own. `// text` at the end of a `console.log` line is what it prints.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Scratch } from "../cli/yardmasterProcess.ts";
import { outputOf } from "../processOutput.ts";

const ROOT = join(import.meta.dir, "../..");

/**
 * @param pagePath of the page, from the project's root
 * @param command that starts the server: `serve`, or `up` with an agent beside it
 */
export function describeClientExamples(pagePath: string, command: "serve" | "up"): void {
  const page = readFileSync(join(ROOT, pagePath), "utf8");
  const examples = [...page.matchAll(/^```ts test\n(.*?)^```/gms)].map(([, code = ""]) => code);
  const scratch = new Scratch();
  const folder = mkdtempSync(join(tmpdir(), "yardmaster-client-docs-"));

  beforeAll(async () => {
    const { url } = await scratch.start([command, "--data", "data"]);
    mkdirSync(join(folder, "node_modules/@yardmaster"), { recursive: true });
    symlinkSync(join(ROOT, "clients/typescript"), join(folder, "node_modules/@yardmaster/client"));
    symlinkSync(join(ROOT, "node_modules/bun-types"), join(folder, "node_modules/bun-types"));
    for (const [index, code] of examples.entries()) {
      writeFileSync(join(folder, `example${index}.ts`), code.replaceAll("http://127.0.0.1:8000", url));
    }
  });
  afterAll(async () => {
    await scratch.dispose();
    rmSync(folder, { recursive: true });
  });

  async function run(argv: string[]) {
    const env = scratch.environment();
    const child = Bun.spawn(argv, { cwd: folder, env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    return outputOf(child);
  }

  test("the examples have no type errors", async () => {
    const config = {
      extends: join(ROOT, "tsconfig.json"),
      compilerOptions: { typeRoots: [join(folder, "node_modules")] },
      include: ["*.ts"],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
    const checked = await run([join(ROOT, "node_modules/.bin/tsc"), "-p", join(folder, "tsconfig.json")]);
    expect(checked).toMatchObject({ stdout: "", exitCode: 0 });
  });

  describe("examples", () => {
    test.each(examples.map((code, index) => [index + 1, code] as const))(
      "number %d",
      async (number, code) => {
        const ended = await run([process.execPath, join(folder, `example${number - 1}.ts`)]);
        expect(ended).toMatchObject({ stderr: "", exitCode: 0 });
        const expected = [...code.matchAll(/^.*console\.log\(.*\); \/\/ (.*)$/gm)].map(
          ([, text = ""]) => text,
        );
        expect(expected.length).toBeGreaterThan(0);
        expect(ended.stdout.split("\n").filter((line) => expected.includes(line))).toEqual(expected);
      },
    );
  });
}
