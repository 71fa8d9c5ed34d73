import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { configurationPage } from "../../scripts/configurationPage.ts";
import { Scratch } from "../cli/yardmasterProcess.ts";
import { outputOf } from "../processOutput.ts";

const ROOT = join(import.meta.dir, "../..");
const PAGES = ["README.md", "docs/getting-started.md", "docs/executr.md", "docs/shelbycompute.md"];
const scratch = new Scratch();
let url = "";
beforeAll(async () => {
  url = (await scratch.start(["up", "--data", "data"])).url;
});
afterAll(() => scratch.dispose());

/** Command lines of the blocks marked `sh test`; `# exit code N` at a line's end says what is expected. */
function examples(page: string): { line: string; exitCode: number }[] {
  const text = readFileSync(join(ROOT, page), "utf8");
  return [...text.matchAll(/^```sh test\n(.*?)^```/gms)].flatMap(([, block = ""]) =>
    block
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) => ({ line, exitCode: Number(/# exit code (\d+)$/.exec(line)?.[1] ?? 0) })),
  );
}

describe.each(PAGES)("%s", (page) => {
  test("has examples to run", () => expect(examples(page).length).toBeGreaterThan(3));

  test.each(examples(page).map(({ line, exitCode }) => [line, exitCode] as const))(
    "%s",
    async (line, exitCode) => {
      // Readers use the default address; here every test has a server of its own.
      const child = Bun.spawn(["sh", "-c", line.replaceAll("http://127.0.0.1:8000", url)], {
        cwd: ROOT,
        env: scratch.environment({ YARDMASTER_SERVER: url, YARDMASTER_LISTEN: "127.0.0.1:0" }),
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const output = await outputOf(child);
      expect(output).toMatchObject({ exitCode });
      expect(output.stdout).not.toContain('"status":4');
    },
  );
});

describe("pages", () => {
  test("docs/configuration.md is made from the settings in force", () => {
    expect(readFileSync(join(ROOT, "docs/configuration.md"), "utf8")).toBe(configurationPage());
  });

  test.each([
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    ...new Bun.Glob("docs/*.md").scanSync({ cwd: ROOT }),
  ])("links of %s lead somewhere", async (page) => {
    const text = readFileSync(join(ROOT, page), "utf8");
    for (const [, target = ""] of text.matchAll(/\]\(([^)#]+?)(?:#[^)]*)?\)/g)) {
      if (/^https?:/.test(target)) continue;
      expect([target, await Bun.file(join(ROOT, page, "..", target)).exists()]).toEqual([target, true]);
    }
  });
});
