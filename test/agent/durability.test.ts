import { expect, test } from "bun:test";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Journal } from "../../src/agent/journal.ts";
import { testNeeding } from "../testNeeding.ts";
import { FakeServer } from "./fakeServer.ts";
import { isAlive } from "./isAlive.ts";
import { agentProcess, RememberingLog, temporaryDirectory, testAgent } from "./testAgent.ts";
import { until } from "./until.ts";

const sh = (script: string): string[] => ["sh", "-c", script];
const isLinux = existsSync("/proc/self/environ");

testNeeding(isLinux ? null : "there is no /proc")(
  "kill -9 of the agent leaves none of its jobs' processes",
  async () => {
    await using server = new FakeServer();
    using directory = temporaryDirectory();
    const agent = agentProcess({ serverUrl: server.url, stateDir: directory.path });
    const plain = server.add(sh("echo $$; sleep 1000"));
    const stubborn = server.add(
      sh('trap "" TERM; setsid sleep 1000 & echo $!; echo $$; while :; do sleep 0.02; done'),
    );
    await until(
      () => server.output(plain) !== "" && server.output(stubborn).split("\n").length === 3,
      "both run",
    );
    const pids = (server.output(plain) + server.output(stubborn)).trim().split("\n").map(Number);
    expect(pids).toHaveLength(3);
    agent.kill("SIGKILL");
    await agent.exited;
    await until(() => !pids.some(isAlive), "all processes are gone", 5_000);
  },
);

test("after kill -9 the same worker reports what was cut short, and runs it again", async () => {
  await using server = new FakeServer();
  using directory = temporaryDirectory();
  const options = { serverUrl: server.url, stateDir: directory.path };
  const first = agentProcess(options);
  const job = server.add(
    sh(`if [ -e ${directory.path}/again ]; then echo done; else echo begun; sleep 1000; fi`),
  );
  await until(() => server.output(job) === "begun\n", "it runs");
  first.kill("SIGKILL");
  await first.exited;
  writeFileSync(join(directory.path, "again"), "");
  job.chunks.clear();
  const second = agentProcess(options);
  try {
    expect(await server.finished(job)).toMatchObject({ attempt: 1, outcome: "lost" });
    expect(await server.finished(job, 2)).toMatchObject({ attempt: 2, outcome: "succeeded" });
    expect(server.workers.size).toBe(1);
  } finally {
    second.kill("SIGTERM");
    await second.exited;
  }
});

test("a result and its output that could not be delivered before kill -9 are delivered after it, once", async () => {
  await using server = new FakeServer();
  using directory = temporaryDirectory();
  const options = { serverUrl: server.url, stateDir: directory.path };
  const first = agentProcess(options);
  await until(() => server.claims.length > 0, "the agent polls");
  server.refusing.add("/v1/logs").add("/v1/results");
  const small = server.add(sh("echo small; exit 4"));
  const large = server.add(sh("seq 1 100000"));
  const journal = join(directory.path, "journal.ndjson");
  await until(
    () => readFileSync(journal, "utf8").split('"finished"').length === 3,
    "both are in the journal",
  );
  first.kill("SIGKILL");
  await first.exited;
  server.refusing.clear();
  const second = agentProcess(options);
  try {
    expect(await server.finished(small)).toMatchObject({ attempt: 1, outcome: "failed", exitCode: 4 });
    expect(await server.finished(large)).toMatchObject({ attempt: 1, outcome: "succeeded" });
    expect(server.output(small)).toBe("small\n");
    expect(server.output(large)).toBe(Array.from({ length: 100_000 }, (_, i) => `${i + 1}\n`).join(""));
    second.kill("SIGTERM");
    expect(await second.exited).toBe(0);
    expect([small.resultsSeen, large.resultsSeen]).toEqual([1, 1]);
    expect(readFileSync(journal, "utf8")).toBe("");
  } finally {
    second.kill("SIGKILL");
  }
});

