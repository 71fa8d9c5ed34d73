import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ConflictError, InvalidInputError, NotFoundError, OverloadedError } from "../../src/domain/errors.ts";
import type { EngineEvent } from "../../src/engine/engine.ts";
import { newJob, TestEngine } from "./testEngine.ts";

let yard: TestEngine;
beforeEach(async () => {
  yard = await TestEngine.open();
});
afterEach(async () => {
  await yard.dispose();
});

describe("submission", () => {
  test("creates all jobs of a request or none, and says which items are wrong", async () => {
    const jobs = [newJob(), newJob({ dependsOn: [{ job: 99 }, { item: 1 }] }), newJob({ projectId: 5 })];
    const submitted = yard.engine.submit({ jobs, idempotency: null });
    const error = await submitted.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InvalidInputError);
    if (!(error instanceof InvalidInputError)) return;
    expect(error.issues.map((issue) => issue.path)).toEqual([
      [2, "projectId"],
      [1, "dependsOn", 0],
      [1, "dependsOn", 1],
    ]);
    expect((await yard.engine.read.stats()).jobsByState.ready).toBe(0);
    expect((await yard.submit({}))[0]?.id).toBe(1);
  });

  test("with a repeated key answers with the first jobs, as they are now", async () => {
    const request = { jobs: [newJob()], idempotency: { key: "k", fingerprint: "f" } };
    const first = await yard.engine.submit(request);
    await yard.claim("w");
    const [again, twice] = await Promise.all([yard.engine.submit(request), yard.engine.submit(request)]);
    expect(first.repeated).toBe(false);
    expect(again.repeated && twice.repeated).toBe(true);
    expect(again.jobs.map((job) => [job.id, job.state])).toEqual([[1, "leased"]]);
    const other = yard.engine.submit({ ...request, idempotency: { key: "k", fingerprint: "g" } });
    expect(other).rejects.toThrow("another request body");
  });

  test("fills a task's template, and refuses parameters that do not fit it", async () => {
    const task = await yard.engine.createTask({
      name: "train",
      projectId: null,
      commandTemplate: "python train.py --lr {lr}",
      resources: { cpu: 4, memoryMb: 100 },
    });
    const [job] = await yard.submit({
      task: { id: task.id, parameters: { lr: 0.1 } },
      spec: {},
      resources: { memoryMb: 7 },
    });
    expect(job).toMatchObject({
      name: "train",
      taskId: task.id,
      resources: { cpu: 4, accelerators: 0, memoryMb: 7 },
      spec: { template: "python train.py --lr {lr}", parameters: { lr: 0.1 } },
    });
    await yard.engine.updateTask(task.id, { commandTemplate: "changed" });
    expect((await yard.engine.read.job(1)).spec).toMatchObject({ template: "python train.py --lr {lr}" });
    await expect(yard.submit({ task: { id: task.id, parameters: { lr: 1 } } })).rejects.toThrow("{lr}");
    await expect(yard.submit({ task: { id: 77, parameters: {} } })).rejects.toThrow("no task has the id 77");
  });

  test("refuses a key that is taken, also twice in one request", async () => {
    await yard.submit({ key: "mine" });
    await expect(yard.submit({ key: "mine" })).rejects.toThrow("is taken");
    await expect(yard.submit({ key: "new" }, { key: "new" })).rejects.toThrow("is taken");
    expect(yard.submit({ key: "mine", dialect: "ai" })).resolves.toHaveLength(1);
  });

  test("is refused when too much waits, and goes on when it does not", async () => {
    const tight = await TestEngine.open({ maxQueuedCommands: 50 });
    try {
      const outcomes = await Promise.allSettled(Array.from({ length: 80 }, () => tight.submit({})));
      const refused = outcomes.filter((outcome) => outcome.status === "rejected");
      expect(refused).toHaveLength(30);
      expect(refused[0]?.reason).toBeInstanceOf(OverloadedError);
      expect(await tight.submit({})).toHaveLength(1);
      expect((await tight.engine.read.stats()).jobsByState.ready).toBe(51);
    } finally {
      await tight.dispose();
    }
  });
});

