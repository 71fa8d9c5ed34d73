import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { processesIn } from "../../src/agent/leftovers.ts";
import { Workspaces } from "../../src/agent/workspaces.ts";

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
