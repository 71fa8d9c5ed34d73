import { afterEach, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { processesIn } from "../../src/agent/leftovers.ts";
import { Workspaces } from "../../src/agent/workspaces.ts";
import { asNobody, otherUserTest } from "./isolation/machine.ts";
import { temporaryDirectory } from "./testAgent.ts";

const log = { info() {}, warn() {}, error() {} };
const WATCHDOG = resolve(import.meta.dir, "../../src/agent/watchdog.ts");
/** An agent that has a watchdog and nothing else. */
const AGENT = `
  import { startWatchdog } from ${JSON.stringify(WATCHDOG)};
  startWatchdog("00000000-0000-0000-0000-000000000001", 300, process.argv.at(-1));
  setInterval(() => {}, 1_000);
  console.log("up");
`;
const folder = realpathSync(mkdtempSync(join(tmpdir(), "yardmaster-work-")));

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("the watchdog of a killed run ends that run's jobs and leaves those of the next alone", async () => {
  const before = new Workspaces(folder, "run-1", log);
  const left = Bun.spawn(["sh", "-c", 'trap "" TERM; while true; do sleep 1; done'], { cwd: before.take() });
  const agent = Bun.spawn([process.execPath, "-e", AGENT, before.root], { stdout: "pipe" });
  await agent.stdout.getReader().read();

  const next = new Workspaces(folder, "run-2", log);
  expect(existsSync(before.root)).toBe(false);
  const job = Bun.spawn(["sleep", "30"], { cwd: next.take() });
  expect(processesIn(next.root)).toEqual([job.pid]);
  expect(processesIn(before.root)).toContain(left.pid);

  agent.kill("SIGKILL");
  await left.exited;
  expect(left.signalCode).toBe("SIGKILL");
  expect(job.exitCode).toBeNull();
  job.kill();
  await job.exited;
});

otherUserTest(
  "folders that a job closed to itself are removed, also when only the next run finds them",
  () => {
    using directory = temporaryDirectory();
    chmodSync(directory.path, 0o777);
    const script = `
    import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
    import { Workspaces } from ${JSON.stringify(resolve(import.meta.dir, "../../src/agent/workspaces.ts"))};
    const log = { info() {}, warn: console.log, error: console.log };
    const folder = process.argv.at(-1);
    function closed(workspace) {
      mkdirSync(workspace + "/cache/module", { recursive: true });
      writeFileSync(workspace + "/cache/module/file", "");
      chmodSync(workspace + "/cache/module", 0o500);
      chmodSync(workspace + "/cache", 0);
      return workspace;
    }
    const workspaces = new Workspaces(folder, "run-1", log);
    const given = closed(workspaces.take());
    workspaces.giveBack(given);
    await workspaces.settled();
    console.log(existsSync(given));
    const left = closed(new Workspaces(folder, "run-2", log).take());
    new Workspaces(folder, "run-3", log);
    console.log(existsSync(left));
  `;
    const argv = asNobody([process.execPath, "-e", script, join(directory.path, "work")]);
    const { stdout, stderr } = Bun.spawnSync(argv, { stderr: "pipe" });
    expect([stdout.toString(), stderr.toString()]).toEqual(["false\nfalse\n", ""]);
  },
);
