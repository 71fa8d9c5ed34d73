import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { eventually, Scratch } from "./yardmasterProcess.ts";

const scratch = new Scratch();
let env: Record<string, string> = {};
beforeAll(async () => {
  const { url } = await scratch.start(["up", "--data", "data", "--cpu", "2"]);
  env = { YARDMASTER_SERVER: url };
});
afterAll(() => scratch.dispose());
const run = (...argv: string[]) => scratch.run(argv, env);

describe("submit", () => {
  test("shows the job's output on its own streams and ends with its exit code", async () => {
    const ended = await run("submit", "--", "sh", "-c", "echo hello; echo oops >&2; exit 3");
    expect(ended.stdout).toBe("hello\n");
    expect(ended.stderr).toContain("oops\n");
    expect(ended.stderr).toMatch(/job \d+ queued/);
    expect(ended.exitCode).toBe(3);
  });

  test("shows output while the job runs", async () => {
    const child = scratch.spawn(
      ["submit", "--", "sh", "-c", "echo first; while [ ! -e go ]; do sleep 0.05; done; echo last"],
      env,
    );
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    expect(new TextDecoder().decode(value)).toBe("first\n");
    expect(child.exitCode).toBeNull();
    // Its output may be there before the word that it was started.
    const held = await run("jobs", "--json", "--state", "leased", "--state", "running");
    const jobs = JSON.parse(held.stdout);
    expect(jobs.items).toHaveLength(1);
    await run("cancel", String(jobs.items[0].id));
    expect(await child.exited).toBe(130);
  });

  test("--wait is quiet and prints how it ended", async () => {
    const ended = await run("submit", "--wait", "--", "sh", "-c", "echo hello; exit 4");
    expect(ended.stdout).toMatch(/^job \d+ failed after .*exit code 4\n$/);
    expect(ended.exitCode).toBe(4);
  });

  test("--detach prints the id; logs and job find it", async () => {
    const id = (
      await run("submit", "--detach", "--name", "greeter", "--label", "team=ml", "echo", "-n", "hi")
    ).stdout.trim();
    expect(id).toMatch(/^\d+$/);
    expect((await run("logs", id, "--follow")).stdout).toBe("hi");
    const job = JSON.parse((await run("job", id, "--json")).stdout);
    expect(job).toMatchObject({
      name: "greeter",
      labels: { team: "ml" },
      spec: { argv: ["echo", "-n", "hi"] },
    });
    expect((await run("jobs", "--label", "team=ml")).stdout).toContain("greeter");
    expect((await run("job", id)).stdout).toContain("echo -n hi");
  });

  test("--json gives the job; with --wait the final one, its output apart", async () => {
    expect(JSON.parse((await run("submit", "--json", "true")).stdout).attempt).toBe(0);
    const ended = await run("submit", "--json", "--follow", "echo", "out");
    expect(JSON.parse(ended.stdout).state).toBe("succeeded");
    expect(ended.stderr).toContain("out\n");
  });

  test("a program that is missing fails like in a shell", async () => {
    const ended = await run("submit", "no-such-program");
    expect(ended.exitCode).toBe(127);
    expect(ended.stderr).toContain("no-such-program");
  });

  test("environment, time limit and idempotency key reach the job", async () => {
    expect((await run("submit", "--env", "WHO=you", "--", "sh", "-c", "echo $WHO")).stdout).toBe("you\n");
    const limited = await run("submit", "--timeout", "300ms", "sleep", "30");
    expect(limited.exitCode).not.toBe(0);
    const first = await run("submit", "--detach", "--key", "once", "true");
    expect((await run("submit", "--detach", "--key", "once", "true")).stdout).toBe(first.stdout);
  });

  test("says why a job does not start, and that a blocked one will not", async () => {
    const child = scratch.spawn(["submit", "--cpu", "64", "true"], env);
    const decoder = new TextDecoder();
    let told = "";
    // Not `for await`: leaving it would close the pipe that the command still writes to.
    const reader = child.stderr.getReader();
    while (!told.includes("largest online"))
      told += decoder.decode((await reader.read()).value, { stream: true });
    expect(told).toContain("needs 64 cpu; largest online agent has 2");
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    const id = /job (\d+)/.exec(told)?.[1] ?? "";
    expect(JSON.parse((await run("job", id, "--json")).stdout).state).toBe("ready");
    await run("cancel", id);

    const failed = (await run("submit", "--json", "--wait", "false")).stdout;
    const blocked = await run("submit", "--depends-on", String(JSON.parse(failed).id), "true");
    expect(blocked.exitCode).toBe(1);
    expect(blocked.stderr).toContain("blocked");
  });
});