describe("a claim", () => {
  test("gives the best jobs that fit together, over all shapes", async () => {
    await yard.submit(
      { priority: 1 },
      { priority: 5, resources: { cpu: 4 } },
      { priority: 5, resources: { cpu: 2 } },
      { priority: 3, resources: { accelerators: 1 } },
      { priority: 4, queue: "other" },
      { priority: 2, requires: { zone: "a" } },
    );
    const ids = async (request: Parameters<TestEngine["claim"]>[1]) =>
      (await yard.claim("w", request)).map((job) => job.id);
    const free = { cpu: 5, accelerators: 0, memoryMb: 0 };
    expect(await ids({ capacity: free, queues: ["default"], max: 10 })).toEqual([2, 1]);
    await yard.engine.registerWorker({
      id: "w",
      name: "w",
      address: null,
      capacity: { ...free, accelerators: 1 },
      labels: { zone: "a" },
      queues: ["*"],
      kinds: ["command"],
      dialect: "yardmaster",
      details: {},
    });
    expect(await ids({ capacity: { ...free, accelerators: 1 } })).toEqual([3, 5, 4, 6]);
    expect(await ids({})).toEqual([]);
  });

  test("that offers more than the worker registered brings jobs ahead, but none that is too large for it", async () => {
    const capacity = { cpu: 2, accelerators: 0, memoryMb: 0 };
    await yard.engine.registerWorker({
      id: "w",
      name: "w",
      address: null,
      capacity,
      labels: {},
      queues: ["*"],
      kinds: ["command"],
      dialect: "yardmaster",
      details: {},
    });
    await yard.submit({ resources: { cpu: 3 } }, {}, {}, {});
    expect((await yard.claim("w")).map((job) => job.id)).toEqual([2, 3, 4]);
  });

  test("gives each job once, whoever asks at the same time", async () => {
    await yard.submit(...Array.from({ length: 100 }, () => ({})));
    const claims = await Promise.all(
      Array.from({ length: 30 }, (_, index) => yard.claim(`w${index}`, { max: 7 })),
    );
    const ids = claims.flat().map((job) => job.id);
    expect(ids).toHaveLength(100);
    expect(new Set(ids).size).toBe(100);
  });

  test("waits for work, and is woken by it", async () => {
    const waiting = yard.claim("w", { waitMs: 60_000 });
    await yard.submit({});
    expect((await waiting).map((job) => job.id)).toEqual([1]);
  });

  test("that waits is served by the commit that makes its job ready, the longest wait first", async () => {
    const commits = async () => (await yard.engine.figures()).commitSize.count;
    const first = yard.claim("first", { waitMs: 60_000 });
    await yard.engine.read.workers();
    const second = yard.claim("second", { waitMs: 60_000 });
    await yard.engine.read.workers();
    const before = await commits();
    await yard.submit({});
    expect((await first).map((job) => [job.id, job.state, job.attempt])).toEqual([[1, "leased", 1]]);
    expect(await commits()).toBe(before + 1);
    expect((await yard.engine.read.job(1)).workerId).toBe("first");

    // Jobs that a result makes ready are served by the commit of the result.
    await yard.submit({ dependsOn: [{ job: 1 }] });
    await yard.finish("first", 1, 1, "succeeded");
    expect((await second).map((job) => job.id)).toEqual([2]);
    expect(await commits()).toBe(before + 3);
  });

  test("that waits is woken only by work that fits, and ends when its caller leaves", async () => {
    const controller = new AbortController();
    const small = yard.claim("small", { waitMs: 60_000, capacity: { cpu: 1, accelerators: 0, memoryMb: 0 } });
    const gone = yard.engine.claim(
      {
        workerId: "gone",
        queues: ["*"],
        kinds: ["command"],
        capacity: { cpu: 9, accelerators: 0, memoryMb: 0 },
        max: 1,
        waitMs: 60_000,
        leaseMs: null,
      },
      controller.signal,
    );
    await yard.engine.read.workers();
    controller.abort();
    expect(await gone).toEqual([]);
    const large = yard.claim("large", { waitMs: 60_000 });
    await yard.engine.read.workers();
    await yard.submit({ resources: { cpu: 8 } });
    expect((await large).map((job) => job.id)).toEqual([1]);
    await yard.submit({});
    expect((await small).map((job) => job.id)).toEqual([2]);
  });

  test("whose caller left while it was being committed gives its jobs back", async () => {
    await yard.submit({});
    const claimed = yard.engine.claim(
      {
        workerId: "gone",
        queues: ["*"],
        kinds: ["command"],
        capacity: { cpu: 9, accelerators: 0, memoryMb: 0 },
        max: 1,
        waitMs: 0,
        leaseMs: null,
      },
      AbortSignal.abort(),
    );
    expect(await claimed).toEqual([]);
    expect((await yard.claim("next")).map((job) => [job.id, job.attempt])).toEqual([[1, 2]]);
  });

  test("of a draining worker gets nothing until it registers again", async () => {
    await yard.submit({});
    await yard.claim("w", { max: 0 });
    expect((await yard.engine.drainWorker("w")).state).toBe("draining");
    expect(await yard.claim("w")).toEqual([]);
    // What is told of it besides does not make it active.
    const described = await yard.engine.describeWorker("w", { load: 1 });
    expect([described.state, described.details]).toEqual(["draining", { load: 1 }]);
    expect((await yard.engine.describeWorker("w", { more: 2 })).details).toEqual({ load: 1, more: 2 });
    await expect(yard.engine.describeWorker("nobody", {})).rejects.toThrow(NotFoundError);
    await yard.engine.registerWorker({
      id: "w",
      name: "w",
      address: null,
      capacity: { cpu: 1, accelerators: 0, memoryMb: 0 },
      labels: {},
      queues: ["*"],
      kinds: ["command"],
      dialect: "yardmaster",
      details: {},
    });
    expect(await yard.claim("w")).toHaveLength(1);
    await expect(yard.engine.drainWorker("nobody")).rejects.toThrow(NotFoundError);
  });
});

