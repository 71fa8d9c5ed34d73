/** The client as programs use it: packed, installed, under Node and Bun, type-checked and in a browser bundle. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { scriptedServer } from "../sdk/scriptedServer.ts";

const ROOT = join(import.meta.dir, "../..");
const PACKAGE = join(ROOT, "clients/typescript");
const TSC = join(ROOT, "node_modules/.bin/tsc");
let folder = "";

const PROGRAM = `
import { ExecutrClient, ExecutrError, type NewJob } from "@yardmaster/client/executr";
const client = new ExecutrClient({ baseUrl: process.argv[2] });
const job: NewJob = { type: "t", binary_url: "http://host/b", binary_sha256: "0".repeat(64), priority: "background" };
const { id } = await client.submit(job);
const done = await client.wait(id, { timeoutMs: 5_000 });
const claimed = await client.claim({ executor_id: "e", executor_ip: "h" });
const refused = await client.cancel(id).catch((error: unknown) => (error instanceof ExecutrError ? error.status : 0));
console.log(id, done.exit_code, claimed, refused);
`;

async function run(argv: string[], cwd: string): Promise<string> {
  const child = Bun.spawn(argv, { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode !== 0) throw new Error(`${argv.join(" ")} ended with ${exitCode}: ${stdout}${stderr}`);
  return stdout;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "yardmaster-executr-package-"));
  // A copy, so that packing builds nothing in the checkout.
  const copy = join(folder, "clients/typescript");
  await cp(join(PACKAGE, "src"), join(copy, "src"), { recursive: true });
  await cp(join(PACKAGE, "package.json"), join(copy, "package.json"));
  await cp(join(PACKAGE, "tsconfig.build.json"), join(copy, "tsconfig.build.json"));
  await cp(join(ROOT, "tsconfig.json"), join(folder, "tsconfig.json"));
  await run([TSC, "-p", "tsconfig.build.json"], copy);
  await run(["npm", "pack", "--ignore-scripts", "--silent", "--pack-destination", folder], copy);
  const installed = join(folder, "program/node_modules/@yardmaster/client");
  await mkdir(installed, { recursive: true });
  const archive = [...new Bun.Glob("*.tgz").scanSync(folder)][0] ?? "";
  await run(["tar", "-xzf", join(folder, archive), "-C", installed, "--strip-components=1"], folder);
  const program = join(folder, "program");
  await writeFile(join(program, "program.mts"), `declare const process: { argv: string[] };\n${PROGRAM}`);
  await writeFile(join(program, "package.json"), '{"type":"module"}');
  const compilerOptions = {
    strict: true,
    module: "nodenext",
    target: "es2022",
    lib: ["es2023", "dom"],
    types: [],
  };
  const config = { compilerOptions: { ...compilerOptions, outDir: "out" }, files: ["program.mts"] };
  await writeFile(join(program, "tsconfig.json"), JSON.stringify(config));
}, 60_000);
afterAll(() => rm(folder, { recursive: true }));

test("a program in TypeScript has its types", async () => {
  expect(await run([TSC, "-p", "tsconfig.json"], join(folder, "program"))).toBe("");
});

describe.each([
  ["Node", "node"],
  ["Bun", process.execPath],
])("under %s", (_name, runtime) => {
  test("the installed package submits, waits, claims and refuses", async () => {
    await using server = scriptedServer(
      () => Response.json({ id: "ab-1", status: "pending" }, { status: 201 }),
      () => Response.json({ id: "ab-1", status: "completed", exit_code: 0 }),
      () => new Response(null, { status: 204 }),
      () => Response.json({ error: "job is completed", context: {} }, { status: 400 }),
    );
    const output = await run([runtime, "out/program.mjs", server.url], join(folder, "program"));
    expect(output).toBe("ab-1 0 null 400\n");
  });
});

test("a bundle for browsers is small and holds no module of the host", async () => {
  const page = join(folder, "program/page.ts");
  await writeFile(page, 'export * from "@yardmaster/client/executr";\n');
  const bundle = await Bun.build({ entrypoints: [page], target: "browser" });
  const text = (await bundle.outputs[0]?.text()) ?? "";
  expect(bundle.success).toBe(true);
  expect(text).toContain("/jobs/bulk/cancel");
  expect(text).not.toMatch(/(?:from|import|require)\s*\(?["'](?:node:)/);
  expect(text.length).toBeLessThan(50_000);
});
