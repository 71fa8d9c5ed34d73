import { expect, test } from "bun:test";
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { type FakeJob, FakeServer } from "./fakeServer.ts";
import { temporaryDirectory, testAgent } from "./testAgent.ts";
import { until } from "./until.ts";

const sh = (script: string): string[] => ["sh", "-c", script];

test("a job's output and exit code reach the server, output first", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server);
  const job = server.add(sh("echo out; echo err >&2; exit 3"));
  const result = await server.finished(job);
  expect(result).toMatchObject({ attempt: 1, outcome: "failed", exitCode: 3 });
  expect(result.error).toContain("exit code 3");
  expect(server.output(job, "stdout")).toBe("out\n");
  expect(server.output(job, "stderr")).toBe("err\n");
  const good = server.add(["true"]);
  expect(await server.finished(good)).toMatchObject({ outcome: "succeeded", exitCode: 0 });
  expect(Date.parse((await server.finished(good)).startedAt ?? "")).toBeGreaterThan(Date.now() - 10_000);
});

test("output appears while the job runs, in order", async () => {
  await using server = new FakeServer();
  using directory = temporaryDirectory();
  await using _ = await testAgent(server);
  const job = server.add(sh(`echo one; while [ ! -e ${directory.path}/go ]; do sleep 0.01; done; echo two`));
  await until(() => server.output(job) === "one\n", "the first line");
  await until(() => job.state === "running", "the word that it runs");
  writeFileSync(join(directory.path, "go"), "");
  await server.finished(job);
  expect(server.output(job)).toBe("one\ntwo\n");
});

test("a program that is missing, not executable or of no known format fails with its name", async () => {
  await using server = new FakeServer();
  using directory = temporaryDirectory();
  await using _ = await testAgent(server);
  const plain = join(directory.path, "plain");
  const odd = join(directory.path, "odd");
  writeFileSync(plain, "echo");
  writeFileSync(odd, "echo");
  chmodSync(odd, 0o755);
  const cases: [string[], number, string][] = [
    [["no-such-program"], 127, '"no-such-program" was not found'],
    [["/no/such/program"], 127, '"/no/such/program" was not found'],
    [[plain], 126, "is not executable"],
    [[odd], 126, "neither a binary"],
    [[directory.path], 126, "is not executable"],
  ];
  for (const [argv, exitCode, words] of cases) {
    const result = await server.finished(server.add(argv));
    expect(result).toMatchObject({ outcome: "failed", exitCode });
    expect(result.error).toContain(words);
  }
});

test("a working directory that does not exist fails with its path", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server);
  const result = await server.finished(server.add([], { spec: { argv: ["true"], cwd: "/no/such/place" } }));
  expect(result.outcome).toBe("failed");
  expect(result.error).toContain('"/no/such/place" does not exist');
  const inRoot = server.add([], { spec: { argv: ["pwd"], cwd: "/" } });
  await server.finished(inRoot);
  expect(server.output(inRoot)).toBe("/\n");
});

test("a specification that makes no sense fails with the field's name", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server);
  const cases: [object, string][] = [
    [{}, "spec must have argv"],
    [{ argv: [] }, "spec.argv"],
    [{ argv: ["a", 1] }, "spec.argv[1]"],
    [{ argv: ["a\0b"] }, "spec.argv[0]"],
    [{ argv: ["true"], env: { "A=B": "c" } }, "spec.env"],
    [{ argv: ["true"], env: { A: 1 } }, "spec.env.A"],
    [{ argv: ["true"], cwd: 5 }, "spec.cwd"],
    [{ template: "echo {a} {b}", parameters: { a: 1 } }, "b"],
  ];
  for (const [spec, words] of cases) {
    const result = await server.finished(server.add([], { spec: { ...spec } }));
    expect(result.outcome).toBe("failed");
    expect(result.error).toContain(words);
  }
});

test("a template's values are one argument each, whatever they hold", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server);
  const spec = { template: "printf '%s|' {a} {b}", parameters: { a: "x y; echo 'z' $HOME", b: 7 } };
  const job = server.add([], { spec });
  expect(await server.finished(job)).toMatchObject({ outcome: "succeeded" });
  expect(server.output(job)).toBe("x y; echo 'z' $HOME|7|");
});