describe("a lease", () => {
  test("that expires gives the job to the next worker, and the late result changes nothing", async () => {
    await yard.submit({ maxAttempts: 2 });
    await yard.claim("slow");
    await yard.pass(10_001);
    const [again] = await yard.claim("next");
    expect(again).toMatchObject({ id: 1, attempt: 2 });
    expect(await yard.finish("slow", 1, 1, "succeeded")).toMatchObject([{ accepted: false }]);
    expect(await yard.renew("slow", 1, 1)).toMatchObject({ renewed: [], lost: [1] });
    expect(await yard.finish("next", 1, 2, "succeeded")).toMatchObject([{ accepted: true }]);
    const attempts = await yard.engine.read.attempts(1);
    expect(attempts.map((attempt) => [attempt.number, attempt.workerId, attempt.outcome])).toEqual([
      [1, "slow", "timeout"],
      [2, "next", "succeeded"],
    ]);
  });

  test("is kept by renewing it", async () => {
    await yard.submit({});
    await yard.claim("w");
    for (let round = 0; round < 5; round++) {
      await yard.pass(8_000);
      expect(await yard.renew("w", 1, 1)).toMatchObject({ renewed: [1], leaseExpiresAt: yard.now + 10_000 });
    }
    expect(await yard.state(1)).toBe("leased");
    expect(await yard.renew("w", 1, 1, true)).toMatchObject({ renewed: [1] });
    expect(await yard.state(1)).toBe("running");
  });

  test("lost more often than is forgiven fails the job", async () => {
    await yard.submit({ maxAttempts: 1, maxRecoveries: 2 });
    for (let round = 0; round < 3; round++) {
      expect(await yard.claim("w")).toHaveLength(1);
      await yard.pass(10_001);
    }
    const job = await yard.engine.read.job(1);
    expect(job.state).toBe("failed");
    expect(job.error).toContain("not heard from");
    expect((await yard.engine.read.attempts(1)).map((attempt) => attempt.outcome)).toEqual([
      "timeout",
      "timeout",
      "timeout",
    ]);
    expect((await yard.engine.figures()).leasesLost).toBe(3);
  });

  test("gets one full period of grace after a restart", async () => {
    await yard.submit({ maxAttempts: 2 });
    await yard.claim("w");
    await yard.renew("w", 1, 1, true);
    yard.now += 3_600_000;
    await yard.restart();
    await yard.pass(9_999);
    expect(await yard.state(1)).toBe("running");
    expect(await yard.renew("w", 1, 1)).toMatchObject({ renewed: [1] });
    await yard.pass(10_001);
    expect(await yard.state(1)).toBe("ready");
  });
});

describe("a result", () => {
  test("sent again is accepted and changes nothing, also when the job has gone on", async () => {
    await yard.submit({ maxAttempts: 2 });
    await yard.claim("w");
    await yard.finish("w", 1, 1, "failed");
    expect(await yard.finish("w", 1, 1, "failed")).toEqual([
      { id: 1, accepted: true, isRepeated: true, reason: null },
    ]);
    await yard.pass(60_000);
    await yard.claim("w");
    expect(await yard.finish("w", 1, 1, "failed")).toMatchObject([{ accepted: true }]);
    expect(await yard.finish("w", 1, 1, "succeeded")).toMatchObject([{ accepted: false }]);
    await yard.finish("w", 1, 2, "succeeded");
    expect(await yard.finish("w", 1, 2, "succeeded")).toMatchObject([{ accepted: true }]);
    expect(await yard.engine.read.events(1, 0)).toHaveLength(6);
  });

  test("of another worker, another attempt or an unknown job is not accepted", async () => {
    await yard.submit({});
    await yard.claim("w");
    expect(await yard.finish("x", 1, 1, "succeeded")).toMatchObject([{ accepted: false }]);
    expect(await yard.finish("w", 1, 2, "succeeded")).toMatchObject([{ accepted: false }]);
    expect(await yard.finish("w", 9, 1, "succeeded")).toMatchObject([
      { accepted: false, reason: "no such job" },
    ]);
    expect(await yard.state(1)).toBe("leased");
  });

  test("that failed is tried again after a pause that doubles, as often as the job allows", async () => {
    await yard.submit({ maxAttempts: 3 });
    for (const pauseMs of [1_000, 2_000]) {
      const [job] = await yard.claim("w");
      await yard.finish("w", 1, job?.attempt ?? 0, "failed");
      expect(await yard.state(1)).toBe("waiting");
      await yard.pass(pauseMs - 1);
      expect(await yard.state(1)).toBe("waiting");
      await yard.pass(1);
      expect(await yard.state(1)).toBe("ready");
    }
    await yard.claim("w");
    await yard.finish("w", 1, 3, "failed");
    expect(await yard.engine.read.job(1)).toMatchObject({ state: "failed", exitCode: 1, attempt: 3 });
  });

  test("that was released counts nothing", async () => {
    await yard.submit({});
    await yard.claim("w");
    await yard.finish("w", 1, 1, "released");
    expect(await yard.state(1)).toBe("ready");
    await yard.claim("w");
    await yard.finish("w", 1, 2, "failed");
    expect(await yard.state(1)).toBe("failed");
  });
});