test("agents killed again and again under load lose no job and run none twice to its end", async () => {
  await using server = new FakeServer();
  using directory = temporaryDirectory();
  const options = { serverUrl: server.url, stateDir: directory.path };
  const jobs = Array.from({ length: 600 }, (_, i) => server.add(sh(`echo ${i}`)));
  let agent = agentProcess(options);
  for (let round = 1; round <= 5; round++) {
    await until(() => jobs.filter((job) => job.state === "succeeded").length >= round * 80, `round ${round}`);
    agent.kill("SIGKILL");
    await agent.exited;
    agent = agentProcess(options);
  }
  try {
    await until(() => jobs.every((job) => job.state === "succeeded"), "all succeed", 20_000);
    for (const [index, job] of jobs.entries()) {
      expect(job.results.filter((result) => result.outcome === "succeeded")).toHaveLength(1);
      expect(server.output(job)).toBe(`${index}\n`);
    }
  } finally {
    agent.kill("SIGTERM");
    await agent.exited;
  }
}, 40_000);

test("two agents on one state directory: the second is refused, and the first killed gives way", async () => {
  await using server = new FakeServer();
  using directory = temporaryDirectory();
  const first = agentProcess({ serverUrl: server.url, stateDir: directory.path });
  await until(() => server.workers.size === 1, "the first registers");
  await expect(testAgent(server, { stateDir: directory.path })).rejects.toThrow(
    "another agent runs with the state directory",
  );
  first.kill("SIGKILL");
  await first.exited;
  await using _ = await testAgent(server, { stateDir: directory.path });
  expect(server.workers.size).toBe(1);
});

/** The journal writes ends of jobs when the event loop's turn ends. */
const turnEnded = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

test("a torn last line of the journal costs only itself", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "journal.ndjson");
  const log = new RememberingLog();
  const first = new Journal(path, log);
  first.claimed([
    { id: 1, attempt: 1 },
    { id: 2, attempt: 3 },
    { id: 3, attempt: 1 },
  ]);
  first.started({ id: 2, attempt: 3 });
  first.finished({ id: 2, attempt: 3, outcome: "failed", exitCode: 4 }, []);
  first.done([{ id: 3, attempt: 1 }]);
  await turnEnded();
  appendFileSync(path, '{"t":"started","id":1,"att');
  const second = new Journal(path, log);
  second.started({ id: 1, attempt: 1 });
  for (const journal of [second, new Journal(path, log)]) {
    expect(journal.openAttempts()).toMatchObject([
      { id: 1, attempt: 1, stage: "started", result: null },
      { id: 2, attempt: 3, stage: "finished", result: { outcome: "failed", exitCode: 4 } },
    ]);
  }
});

test("a journal stays small however many jobs pass through it", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "journal.ndjson");
  const journal = new Journal(path, new RememberingLog());
  journal.claimed([{ id: 1, attempt: 1 }]);
  const error = "x".repeat(1_000);
  for (let id = 2; id < 15_000; id++) {
    journal.claimed([{ id, attempt: 1 }]);
    journal.started({ id, attempt: 1 });
    journal.finished({ id, attempt: 1, outcome: "failed", error }, []);
    journal.done([{ id, attempt: 1 }]);
  }
  await turnEnded();
  expect(Bun.file(path).size).toBeLessThan(9 * 1024 * 1024);
  expect(new Journal(path, new RememberingLog()).openAttempts()).toMatchObject([{ id: 1, stage: "claimed" }]);
  journal.done([{ id: 1, attempt: 1 }]);
  journal.close();
  expect(Bun.file(path).size).toBe(0);
});

testNeeding(existsSync("/dev/full") ? null : "there is no /dev/full")(
  "a disk that is full does not stop a job",
  () => {
    const log = new RememberingLog();
    const journal = new Journal("/dev/full", log);
    journal.claimed([{ id: 1, attempt: 1 }]);
    journal.started({ id: 1, attempt: 1 });
    expect(log.lines.filter((line) => line.includes("cannot write the journal"))).toHaveLength(1);
    expect(journal.openAttempts()).toHaveLength(1);
  },
);
