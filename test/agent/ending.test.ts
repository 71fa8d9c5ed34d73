import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { testNeeding } from "../testNeeding.ts";
import { FakeServer } from "./fakeServer.ts";
import { isAlive } from "./isAlive.ts";
import { QUICK, testAgent } from "./testAgent.ts";
import { until } from "./until.ts";

const sh = (script: string): string[] => ["sh", "-c", script];

/** Prints the ids of its processes, then ignores SIGTERM in all of them. */
const STUBBORN = sh(
  'trap "" TERM; echo $$; (while :; do sleep 0.02; done) & echo $!; while :; do sleep 0.02; done',
);

const pidsIn = (output: string): number[] => output.trim().split("\n").map(Number);

test("a time limit ends the whole group, even one that ignores SIGTERM", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server);
  const job = server.add(STUBBORN, { timeoutMs: 150 });
  const result = await server.finished(job);
  expect(result).toMatchObject({ outcome: "failed", exitCode: 137 });
  expect(result.error).toBe("time limit of 150 ms reached");
  expect(server.output(job, "system")).toContain("time limit of 150 ms reached");
  const pids = pidsIn(server.output(job, "stdout"));
  expect(pids).toHaveLength(2);
  await until(() => !pids.some(isAlive), "all processes are gone");
});

test("a job that ends at SIGTERM keeps its last words", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server, { graceMs: 5_000 });
  const job = server.add(sh('trap "echo bye; exit 9" TERM; while :; do sleep 0.01; done'), {
    timeoutMs: 100,
  });
  expect(await server.finished(job)).toMatchObject({ outcome: "failed", exitCode: 9 });
  expect(server.output(job, "stdout")).toBe("bye\n");
});

test("a cancelled job is ended and nothing is reported of it", async () => {
  await using server = new FakeServer();
  await using test = await testAgent(server);
  const job = server.add(STUBBORN);
  await until(() => pidsIn(server.output(job)).length === 2, "it runs");
  job.verdict = "cancelled";
  const pids = pidsIn(server.output(job));
  await until(() => !pids.some(isAlive), "all processes are gone");
  await until(() => server.output(job, "system").includes("cancelled"), "the last words");
  await test.agent.drain();
  expect(job.resultsSeen).toBe(0);
});

test("a job whose lease is lost is ended, and neither result nor more output is sent", async () => {
  await using server = new FakeServer();
  await using test = await testAgent(server);
  const job = server.add(STUBBORN);
  await until(() => pidsIn(server.output(job)).length === 2, "it runs");
  job.verdict = "lost";
  const pids = pidsIn(server.output(job));
  await until(() => !pids.some(isAlive), "all processes are gone");
  await test.agent.drain();
  expect(job.resultsSeen).toBe(0);
  expect(server.output(job, "system")).toBe("");
});

test("what a job leaves running in its group goes with it", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server);
  const job = server.add(sh("sleep 1000 >/dev/null 2>&1 & echo $!"));
  await server.finished(job);
  const [pid] = pidsIn(server.output(job));
  await until(() => !isAlive(pid ?? 0), "the child is gone");
});

test("a daemon that holds the pipes open does not hold up the result", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server, { outputDrainMs: 100 });
  const job = server.add(sh("setsid sleep 3 & echo started"));
  const before = performance.now();
  expect(await server.finished(job)).toMatchObject({ outcome: "succeeded" });
  expect(performance.now() - before).toBeLessThan(2_000);
  expect(server.output(job)).toBe("started\n");
});

testNeeding(existsSync("/proc/self/environ") ? null : "there is no /proc")(
  "a daemon does not outlive the agent",
  async () => {
    await using server = new FakeServer();
    await using test = await testAgent(server);
    const job = server.add(sh("setsid sleep 1000 >/dev/null 2>&1 & echo $!; sleep 0.1"));
    await server.finished(job);
    const [pid = 0] = pidsIn(server.output(job));
    expect(isAlive(pid)).toBe(true);
    await test.agent.drain();
    await until(() => !isAlive(pid), "the daemon is gone");
  },
);

