/**
 * The examples of docs/whatsnext-client.md, which are those of WhatsNext's documents, in their order against one real
 * server: type-checked together, then each run as a program of its own. `// text` at the end of a `console.log` line, or
 * right below it, is what it prints.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server } from "@yardmaster/client/whatsnext";
import { Scratch } from "../cli/yardmasterProcess.ts";
import { outputOf } from "../processOutput.ts";

const ROOT = join(import.meta.dir, "../..");
const page = readFileSync(join(ROOT, "docs/whatsnext-client.md"), "utf8");
const examples = [...page.matchAll(/^## ([^\n]+)\n|^```ts test\n(.*?)^```/gms)].reduce<[string, string][]>(
  (list, [, heading, code]) => {
    if (code === undefined) list.push([heading ?? "", ""]);
    else list.push([list.at(-1)?.[0] ?? "", code]);
    return list;
  },
  [],
);
const blocks = examples
  .filter(([, code]) => code !== "")
  .map(([heading, code], index) => [`${index + 1}. ${heading}`, code] as const);

const scratch = new Scratch();
const folder = mkdtempSync(join(tmpdir(), "yardmaster-whatsnext-docs-"));
let port = 0;

beforeAll(async () => {
  const { url } = await scratch.start(["serve", "--data", "data"]);
  port = Number(new URL(url).port);
  mkdirSync(join(folder, "node_modules/@yardmaster"), { recursive: true });
  symlinkSync(join(ROOT, "clients/typescript"), join(folder, "node_modules/@yardmaster/client"));
  symlinkSync(join(ROOT, "node_modules/bun-types"), join(folder, "node_modules/bun-types"));
  // Stands for Python: notes what it was asked to run.
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "bin/python"), '#!/bin/sh\necho "$@" >> ran.txt\n');
  chmodSync(join(folder, "bin/python"), 0o755);
  for (const [index, [, code]] of blocks.entries()) {
    const local = code.replaceAll('"localhost", 8000', `"127.0.0.1", ${port}`);
    writeFileSync(join(folder, `example${index}.ts`), local);
  }
});
afterAll(async () => {
  await scratch.dispose();
  rmSync(folder, { recursive: true });
});

function expectedLines(code: string): string[] {
  return [...code.matchAll(/^ *console\.log\(.*\);(?: |\n)\/\/ (.*)$/gm)].map((match) => match[1] ?? "");
}

test("the examples have no type errors", async () => {
  const config = {
    extends: join(ROOT, "tsconfig.json"),
    compilerOptions: { typeRoots: [join(folder, "node_modules")] },
    include: ["*.ts"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  const argv = [join(ROOT, "node_modules/.bin/tsc"), "-p", join(folder, "tsconfig.json")];
  const child = Bun.spawn(argv, { cwd: folder, stdout: "pipe" });
  expect([await new Response(child.stdout).text(), await child.exited]).toEqual(["", 0]);
});

describe("examples", () => {
  test.each(blocks.map(([title, code], index) => [title, index, code] as const))(
    "%s",
    async (_title, index, code) => {
      const child = Bun.spawn([process.execPath, join(folder, `example${index}.ts`)], {
        cwd: folder,
        env: scratch.environment({ PATH: `${join(folder, "bin")}:${process.env.PATH}` }),
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const { stdout, stderr, exitCode } = await outputOf(child);
      expect({ stderr, stdout, exitCode }).toMatchObject({ stderr: "", exitCode: 0 });
      for (const line of expectedLines(code)) expect(stdout.split("\n")).toContain(line);
    },
  );

  test("left every job completed, in order of priority and age, and nobody registered", async () => {
    const server = new Server("127.0.0.1", port);
    const project = await server.getProject("my-project");
    const jobs = await project.jobs();
    expect(jobs.map(({ name, status }) => `${name} ${status}`)).toEqual([
      ...["process-data", "monday", "tuesday", "wednesday", "job-a", "job-b", "train"].map(
        (name) => `${name} COMPLETED`,
      ),
    ]);
    expect(readFileSync(join(folder, "ran.txt"), "utf8").split("\n")).toEqual([
      "process.py --day monday",
      "process.py --day tuesday",
      "process.py --day wednesday",
      "process.py --input file.csv --format json",
      "train.py",
      "train.py",
      "train.py --lr 0.01",
      "",
    ]);
    expect(await server.listClients()).toEqual([]);
    const gone = await server.listClients({ activeOnly: false });
    expect(gone.map(({ name, isActive }) => [name, isActive])).toContainEqual(["gpu-worker", false]);
  });
});