describe("time", () => {
  test("holds a job back until its own", async () => {
    await yard.submit({ runAt: yard.now + 500 }, { runAt: yard.now - 1 });
    expect((await yard.claim("w")).map((job) => job.id)).toEqual([2]);
    await yard.pass(499);
    expect(await yard.claim("w")).toEqual([]);
    await yard.pass(1);
    expect((await yard.claim("w")).map((job) => job.id)).toEqual([1]);
  });

  test("ends an attempt whose worker lets it outlive its limit", async () => {
    await yard.submit({ timeoutMs: 1_000 });
    await yard.claim("w", { leaseMs: 60_000 });
    await yard.pass(5_000);
    await yard.renew("w", 1, 1, true);
    await yard.pass(10_500);
    await yard.renew("w", 1, 1);
    expect(await yard.state(1)).toBe("running");
    await yard.pass(500);
    expect(await yard.engine.read.job(1)).toMatchObject({
      state: "failed",
      error: "ran longer than its time limit of 1000 ms",
    });
    expect(await yard.renew("w", 1, 1)).toMatchObject({ lost: [1] });
  });

  test("takes away at once what is past its keep, however many they are", async () => {
    await yard.dispose();
    yard = await TestEngine.open({ retainSucceededMs: 1_000 });
    for (let round = 0; round < 6; round++) {
      await yard.submit(...Array.from({ length: 500 }, () => ({})));
      const claimed = await yard.claim("w", { max: 500 });
      for (const { id } of claimed.slice(0, 1)) await yard.engine.cancel(id, null);
      const done = claimed
        .slice(1)
        .map(({ id, attempt }) => ({ id, attempt, outcome: "succeeded" as const }));
      const rest = { exitCode: 0, error: null, result: null, startedAt: null };
      await yard.engine.finish({ workerId: "w", results: done.map((one) => ({ ...one, ...rest })) });
    }
    expect(await yard.engine.read.count({})).toBe(3_000);
    await yard.pass(1_001);
    expect(await yard.engine.read.count({})).toBe(6);
    expect(
      (await yard.engine.read.jobs({}, { order: "newest", limit: 10, cursor: null })).items,
    ).toHaveLength(6);
  });

  test("takes finished jobs away when they have been kept long enough", async () => {
    await yard.dispose();
    yard = await TestEngine.open({
      retainSucceededMs: 1_000,
      retainFailedMs: 5_000,
      retainCancelledMs: null,
    });
    await yard.submit({}, {}, {});
    await yard.claim("w", { max: 2 });
    await yard.finish("w", 1, 1, "succeeded");
    await yard.finish("w", 2, 1, "failed");
    await yard.engine.cancel(3, null);
    await yard.pass(1_001);
    await expect(yard.engine.read.job(1)).rejects.toThrow(NotFoundError);
    expect(await yard.state(2)).toBe("failed");
    await yard.pass(4_000);
    await expect(yard.engine.read.job(2)).rejects.toThrow(NotFoundError);
    expect((await yard.engine.read.stats()).jobsByState).toMatchObject({
      succeeded: 0,
      failed: 0,
      cancelled: 1,
    });
  });
});

describe("upkeep that was held up", () => {
  test("gives every lease a full period: its worker could not be heard", async () => {
    await yard.dispose();
    yard = await TestEngine.open({ maintenanceMs: 1_000, leaseMs: 30_000 });
    await yard.submit({}, {});
    await yard.claim("w", { max: 1 });
    await yard.pass(9_000);
    await yard.pass(60_000);
    expect(await yard.state(1)).toBe("leased");
    await yard.pass(9_999);
    await yard.pass(9_999);
    expect(await yard.state(1)).toBe("leased");
    await yard.pass(9_999);
    await yard.pass(9_999);
    expect(await yard.state(1)).toBe("failed");
  });
});

describe("jobs that are taken away for their age", () => {
  test("take the hope of those that wait for them: they are cancelled, and go in their own time", async () => {
    await yard.dispose();
    yard = await TestEngine.open({ retainFailedMs: 5_000, retainCancelledMs: 2_000 });
    await yard.submit({}, { dependsOn: [{ item: 0 }] }, { dependsOn: [{ item: 1 }] });
    await yard.claim("w");
    await yard.finish("w", 1, 1, "failed");
    expect([await yard.state(2), await yard.state(3)]).toEqual(["blocked", "blocked"]);
    await yard.pass(5_001);
    expect(await yard.engine.read.job(2)).toMatchObject({
      state: "cancelled",
      error: "job 1, which it depends on, ended as failed and is not kept any longer",
    });
    await yard.pass(2_001);
    expect(await yard.engine.read.job(3)).toMatchObject({ state: "cancelled" });
    await yard.pass(2_001);
    expect(await yard.engine.read.count({})).toBe(0);
  });
});

describe("workers that never register", () => {
  test("are forgotten when nothing was heard of them for long", async () => {
    await yard.dispose();
    yard = await TestEngine.open({ retainWorkersMs: 60_000 });
    await yard.claim("once");
    await yard.pass(50_000);
    await yard.claim("again");
    await yard.pass(20_000);
    await yard.pass(1);
    expect((await yard.engine.read.workers()).map((worker) => worker.id)).toEqual(["again"]);
  });

  test("are entered as their claims say, and start what they are given at once", async () => {
    await yard.submit({});
    const registerAs = { dialect: "executr", address: "host-1" } as const;
    const [job] = await yard.claim("w", { starts: true, registerAs });
    expect(job).toMatchObject({ state: "running", startedAt: yard.now });
    expect(await yard.engine.read.attempts(1)).toMatchObject([
      { workerId: "w", workerAddress: "host-1", startedAt: yard.now },
    ]);
    expect(await yard.engine.read.worker("w")).toMatchObject({ dialect: "executr", running: 1 });
    await yard.claim("w", { registerAs: { dialect: "executr", address: "host-2" } });
    expect(await yard.engine.read.worker("w")).toMatchObject({ address: "host-2" });
    await yard.pass(10_001);
    expect(await yard.state(1)).toBe("failed");
  });

  test("give the whole output with the result, which is kept only where the result counts", async () => {
    await yard.submit({ maxAttempts: 2, backoffMs: 60_000 });
    await yard.claim("w");
    const long = "é😀x".repeat(40_000);
    const output = [
      { stream: "stdout", text: long },
      { stream: "stderr", text: "" },
      { stream: "stderr", text: "oh" },
    ] as const;
    const result = { id: 1, attempt: 1, outcome: "failed", exitCode: 1, error: null, result: null } as const;
    const finish = (workerId: string) =>
      yard.engine.finish({ workerId, results: [{ ...result, startedAt: null, output }] });
    expect(await finish("x")).toMatchObject([{ accepted: false }]);
    expect((await yard.engine.read.log(1, {})).items).toEqual([]);
    expect(await finish("w")).toEqual([{ id: 1, accepted: true, reason: null }]);
    expect(await finish("w")).toMatchObject([{ accepted: true, isRepeated: true }]);
    const { items } = await yard.engine.read.log(1, {});
    const text = (stream: string) =>
      items.flatMap((chunk) => (chunk.stream === stream ? [chunk.text] : [])).join("");
    expect(text("stdout") === long).toBe(true);
    expect(text("stderr")).toBe("oh");
    expect(items.some((chunk) => /[\ud800-\udbff]$/.test(chunk.text))).toBe(false);

    expect(await yard.state(1)).toBe("waiting");
    await yard.pass(59_999);
    expect(await yard.claim("w")).toEqual([]);
    await yard.pass(1);
    expect(await yard.claim("w")).toMatchObject([{ id: 1, attempt: 2 }]);
  });
});