test("drain lets running jobs end and takes no more", async () => {
  await using server = new FakeServer();
  await using test = await testAgent(server);
  const running = server.add(sh("sleep 0.3; echo done"));
  await until(() => running.state === "running", "it runs");
  const drained = test.agent.drain();
  const later = server.add(["true"]);
  await drained;
  expect(running.results).toHaveLength(1);
  expect(server.output(running)).toBe("done\n");
  expect(later.results.filter((result) => result.outcome !== "released")).toEqual([]);
  expect(later.state).toBe("ready");
});

test("drain stops what still runs after its time limit", async () => {
  await using server = new FakeServer();
  await using test = await testAgent(server, { drainTimeoutMs: 50 });
  const job = server.add(STUBBORN);
  await until(() => pidsIn(server.output(job)).length === 2, "it runs");
  const pids = pidsIn(server.output(job));
  await test.agent.drain();
  expect(job.results).toMatchObject([{ outcome: "released" }]);
  expect(pids.some(isAlive)).toBe(false);
});

test("stop ends running jobs and gives them back", async () => {
  await using server = new FakeServer();
  await using test = await testAgent(server);
  const job = server.add(STUBBORN);
  await until(() => pidsIn(server.output(job)).length === 2, "it runs");
  const pids = pidsIn(server.output(job));
  await test.agent.stop();
  expect(job.results).toMatchObject([{ outcome: "released" }]);
  expect(job.state).toBe("ready");
  expect(pids.some(isAlive)).toBe(false);
});

test("stop ends in bounded time when the server is away", async () => {
  const server = new FakeServer();
  await using test = await testAgent(server, { flushTimeoutMs: 200 });
  const job = server.add(STUBBORN);
  await until(() => pidsIn(server.output(job)).length === 2, "it runs");
  const pids = pidsIn(server.output(job));
  await server.stop();
  const before = performance.now();
  await test.agent.stop();
  expect(performance.now() - before).toBeLessThan(3_000);
  expect(pids.some(isAlive)).toBe(false);
});

test("an agent that never reached its server ends at once", async () => {
  const server = new FakeServer();
  await server.stop();
  await using test = await testAgent(server, { flushTimeoutMs: 60_000 });
  await until(() => test.log.lines.some((line) => line.includes("cannot be reached")), "it says so");
  const before = performance.now();
  await test.agent.stop();
  expect(performance.now() - before).toBeLessThan(5_000);
});

test("a time limit holds while the server is away, and the result comes when it is back", async () => {
  await using server = new FakeServer();
  await using test = await testAgent(server);
  const job = server.add(sh("echo hello; sleep 100"), { timeoutMs: 400 });
  await until(() => job.state === "running", "it runs");
  await server.stop();
  await until(() => test.log.lines.some((line) => line.includes("cannot be reached")), "the agent notices");
  await Bun.sleep(500);
  server.start();
  expect(await server.finished(job)).toMatchObject({
    outcome: "failed",
    error: "time limit of 400 ms reached",
  });
  expect(server.output(job, "stdout")).toBe("hello\n");
  expect(test.log.lines.filter((line) => line.includes("cannot be reached"))).toHaveLength(1);
});

test("an agent that starts before its server waits for it", async () => {
  const server = new FakeServer();
  await server.stop();
  await using test = await testAgent(server);
  await until(() => test.log.lines.some((line) => line.includes("cannot be reached")), "the agent says so");
  server.start();
  await using _ = server;
  await test.agent.registered;
  expect(await server.finished(server.add(["true"]))).toMatchObject({ outcome: "succeeded" });
});

test("a job claimed ahead is given back when it cannot start soon", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server, {
    cpu: 1,
    prefetchMaxAgeMs: 100,
    prefetchMs: QUICK.prefetchMs ?? 50,
  });
  for (let i = 0; i < 30; i++) server.add(["true"]);
  const slow = server.add(sh("sleep 0.6"));
  const behind = Array.from({ length: 5 }, () => server.add(["true"]));
  await server.finished(slow);
  for (const job of behind) {
    await until(() => job.state === "succeeded", "it ran in the end");
    expect(job.results.filter((result) => result.outcome === "succeeded")).toHaveLength(1);
  }
  expect(behind.some((job) => job.results.some((result) => result.outcome === "released"))).toBe(true);
});
