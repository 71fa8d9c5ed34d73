/** The library as programs use it: built and packed, under Node and Bun, with signals and in a browser bundle. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeServer } from "./fakeServer.ts";
import { until } from "./until.ts";

const ROOT = join(import.meta.dir, "../..");
const PACKAGE = join(ROOT, "clients/typescript");
let folder = "";

const PROGRAM = `
import { CLIFormatter, Client, Job, Server } from "@yardmaster/client/whatsnext";
const project = await new Server("127.0.0.1", Number(process.argv[2])).getProject("my-project");
const job = await project.appendQueue(new Job({ name: "one", task: "shell", parameters: { c: "exit 0" } }));
const formatter = new CLIFormatter({ executable: "sh", script: process.argv[3] });
const client = new Client({ entity: "team", name: "worker", project, formatter });
const count = await client.work({ runForever: process.argv[4] === "forever", pollIntervalMs: 10 });
console.log("done", job.id, count);
`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "yardmaster-whatsnext-"));
  const installed = join(folder, "node_modules/@yardmaster/client");
  await cp(join(PACKAGE, "package.json"), join(installed, "package.json"));
  await cp(join(PACKAGE, "src"), join(installed, "src"), { recursive: true });
  const tsc = join(ROOT, "node_modules/.bin/tsc");
  const config = join(PACKAGE, "tsconfig.build.json");
  const build = Bun.spawn([tsc, "-p", config, "--outDir", join(installed, "dist")], { stdout: "pipe" });
  expect([await new Response(build.stdout).text(), await build.exited]).toEqual(["", 0]);
  await writeFile(join(folder, "program.mjs"), PROGRAM);
  await writeFile(join(folder, "ok.sh"), "exit 0\n");
  await writeFile(join(folder, "slow.sh"), "echo started; sleep 0.3; exit 0\n");
  await writeFile(join(folder, "endless.sh"), "echo started; exec sleep 1000\n");
}, 60_000);
afterAll(() => rm(folder, { recursive: true }));

function start(runtime: string, port: number, script: string, mode = "once") {
  const argv = [runtime, join(folder, "program.mjs"), String(port), script, mode];
  return Bun.spawn(argv, { cwd: folder, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
}

describe.each([
  ["Node", "node"],
  ["Bun", process.execPath],
])("under %s", (_name, runtime) => {
  test("the installed package submits and runs jobs", async () => {
    await using fake = new FakeServer();
    fake.task("shell");
    const child = start(runtime, fake.port, "ok.sh");
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    expect({ stdout, stderr, exitCode: await child.exited }).toEqual({
      stdout: "done 2 1\n",
      stderr: "",
      exitCode: 0,
    });
  });

  test("SIGTERM lets the running job end, deactivates and leaves", async () => {
    await using fake = new FakeServer();
    fake.task("shell");
    const child = start(runtime, fake.port, "slow.sh", "forever");
    await until("the job runs", () => fake.reports.includes("2 RUNNING"));
    child.kill("SIGTERM");
    expect(await new Response(child.stdout).text()).toEndWith("done 2 1\n");
    expect(await child.exited).toBe(0);
    expect(fake.reports).toEqual(["2 RUNNING", "2 COMPLETED"]);
    expect(fake.seen.at(-1)?.path).toEndWith("/deactivate");
    expect(await new Response(child.stderr).text()).toBe("SIGTERM: finishing the running jobs\n");
  });

  test("a second signal ends the running job and puts it back", async () => {
    await using fake = new FakeServer();
    fake.task("shell");
    const child = start(runtime, fake.port, "endless.sh", "forever");
    await until("the job runs", () => fake.reports.includes("2 RUNNING"));
    const errors = child.stderr.getReader();
    child.kill("SIGINT");
    await errors.read();
    child.kill("SIGINT");
    expect(await child.exited).toBe(0);
    expect(fake.reports).toEqual(["2 RUNNING", "2 PENDING"]);
  });
});

test("a program in TypeScript that installed the package has its types", async () => {
  const program = `declare const process: { argv: string[] };${PROGRAM}`;
  await writeFile(join(folder, "consumer.mts"), program);
  const compilerOptions = {
    strict: true,
    module: "nodenext",
    target: "es2022",
    lib: ["es2023", "dom"],
    types: [],
  };
  const config = { compilerOptions: { ...compilerOptions, noEmit: true }, files: ["consumer.mts"] };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
  const tsc = join(ROOT, "node_modules/.bin/tsc");
  const check = Bun.spawn([tsc, "-p", join(folder, "tsconfig.json")], { cwd: folder, stdout: "pipe" });
  expect([await new Response(check.stdout).text(), await check.exited]).toEqual(["", 0]);
});

test("a bundle for browsers holds no module of the host", async () => {
  await writeFile(join(folder, "page.ts"), 'export * from "@yardmaster/client/whatsnext";\n');
  const bundle = await Bun.build({ entrypoints: [join(folder, "page.ts")], target: "browser" });
  const text = (await bundle.outputs[0]?.text()) ?? "";
  expect(bundle.success).toBe(true);
  expect(text).toContain("SlurmFormatter");
  expect(text).not.toMatch(/(?:from|import|require)\s*\(?["'](?:node:)?(?:child_process|fs|os|path)["']/);
  expect(text.length).toBeLessThan(100_000);
});