describe("a key that comes several times in one commit", () => {
  test("makes its jobs once, and is refused for another request", async () => {
    const submit = (key: string, fingerprint: string, name: string) =>
      yard.engine.submit({ jobs: [newJob({ name })], idempotency: { key, fingerprint } });
    const [first, again, other, second] = await Promise.allSettled([
      submit("k", "f", "a"),
      submit("k", "f", "a"),
      submit("k", "g", "b"),
      submit("l", "f", "c"),
    ]);
    expect(first).toMatchObject({ status: "fulfilled", value: { repeated: false, jobs: [{ name: "a" }] } });
    expect(again).toMatchObject({ status: "fulfilled", value: { repeated: true, jobs: [{ name: "a" }] } });
    expect(other.status).toBe("rejected");
    expect(second).toMatchObject({ status: "fulfilled", value: { repeated: false, jobs: [{ name: "c" }] } });
    expect(await yard.engine.read.count({})).toBe(2);
    expect(await submit("l", "f", "c")).toMatchObject({ repeated: true });
  });
});

describe("what is kept beside jobs", () => {
  test("lines that nobody numbered follow each other in the current attempt", async () => {
    const [job] = await yard.submit({}, {});
    const key = job?.key ?? "";
    const line = (ref: number | string, text: string) =>
      ({ job: ref, stream: "stdout", time: 5, text }) as const;
    await yard.engine.appendLines([line(1, "before the start")]);
    await yard.claim("w");
    await Promise.all([
      yard.engine.appendLines([line(key, "a"), line(2, "x\n")]),
      yard.engine.appendLines([line(1, "b")]),
    ]);
    await expect(yard.engine.appendLines([line(1, "no"), line(9, "c")])).rejects.toThrow(NotFoundError);
    const text = async (id: number) =>
      (await yard.engine.read.log(id, {})).items.map((chunk) => chunk.text).join("");
    expect(await text(1)).toBe("before the start\na\nb\n");
    expect(await text(2)).toBe("x\n");
  });

  test("records come with results that count, or from the job's holder", async () => {
    await yard.submit({ maxAttempts: 2 }, {});
    await yard.claim("w");
    const record = (attempt: number | null) => ({ job: 1, attempt, kind: "usage", data: { n: attempt } });
    const add = (workerId: string | null, attempt: number | null) =>
      yard.engine.addRecords({ workerId, records: [record(attempt)] });
    expect([await add("w", 1), await add("w", null), await add("x", 1), await add("w", 2)]).toEqual([
      1, 1, 0, 0,
    ]);
    expect(await add(null, null)).toBe(1);
    await expect(
      yard.engine.addRecords({ workerId: null, records: [{ ...record(1), job: 77 }] }),
    ).rejects.toThrow(NotFoundError);
    const result = { id: 1, attempt: 1, exitCode: 0, error: null, result: null, startedAt: null };
    const records = [{ kind: "provenance", data: { model: "m" } }];
    for (const workerId of ["x", "w", "w"]) {
      await yard.engine.finish({ workerId, results: [{ ...result, outcome: "succeeded", records }] });
    }
    const kept = await yard.engine.read.records(1, { kind: "provenance", limit: 9, order: "oldest" });
    expect(kept).toMatchObject([{ attempt: 1, data: { model: "m" }, time: yard.now }]);
  });

  test("an edit may depend on the state, and move the time of the start", async () => {
    await yard.submit({ runAt: yard.now + 5_000 }, {});
    const take = (workerId: string) =>
      yard.engine.edit(1, { state: "running", workerId, onlyFrom: ["ready"], leaseMs: 60_000 });
    await expect(take("a")).rejects.toThrow(ConflictError);
    expect(await yard.engine.edit(1, { runAt: null })).toMatchObject({ state: "ready", runAt: null });
    const [a, b] = await Promise.allSettled([take("a"), take("b")]);
    expect([a.status, b.status]).toEqual(["fulfilled", "rejected"]);
    expect(await yard.engine.read.job(1)).toMatchObject({ state: "running", workerId: "a", attempt: 1 });
  });
});

describe("counts by name", () => {
  test("tell what was submitted, how it ended and by whom, for the APIs that want it", async () => {
    const job = { dialect: "executr", queue: "q", name: "render" } as const;
    await yard.submit(job, job, job, { name: "native" });
    await yard.claim("w", { queues: ["q"], max: 2 });
    yard.now += 3_000;
    await yard.finish("w", 1, 1, "succeeded");
    await yard.finish("w", 2, 1, "failed");
    await yard.engine.cancel(3, null);
    const { byName, times } = await yard.engine.figures();
    const counted = byName.map(({ event, workerId, count }) => `${event} ${workerId} ${count}`);
    expect(counted.sort()).toEqual(["cancelled null 1", "failed w 1", "submitted null 3", "succeeded w 1"]);
    expect(byName.every(({ dialect, name }) => dialect === "executr" && name === "render")).toBe(true);
    expect(times).toMatchObject([
      { dialect: "executr", waitSeconds: { count: 2, sum: 0 }, runSeconds: { count: 2, sum: 6 } },
    ]);
    expect(await yard.engine.read.tallies({ dialect: "executr" })).toEqual(
      expect.arrayContaining([
        { queue: "q", kind: "command", state: "succeeded", count: 1 },
        { queue: "q", kind: "command", state: "cancelled", count: 1 },
      ]),
    );
  });
});

