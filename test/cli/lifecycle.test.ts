import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, Scratch } from "./yardmasterProcess.ts";

let scratch: Scratch;
beforeEach(() => {
  scratch = new Scratch();
});
afterEach(() => scratch.dispose());

/** Ids of live processes whose command line holds `text`. Linux. */
function processesWith(text: string): number[] {
  return [...new Bun.Glob("[0-9]*").scanSync({ cwd: "/proc", onlyFiles: false })]
    .map(Number)
    .filter((pid) => {
      try {
        const isZombie = /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
        return !isZombie && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text);
      } catch {
        return false;
      }
    });
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .trim()
    .split(" ")
    .filter(Boolean)
    .map(Number);
}

async function submitSleeper(url: string, marker: string): Promise<string> {
  const argv = ["submit", "--detach", "--server", url, "--", "sh", "-c", `sleep 600; : ${marker}`];
  const id = (await scratch.run(argv)).stdout.trim();
  await eventually("the job runs", () => (processesWith(marker).length > 0 ? true : null));
  return id;
}

describe("up", () => {
  test("SIGTERM puts running jobs back and ends both; the next start runs them", async () => {
    const marker = crypto.randomUUID();
    const { url, child } = await scratch.start(["up", "--data", "data", "--grace-ms", "200"]);
    const id = await submitSleeper(url, marker);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    expect(processesWith(marker)).toEqual([]);
    const { url: again } = await scratch.start(["serve", "--data", "data"]);
    const job = JSON.parse((await scratch.run(["job", id, "--json", "--server", again])).stdout);
    expect(job.state).toBe("ready");
  });

  test("kill -9 leaves neither agent nor jobs behind", async () => {
    const marker = crypto.randomUUID();
    const { url, child } = await scratch.start(["up", "--data", "data", "--grace-ms", "200"]);
    await submitSleeper(url, marker);
    const agents = childrenOf(child.pid);
    expect(agents.length).toBeGreaterThan(0);
    child.kill("SIGKILL");
    await eventually(
      "job and agent are gone",
      () =>
        processesWith(marker).length === 0 &&
        agents.every((pid) => !processesWith("--exit-with-parent").includes(pid))
          ? true
          : null,
      30_000,
    );
  });

  test("kill -9 ends an agent that runs nothing at once", async () => {
    const { url, child } = await scratch.start(["up", "--data", "data"]);
    expect((await scratch.run(["submit", "--server", url, "true"])).exitCode).toBe(0);
    const agents = childrenOf(child.pid);
    child.kill("SIGKILL");
    await eventually(
      "the agent is gone",
      () => (agents.every((pid) => !processesWith("--exit-with-parent").includes(pid)) ? true : null),
      3_000,
    );
  });

  test("an agent that crashes is started again", async () => {
    const { url, child } = await scratch.start(["up", "--data", "data"]);
    const agent = await eventually(
      "an agent",
      () => childrenOf(child.pid).find((pid) => processesWith("--exit-with-parent").includes(pid)) ?? null,
    );
    process.kill(agent, "SIGKILL");
    const ended = await scratch.run(["submit", "--server", url, "echo", "still here"]);
    expect(ended.stdout).toBe("still here\n");
  });
});

describe("an agent that does not run here with its settings", () => {
  const up = ["up", "--data", "data", "--listen", "127.0.0.1:0", "--isolation", "required"];

  test("ends `up`, which says why", async () => {
    // No bubblewrap is found, so nothing can be isolated.
    const { exitCode, stderr } = await scratch.run(up, { PATH: "/nonexistent" });
    expect(stderr).toMatch(/isolation is required, but .*bubblewrap/);
    expect(stderr).toContain(
      "no agent runs here with these settings; `yardmaster serve` starts the server alone",
    );
    expect(stderr).not.toContain("started again");
    expect(exitCode).toBe(1);
  });

  test.each([
    [["--bind-ro", "/nonexistent/data"], "--bind-ro: /nonexistent/data does not exist"],
    [["--cache-dir", "/dev/null/cache"], "--cache-dir: cannot be used: "],
  ])("a path that is of no use is named with its flag: %p", async (argv, message) => {
    const agent = await scratch.run(["agent", "--server", "http://127.0.0.1:9", ...argv]);
    expect(agent.stderr).toContain(message);
    expect(agent.exitCode).toBe(2);
    const ended = await scratch.run([...up.slice(0, 5), ...argv]);
    expect(ended.stderr).toContain(message);
    expect(ended.exitCode).toBe(1);
  });
});

describe("faults at the start", () => {
  const expectRefusal = async (argv: readonly string[], message: string | RegExp) => {
    const { exitCode, stderr } = await scratch.run(argv);
    expect(stderr).toMatch(message);
    expect(stderr.split("\n").length).toBeLessThanOrEqual(4);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(exitCode).toBe(1);
  };

  test("a port in use", async () => {
    const { url } = await scratch.start(["serve", "--data", "one"]);
    await expectRefusal(["serve", "--data", "two", "--listen", new URL(url).host], /in use/);
  });

  test("a second server on the same data folder", async () => {
    await scratch.start(["serve", "--data", "one"]);
    await expectRefusal(["serve", "--data", "one", "--listen", "127.0.0.1:0"], /in use by another/);
  });

  test("a corrupt store", async () => {
    const { child } = await scratch.start(["serve", "--data", "one"]);
    child.kill("SIGTERM");
    await child.exited;
    for (const file of new Bun.Glob("*").scanSync({ cwd: join(scratch.folder, "one") })) {
      writeFileSync(join(scratch.folder, "one", file), "this is no database ".repeat(1_000));
    }
    await expectRefusal(["serve", "--data", "one", "--listen", "127.0.0.1:0"], /yardmaster: /);
  });

  test("a data folder that is a file, or cannot be made", async () => {
    writeFileSync(join(scratch.folder, "file"), "");
    await expectRefusal(["serve", "--data", "file", "--listen", "127.0.0.1:0"], /file/);
    await expectRefusal(["serve", "--data", "/proc/nowhere", "--listen", "127.0.0.1:0"], /\/proc\/nowhere/);
  });

  test("a second agent on the same state folder", async () => {
    mkdirSync(join(scratch.folder, "state"));
    const { url } = await scratch.start(["serve", "--data", "one"]);
    scratch.spawn(["agent", "--server", url, "--state-dir", "state"]);
    await eventually("the first agent", async () =>
      (await scratch.run(["workers", "--server", url])).stdout.includes("online") ? true : null,
    );
    await expectRefusal(["agent", "--server", url, "--state-dir", "state"], /another agent/);
  });
});