test("a job sees little of the agent's environment, and no key", async () => {
  await using server = new FakeServer();
  process.env.YARDMASTER_API_KEY = "agent-secret";
  process.env.SOME_TOKEN = "agent-secret";
  try {
    await using _ = await testAgent(server, { apiKey: "agent-secret" });
    const job = server.add([], {
      spec: { argv: ["env"], env: { MINE: "1", LANG: "xx", CUDA_VISIBLE_DEVICES: "7" } },
    });
    await server.finished(job);
    const names = new Map(
      server
        .output(job)
        .trim()
        .split("\n")
        .map((line): [string, string] => [line.split("=")[0] ?? "", line.slice(line.indexOf("=") + 1)]),
    );
    expect(server.output(job)).not.toContain("agent-secret");
    const allowed = ["PATH", "HOME", "USER", "LANG", "TMPDIR", "MINE", "PWD", "CUDA_VISIBLE_DEVICES"];
    expect(
      [...names.keys()].filter((name) => !name.startsWith("YARDMASTER_") && !allowed.includes(name)),
    ).toEqual([]);
    expect(names.get("MINE")).toBe("1");
    expect(names.get("LANG")).toBe("xx");
    expect(names.get("CUDA_VISIBLE_DEVICES")).toBe("");
    expect(names.get("YARDMASTER_JOB_ID")).toBe(String(job.id));
    expect(names.get("YARDMASTER_JOB_KEY")).toBe(`key-${job.id}`);
    expect(names.get("YARDMASTER_ATTEMPT")).toBe("1");
    expect(names.get("YARDMASTER_SERVER")).toBe(server.url);
  } finally {
    delete process.env.YARDMASTER_API_KEY;
    delete process.env.SOME_TOKEN;
  }
});

test("standard input is empty", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server);
  expect(await server.finished(server.add(["cat"]))).toMatchObject({ outcome: "succeeded" });
});

test("a workspace is empty at the start and gone at the end", async () => {
  await using server = new FakeServer();
  await using test = await testAgent(server, { cpu: 1 });
  const first = server.add(sh("ls -A; pwd; mkdir -p a/b; echo x > a/b/c; ln -s / root"));
  const second = server.add(sh('ls -A; [ "$TMPDIR" = "$(pwd)" ]'));
  await server.finished(first);
  expect(await server.finished(second)).toMatchObject({ outcome: "succeeded" });
  const path = server.output(first).trim();
  expect(path.startsWith(test.stateDir)).toBe(true);
  expect(server.output(second)).toBe("");
  await until(() => !existsSync(path), "the workspace is gone");
  await test.agent.drain();
  expect(readdirSync(join(test.stateDir, "work"))).toEqual([]);
  expect(readdirSync("/").length).toBeGreaterThan(0);
});

test("a signal is 128 plus its number, and named", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server);
  const result = await server.finished(server.add(sh("kill -SEGV $$")));
  expect(result).toMatchObject({ outcome: "failed", exitCode: 139 });
  expect(result.error).toContain("SIGSEGV");
});

test("accelerators are handed out by index, never one to two jobs at a time", async () => {
  await using server = new FakeServer();
  using directory = temporaryDirectory();
  await using _ = await testAgent(server, { cpu: 8, accelerators: 3 });
  const wait = sh(`echo "$CUDA_VISIBLE_DEVICES"; while [ ! -e ${directory.path}/go ]; do sleep 0.01; done`);
  const first = server.add(wait, { accelerators: 2 });
  await until(() => server.output(first) === "0,1\n", "two accelerators");
  const second = server.add(wait, { accelerators: 1 });
  await until(() => server.output(second) === "2\n", "the third");
  const third = server.add(wait, { accelerators: 1 });
  writeFileSync(join(directory.path, "go"), "");
  await server.finished(third);
  expect(["0\n", "2\n"]).toContain(server.output(third));
});

test("no more jobs run at a time than fit, and none is claimed twice", async () => {
  await using server = new FakeServer();
  using directory = temporaryDirectory();
  await using _ = await testAgent(server, { cpu: 2 });
  const file = join(directory.path, "count");
  const jobs = Array.from({ length: 300 }, () => server.add(sh(`echo + >> ${file}; echo - >> ${file}`)));
  // On a busy machine a job claimed ahead is given back when its turn does not come, and claimed again.
  const hasSucceeded = (job: FakeJob) => job.results.some((result) => result.outcome === "succeeded");
  await until(() => jobs.every(hasSucceeded), "all jobs succeeded", 40_000);
  let running = 0;
  let most = 0;
  for (const line of readFileSync(file, "utf8").trim().split("\n")) {
    running += line === "+" ? 1 : -1;
    most = Math.max(most, running);
  }
  expect(most).toBeLessThanOrEqual(2);
  for (const job of jobs) {
    const released = job.results.filter((result) => result.outcome === "released");
    expect([job.id, job.attempt, job.resultsSeen]).toEqual([
      job.id,
      released.length + 1,
      released.length + 1,
    ]);
  }
});

test("a job larger than what is free waits, and is then given all of it", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server, { cpu: 2, busyWaitMs: 100 });
  const small = [server.add(sh("sleep 0.3")), server.add(sh("sleep 0.1"))];
  const large = server.add(["true"], { cpu: 2 });
  for (const job of [...small, large])
    expect(await server.finished(job)).toMatchObject({ outcome: "succeeded" });
});

test("the agent registers with its capacity, labels and queues", async () => {
  await using server = new FakeServer();
  await using test = await testAgent(server, { labels: { zone: "a" }, queues: ["q"], accelerators: 1 });
  await test.agent.registered;
  expect(server.workers.get(test.agent.workerId)).toMatchObject({
    name: hostname(),
    capacity: { cpu: 2, accelerators: 1, memoryMb: 1_000 },
    labels: { zone: "a" },
    queues: ["q"],
    kinds: ["command", "binary", "script"],
    publicKey: expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/),
  });
});