describe("cancel, retry and delete", () => {
  test("leave a job alone that a worker holds, where only pending ones are meant", async () => {
    await yard.submit({}, {});
    await yard.claim("w", { max: 1 });
    await expect(yard.engine.cancel(1, null, { onlyPending: true })).rejects.toThrow(ConflictError);
    expect(await yard.engine.cancel(2, null, { onlyPending: true })).toMatchObject({ state: "cancelled" });
    expect(await yard.state(1)).toBe("leased");
  });

  test("stop a running job: its worker hears of it, and its result does not count", async () => {
    await yard.submit({});
    await yard.claim("w");
    expect(await yard.engine.cancel(1, "changed my mind")).toMatchObject({
      state: "cancelled",
      error: "cancelled by the user: changed my mind",
    });
    expect(await yard.renew("w", 1, 1)).toMatchObject({ renewed: [], cancelled: [1] });
    expect(await yard.finish("w", 1, 1, "succeeded")).toMatchObject([
      { accepted: false, reason: "the job was cancelled" },
    ]);
    await expect(yard.engine.cancel(1, null)).rejects.toThrow(ConflictError);
  });

  test("run a finished job again with a fresh budget and its history kept", async () => {
    await yard.submit({});
    await yard.claim("w");
    await yard.finish("w", 1, 1, "failed");
    expect(await yard.engine.retry(1)).toMatchObject({
      state: "ready",
      error: null,
      exitCode: null,
      attempt: 1,
    });
    await expect(yard.engine.retry(1)).rejects.toThrow(ConflictError);
    expect((await yard.claim("w"))[0]?.attempt).toBe(2);
    await yard.finish("w", 1, 2, "succeeded");
    expect((await yard.engine.read.attempts(1)).map((attempt) => attempt.outcome)).toEqual([
      "failed",
      "succeeded",
    ]);
  });

  test("delete what nobody holds", async () => {
    await yard.submit({}, {});
    await yard.claim("w", { max: 1 });
    await expect(yard.engine.remove(1)).rejects.toThrow(ConflictError);
    await yard.engine.remove(2);
    await expect(yard.engine.remove(2)).rejects.toThrow(NotFoundError);
    expect((await yard.engine.read.stats()).jobsByState.ready).toBe(0);
  });

  test("delete a project with its tasks and jobs, however many", async () => {
    const project = await yard.engine.createProject({ name: "p", description: null });
    const task = await yard.engine.createTask({
      name: "t",
      projectId: project.id,
      commandTemplate: "true",
      resources: {},
    });
    const jobs = Array.from({ length: 1_500 }, () => ({ task: { id: task.id, parameters: {} } }));
    await yard.submit(...jobs);
    await yard.claim("w", { max: 1 });
    await yard.engine.deleteProject(project.id);
    expect((await yard.engine.read.stats()).jobsByState).toMatchObject({ ready: 0, leased: 0 });
    await expect(yard.engine.read.task(task.id)).rejects.toThrow(NotFoundError);
    expect(await yard.renew("w", 1, 1)).toMatchObject({ lost: [1] });
  });
});