describe("other commands", () => {
  test("cancel, retry and delete change jobs and refuse what cannot be", async () => {
    const id = (await run("submit", "--detach", "sleep", "60")).stdout.trim();
    expect((await run("cancel", id, "--reason", "enough")).stderr).toContain("cancelled");
    const again = await run("cancel", id);
    expect(again.exitCode).toBe(1);
    expect(again.stderr).toContain("cancelled");
    expect(JSON.parse((await run("retry", id, "--json")).stdout).id).toBe(Number(id));
    await run("cancel", id);
    await eventually("the job can be deleted", async () =>
      (await run("delete", id)).exitCode === 0 ? true : null,
    );
    const failed = JSON.parse((await run("submit", "--json", "--wait", "false")).stdout);
    const deleted = await run("delete", failed.key, "--json");
    expect([deleted.exitCode, JSON.parse(deleted.stdout)]).toEqual([0, { deleted: failed.key }]);
    const gone = await run("job", id);
    expect(gone.exitCode).toBe(1);
    expect(gone.stderr).toContain("no job");
  });

  test("a task is created, found by its name, and run with parameters", async () => {
    const project = (await run("projects", "--create", "demo")).stdout.trim();
    await run("tasks", "--create", "greet", "--template", "echo {greeting} {n}", "--project", project);
    const ended = await run(
      "submit",
      "--task",
      "greet",
      "--project",
      "demo",
      "-p",
      "greeting=hello world",
      "-p",
      "n:=3",
    );
    expect(ended.stdout).toBe("hello world 3\n");
    expect((await run("tasks")).stdout).toContain("echo {greeting} {n}");
    expect((await run("submit", "--task", "nope")).stderr).toContain('nothing is named "nope"');
  });

  test("workers and queues list what there is, --json as the API has it", async () => {
    const workers = JSON.parse((await run("workers", "--json")).stdout);
    expect(workers).toHaveLength(1);
    expect(workers[0]).toMatchObject({ state: "online", capacity: { cpu: 2 } });
    expect((await run("workers")).stdout).toContain("online");
    expect((await run("queues")).stdout).toContain("default");
  });

  test("logs --tail and --stream choose a part", async () => {
    const id = (await run("submit", "--json", "--wait", "sh", "-c", "seq 5; echo e >&2")).stdout;
    const ref = String(JSON.parse(id).id);
    expect((await run("logs", ref, "--tail", "2", "--stream", "stdout")).stdout).toBe("4\n5\n");
    expect((await run("logs", ref, "--stream", "stderr")).stderr).toBe("e\n");
    expect((await run("logs", ref)).stdout).toBe("1\n2\n3\n4\n5\n");
  });

  test("a reader that goes away ends the command without a stack", async () => {
    const id = JSON.parse((await run("submit", "--json", "--wait", "seq", "200000")).stdout).id;
    const shell = Bun.spawnSync(
      [
        "sh",
        "-c",
        `"$0" "$1" logs ${id} | head -n 1`,
        process.execPath,
        `${import.meta.dir}/../../src/cli/main.ts`,
      ],
      { env: scratch.environment(env) },
    );
    expect(shell.stdout.toString()).toBe("1\n");
    expect(shell.stderr.toString()).toBe("");
  });

  test("a terminal of any width gets colours and the right exit code", async () => {
    for (const cols of [0, 80]) {
      let shown = "";
      const child = Bun.spawn(
        [
          process.execPath,
          `${import.meta.dir}/../../src/cli/main.ts`,
          "submit",
          "--",
          "sh",
          "-c",
          "sleep 1.3; echo one; exit 3",
        ],
        {
          env: { ...scratch.environment(env), NO_COLOR: "", TERM: "xterm" },
          terminal: {
            cols,
            rows: 24,
            data: (_terminal, bytes) => {
              shown += new TextDecoder().decode(bytes);
            },
          },
        },
      );
      expect(await child.exited).toBe(3);
      // The sign of life is wiped before the job's own lines.
      await eventually("the last line", () => (shown.includes("exit code 3") ? true : null));
      expect(shown).toMatch(/job \d+: (running|ready|leased) \(1s\)/);
      expect(shown).toContain("\x1b[2Kone\r\n");
      expect(shown).toContain("\x1b[90mjob ");
    }
  });

  test("doctor finds the server", async () => {
    const { stdout } = await run("doctor", "--json", "--listen", "127.0.0.1:0");
    const findings: { check: string; verdict: string }[] = JSON.parse(stdout);
    expect(findings.find(({ check }) => check === "server")?.verdict).toBe("ok");
    expect(findings.find(({ check }) => check === "clock")?.verdict).toBe("ok");
  });
});
