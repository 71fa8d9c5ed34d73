/** Jobs that fill their workspaces, and what they leave there. */
import { expect, test } from "bun:test";
import { linkSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { takesMoreThan } from "../../src/agent/workspaceWatch.ts";
import { FakeServer } from "./fakeServer.ts";
import { sandboxTest } from "./isolation/machine.ts";
import { temporaryDirectory, testAgent } from "./testAgent.ts";
import { until } from "./until.ts";

const LIMIT_MB = 20;
const KIB = 1024;
const sh = (script: string): string[] => ["sh", "-c", script];

async function fillsTheDisk(isolation: "off" | "required"): Promise<void> {
  await using server = new FakeServer();
  await using yard = await testAgent(server, { isolation, workspaceLimitMb: LIMIT_MB, cpu: 8 });
  const modest = server.add(sh("head -c 5000000 /dev/zero > file; sleep 2; cat file | wc -c"));
  // Ignores the request to end, and would go on for ever.
  const large = server.add(
    sh('trap "" TERM; echo begun; while head -c 1000000 /dev/zero >> file; do :; done'),
  );
  const many = server.add(
    sh("i=0; while :; do mkdir -p d$i/e; head -c 100000 /dev/zero > d$i/e/f; i=$((i+1)); done"),
  );
  const error = `the workspace held more than its ${LIMIT_MB} MiB (workspace-limit-mb)`;
  for (const job of [large, many]) {
    expect(await server.finished(job)).toMatchObject({ outcome: "failed", error });
  }
  expect(server.output(large)).toContain(`[yardmaster: ${error}]`);
  expect(await server.finished(modest)).toMatchObject({ outcome: "succeeded" });
  expect(server.output(modest)).toBe("5000000\n");
  const [run = ""] = readdirSync(join(yard.stateDir, "work"));
  const work = join(yard.stateDir, "work", run);
  await until(
    () => readdirSync(work).every((name) => readdirSync(join(work, name)).length === 0),
    "their workspaces are gone or empty",
  );
}

test("a job that fills its workspace fails with the limit named, at once, and others go on", () =>
  fillsTheDisk("off"));
sandboxTest("the same in a sandbox", () => fillsTheDisk("required"));

test("files count by their space on disk: links not, files of several names once, holes not", async () => {
  using directory = temporaryDirectory();
  const inside = (name: string): string => join(directory.path, name);
  writeFileSync(inside("elsewhere"), new Uint8Array(900 * KIB));
  mkdirSync(inside("w"));
  writeFileSync(inside("w/file"), new Uint8Array(400 * KIB));
  linkSync(inside("w/file"), inside("w/again"));
  symlinkSync(inside("elsewhere"), inside("w/link"));
  symlinkSync(directory.path, inside("w/loop"));
  Bun.spawnSync(["truncate", "-s", "1G", inside("w/holes")]);
  for (let n = 0; n < 1_000; n++) writeFileSync(inside(`w/${n}`), "");
  expect(await takesMoreThan(inside("w"), 600 * KIB)).toBe(false);
  expect(await takesMoreThan(inside("w"), 300 * KIB)).toBe(true);
  expect(await takesMoreThan(inside("nothing"), 0)).toBe(false);
});