describe("an edit", () => {
  test("changes name, priority and spec of a job that waits, and its place in the line", async () => {
    await yard.submit({ priority: 5 }, { priority: 1 });
    expect(
      await yard.engine.edit(2, { name: "renamed", priority: 9, spec: { argv: ["false"] } }),
    ).toMatchObject({
      name: "renamed",
      priority: 9,
      spec: { argv: ["false"] },
      state: "ready",
    });
    expect((await yard.claim("w")).map((job) => job.id)).toEqual([2, 1]);
  });

  test("moves a job to another task, and so to another line", async () => {
    await yard.submit({}, {});
    const resources = { cpu: 8, accelerators: 1, memoryMb: 0 };
    expect(await yard.engine.edit(1, { task: { id: 7, kind: "external", resources } })).toMatchObject({
      taskId: 7,
      kind: "external",
      resources,
    });
    expect((await yard.claim("w")).map((job) => job.id)).toEqual([2]);
    const capacity = { cpu: 8, accelerators: 1, memoryMb: 0 };
    expect((await yard.claim("w", { kinds: ["external"], capacity })).map((job) => job.id)).toEqual([1]);
    expect(
      (await yard.engine.read.jobs({ kind: "external" }, { order: "newest", limit: 1, cursor: null })).total,
    ).toBe(1);
  });

  test("sets dependencies, and refuses unknown ones and cycles with nothing changed", async () => {
    await yard.submit({}, {}, { dependsOn: [{ item: 0 }] });
    expect(await yard.engine.edit(2, { dependsOn: [3] })).toMatchObject({ dependsOn: [3], state: "waiting" });
    for (const dependsOn of [[2], [1, 1], [99]]) {
      const before = await yard.engine.read.job(1);
      await expect(yard.engine.edit(1, { dependsOn, priority: 4 })).rejects.toThrow(InvalidInputError);
      expect(await yard.engine.read.job(1)).toEqual(before);
    }
    expect(await yard.engine.edit(2, { dependsOn: [] })).toMatchObject({ dependsOn: [], state: "ready" });
  });

  test("keeps a dependency that was deleted, met or not", async () => {
    await yard.submit({}, {}, { dependsOn: [{ item: 0 }] }, { dependsOn: [{ item: 1 }] });
    await yard.engine.edit(1, { state: "succeeded" });
    await yard.engine.remove(1);
    await yard.engine.remove(2);
    expect(await yard.engine.edit(3, { dependsOn: [1], name: "x" })).toMatchObject({
      state: "ready",
      dependsOn: [1],
    });
    expect(await yard.engine.edit(4, { dependsOn: [2], state: "waiting" })).toMatchObject({
      state: "blocked",
    });
    expect(await yard.engine.edit(4, { dependsOn: [] })).toMatchObject({ state: "ready" });
  });

  test("reports the states of a worker that knows no results", async () => {
    await yard.submit({}, { dependsOn: [{ item: 0 }] });
    await yard.claim("w", { leaseMs: 1_000 });
    expect(await yard.engine.edit(1, { state: "running", leaseMs: 60_000 })).toMatchObject({
      state: "running",
      workerId: "w",
    });
    await yard.pass(59_000);
    expect(await yard.state(1)).toBe("running");
    expect(await yard.engine.edit(1, { state: "failed" })).toMatchObject({ state: "failed" });
    expect(await yard.state(2)).toBe("blocked");
    expect(await yard.engine.edit(1, { state: "waiting" })).toMatchObject({ state: "ready" });
    expect(await yard.state(2)).toBe("waiting");
    expect(await yard.engine.edit(1, { state: "succeeded" })).toMatchObject({
      state: "succeeded",
      attempt: 1,
    });
    expect(await yard.state(2)).toBe("ready");
    await expect(yard.engine.edit(1, { state: "running" })).rejects.toThrow(ConflictError);
    expect(await yard.engine.edit(1, { state: "waiting" })).toMatchObject({ state: "ready" });
    expect(await yard.state(2)).toBe("waiting");
  });

  test("that says running again renews the lease", async () => {
    await yard.submit({});
    await yard.claim("w", { leaseMs: 1_000 });
    for (let round = 0; round < 3; round++) {
      await yard.engine.edit(1, { state: "running", leaseMs: 60_000 });
      await yard.pass(50_000);
      expect(await yard.state(1)).toBe("running");
    }
    await yard.pass(10_001);
    expect(await yard.state(1)).not.toBe("running");
  });

  test("can take a job by hand, block it and let it go again", async () => {
    await yard.submit({});
    expect(await yard.engine.edit(1, { state: "running", workerId: "me", leaseMs: 5_000 })).toMatchObject({
      state: "running",
      attempt: 1,
      workerId: "me",
    });
    expect(await yard.engine.edit(1, { state: "blocked" })).toMatchObject({ state: "blocked" });
    expect(await yard.claim("w")).toEqual([]);
    expect(await yard.engine.edit(1, { state: "waiting" })).toMatchObject({ state: "ready" });
    expect(await yard.claim("w")).toHaveLength(1);
  });
});

describe("a worker", () => {
  test("keeps all it holds by one heartbeat, and gives all back when it leaves", async () => {
    await yard.submit({}, {});
    await yard.claim("w");
    for (let round = 0; round < 3; round++) {
      await yard.pass(8_000);
      expect((await yard.engine.heartbeatWorker("w")).runningJobs).toEqual([1, 2]);
    }
    expect(await yard.engine.releaseWorker("w")).toMatchObject({ state: "draining", runningJobs: [] });
    expect(await yard.finish("w", 1, 1, "succeeded")).toMatchObject([{ accepted: false }]);
    expect((await yard.claim("x")).map((job) => [job.id, job.attempt])).toEqual([
      [1, 2],
      [2, 2],
    ]);
    await yard.engine.deleteWorker("w");
    await expect(yard.engine.heartbeatWorker("w")).rejects.toThrow(NotFoundError);
  });

  test("is offline when nothing is heard from it", async () => {
    await yard.claim("w");
    expect((await yard.engine.read.worker("w")).state).toBe("online");
    await yard.pass(30_000);
    expect((await yard.engine.read.worker("w")).state).toBe("offline");
    await yard.claim("w");
    expect((await yard.engine.read.worker("w")).state).toBe("online");
  });
});

describe("dependencies", () => {
  const states = async (...ids: number[]) => Promise.all(ids.map((id) => yard.state(id)));

  test("let a job run when the last of them has succeeded", async () => {
    await yard.submit({}, {}, { dependsOn: [{ item: 0 }, { item: 1 }, { item: 0 }] });
    await yard.claim("w");
    await yard.finish("w", 1, 1, "succeeded");
    expect(await yard.state(3)).toBe("waiting");
    await yard.finish("w", 2, 1, "succeeded");
    expect(await yard.state(3)).toBe("ready");
  });

  test("that succeeded already, or succeed in the same commit, are met", async () => {
    await yard.submit({}, {});
    await yard.claim("w");
    await yard.finish("w", 1, 1, "succeeded");
    const [, jobs] = await Promise.all([
      yard.finish("w", 2, 1, "succeeded"),
      yard.submit({ dependsOn: [{ job: 1 }, { job: 2 }] }),
    ]);
    expect(jobs[0]?.dependsOn).toEqual([1, 2]);
    expect(await yard.state(3)).toBe("ready");
  });

  test("that fail block everything below, at once, and their retry brings it back", async () => {
    // 1 → 2 → 3, and 4 needs both 3 and 5.
    await yard.submit(
      {},
      { dependsOn: [{ item: 0 }] },
      { dependsOn: [{ item: 1 }] },
      { dependsOn: [{ item: 2 }] },
      {},
      {
        dependsOn: [{ item: 2 }, { item: 4 }],
      },
    );
    await yard.claim("w");
    await yard.finish("w", 1, 1, "failed");
    expect(await states(2, 3, 4, 6)).toEqual(["blocked", "blocked", "blocked", "blocked"]);
    await yard.finish("w", 5, 1, "failed");
    await yard.engine.retry(1);
    expect(await states(1, 2, 3, 4, 6)).toEqual(["ready", "waiting", "waiting", "waiting", "blocked"]);
    await yard.engine.retry(5);
    expect(await states(6)).toEqual(["waiting"]);
  });

  test("that were cancelled or deleted unfinished block; deleted after success they stay met", async () => {
    await yard.submit({}, {}, {});
    await yard.claim("w", { max: 1 });
    await yard.finish("w", 1, 1, "succeeded");
    await yard.submit({ dependsOn: [{ job: 1 }] }, { dependsOn: [{ job: 2 }] }, { dependsOn: [{ job: 3 }] });
    await yard.engine.remove(1);
    await yard.engine.cancel(2, null);
    await yard.engine.remove(3);
    expect(await states(4, 5, 6)).toEqual(["ready", "blocked", "blocked"]);
    await yard.submit({ dependsOn: [{ job: 2 }] });
    expect(await states(7)).toEqual(["blocked"]);
  });

  test("retried after success make those wait that were not taken yet", async () => {
    await yard.submit({});
    await yard.claim("w");
    await yard.finish("w", 1, 1, "succeeded");
    await yard.submit({ dependsOn: [{ job: 1 }] }, { dependsOn: [{ job: 1 }] });
    await yard.claim("w", { max: 1 });
    await yard.engine.retry(1);
    expect(await states(2, 3)).toEqual(["leased", "waiting"]);
  });

  test("work through a fan and a chain of ten thousand", async () => {
    const fan = Array.from({ length: 10_000 }, () => ({ dependsOn: [{ job: 1 }] }));
    await yard.submit({});
    for (let at = 0; at < fan.length; at += 1_000) await yard.submit(...fan.slice(at, at + 1_000));
    await yard.claim("w");
    await yard.finish("w", 1, 1, "succeeded");
    expect((await yard.engine.read.stats()).jobsByState.ready).toBe(10_000);
    for (let at = 0; at < 10_000; at += 1_000) {
      const below = { dependsOn: [{ job: 10_001 + at }] };
      const links = Array.from({ length: 999 }, (_, index) => ({ dependsOn: [{ item: index }] }));
      await yard.submit(below, ...links);
    }
    await yard.engine.cancel(10_001, null);
    expect((await yard.engine.read.stats()).jobsByState.blocked).toBe(10_000);
    await yard.engine.retry(10_001);
    expect((await yard.engine.read.stats()).jobsByState).toMatchObject({ blocked: 0, waiting: 10_000 });
  }, 30_000);
});

describe("events and figures", () => {
  test("tell of every change after its commit, in order", async () => {
    const seen: EngineEvent[] = [];
    const stop = yard.engine.subscribe((events) => seen.push(...events));
    await yard.submit({});
    await yard.claim("w");
    await yard.engine.appendLog({
      workerId: "w",
      chunks: [{ id: 1, attempt: 1, seq: 1, time: 5, stream: "stdout", text: "x" }],
    });
    await yard.finish("w", 1, 1, "succeeded");
    stop();
    await yard.engine.remove(1);
    const told = seen.flatMap((event) =>
      event.type === "job" ? [`${event.from}→${event.to}`] : [event.type],
    );
    expect(told).toEqual(["null→ready", "worker", "ready→leased", "log", "leased→succeeded"]);
  });

  test("count commits, claims, waits and rates", async () => {
    await yard.submit({}, {});
    yard.now += 2_000;
    await yard.claim("w");
    const figures = await yard.engine.figures();
    expect(figures.waitSeconds).toMatchObject({ count: 2, sum: 4 });
    expect(figures.claimSeconds.count).toBe(1);
    expect(figures.commitSize.count).toBeGreaterThan(1);
    expect(figures.storeBytes).toBeGreaterThan(0);
    const { rates } = await yard.engine.read.stats();
    expect(rates.submitted).toEqual({ m1: 1, m5: 1, m15: 1 });
  });
});

describe("logs", () => {
  test("are kept from the holder of the attempt only", async () => {
    await yard.submit({ maxAttempts: 2 });
    await yard.claim("a");
    const send = (workerId: string, attempt: number, seq: number, text: string) =>
      yard.engine.appendLog({ workerId, chunks: [{ id: 1, attempt, seq, time: 1, stream: "stdout", text }] });
    expect(await send("a", 1, 1, "one\n")).toBe(1);
    expect(await send("a", 1, 1, "one\n")).toBe(0);
    expect(await send("b", 1, 2, "no\n")).toBe(0);
    expect(await send("a", 2, 1, "no\n")).toBe(0);
    await yard.pass(10_001);
    await yard.claim("b");
    expect(await send("a", 1, 2, "late\n")).toBe(1);
    expect(await send("b", 2, 1, "two\n")).toBe(1);
    const texts = async (filter: Parameters<typeof yard.engine.read.log>[1]) =>
      (await yard.engine.read.log(1, filter)).items.map((item) => item.text).join("");
    expect(await texts({})).toBe("two\n");
    expect(await texts({ attempt: 1 })).toBe("one\nlate\n");
    expect(await texts({ after: 0 })).toBe("one\nlate\ntwo\n");
    expect(await texts({ attempt: 1, tailLines: 1 })).toBe("late\n");
    const page = await yard.engine.read.log(1, { after: 1 });
    expect(await texts({ after: page.next })).toBe("");
  });
});
