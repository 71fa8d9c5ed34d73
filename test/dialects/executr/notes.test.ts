/** What Executr's existing programs rely on beside the document, rule by rule. */
import { describe, expect, test } from "bun:test";
import { executrDialect } from "../../../src/dialects/executr/executrDialect.ts";
import { StoreUnavailableError } from "../../../src/domain/errors.ts";
import { DEFAULT_SERVER_LIMITS } from "../../../src/server/limits.ts";
import { newJob } from "../../engine/testEngine.ts";
import { fakeEngine } from "../../server/fakeEngine.ts";
import { startTestServerWith } from "../../server/testServer.ts";
import { aJob, Caller, GO, startExecutr, type Wire } from "./executrServer.ts";

describe("Go's HTTP client", () => {
  test("gets 204 without a body for cancel, heartbeat, complete and fail", async () => {
    await using server = await startExecutr();
    const { api } = server;
    const first = await api.running();
    const second = await api.running();
    const third = await api.submit();
    const answers = [
      await api.heartbeat(first, "worker-1", GO),
      await api.complete(first, { stdout: "out" }, GO),
      await api.complete(first, { stdout: "out" }, { "user-agent": "Go-http-client/2.0" }),
      await api.fail(second, {}, GO),
      await api.delete(`/jobs/${third}`, GO),
    ];
    for (const { status, text } of answers) expect([status, text]).toEqual([204, ""]);
    const statuses = await Promise.all([first, second, third].map(async (id) => (await api.job(id)).status));
    expect(statuses).toEqual(["completed", "failed", "cancelled"]);
  });

  test("gets the document's codes everywhere else, and refusals with their words", async () => {
    await using server = await startExecutr();
    const { api } = server;
    expect((await api.get("/health", GO)).status).toBe(200);
    expect((await api.post("/jobs", aJob(), GO)).status).toBe(201);
    const executor = { executor_id: "w", executor_ip: "h" };
    const claimed = await api.post("/jobs/claim", executor, GO);
    expect([claimed.status, claimed.body.status]).toEqual([200, "running"]);
    expect((await api.post("/jobs/claim", executor, GO)).status).toBe(204);
    expect((await api.get("/jobs", GO)).status).toBe(200);
    expect((await api.get(`/jobs/${claimed.body.id}`, GO)).status).toBe(200);
    const refused = await api.delete(`/jobs/${claimed.body.id}`, GO);
    expect([refused.status, refused.body.error]).toEqual([400, expect.stringContaining("running")]);
  });

  test("bulk submissions tell of each job: 201, 206, 400", async () => {
    await using server = await startExecutr();
    const { api } = server;
    const good = aJob();
    const bad = aJob({ binary_url: "ftp://example.com" });
    const id = expect.any(String);
    const all = await api.post("/jobs/bulk", [good, good], GO);
    expect([all.status, all.json]).toEqual([
      201,
      {
        total: 2,
        successful: 2,
        failed: 0,
        results: [
          { index: 0, success: true, job_id: id },
          { index: 1, success: true, job_id: id },
        ],
      },
    ]);
    const some = await api.post("/jobs/bulk?partial=true", [bad, good, "nonsense"]);
    expect([some.status, some.json]).toEqual([
      206,
      {
        total: 3,
        successful: 1,
        failed: 2,
        results: [
          { index: 0, success: false, error: expect.stringContaining("binary_url") },
          { index: 1, success: true, job_id: id },
          { index: 2, success: false, error: expect.any(String) },
        ],
      },
    ]);
    expect((await api.job(some.body.results[1]?.job_id ?? "")).status).toBe("pending");
    const none = await api.post("/jobs/bulk", [bad], GO);
    expect([none.status, none.json]).toMatchObject([400, { total: 1, successful: 0, failed: 1 }]);
    expect((await api.post("/jobs/bulk?partial=false", [bad, good], GO)).status).toBe(400);
  });
});

test("a claim waits inside its request while the store is away, and is answered when it is back", async () => {
  let tries = 0;
  const engine = fakeEngine({
    claim: async () => {
      tries++;
      if (tries < 3) throw new StoreUnavailableError("failing over");
      return [];
    },
    read: { dialectOfWorker: async () => null },
  });
  await using server = await startTestServerWith(engine, { dialects: [executrDialect({ engine })] });
  const { status } = await new Caller(server.url).post(
    "/jobs/claim",
    { executor_id: "w", executor_ip: "h" },
    GO,
  );
  expect([status, tries]).toEqual([204, 3]);
});

test("a claim gives up after its patience with 503, and when its executor leaves", async () => {
  let tries = 0;
  const engine = fakeEngine({
    claim: async () => {
      tries++;
      throw new StoreUnavailableError("gone");
    },
    read: { dialectOfWorker: async () => null },
  });
  const dialects = [executrDialect({ engine, claimPatienceMs: 600 })];
  await using server = await startTestServerWith(engine, { dialects });
  const { status, json } = await new Caller(server.url).post("/jobs/claim", {
    executor_id: "w",
    executor_ip: "h",
  });
  expect([status, json]).toEqual([503, { error: "gone", context: { retry_after_seconds: 1 } }]);
  expect(tries).toBeGreaterThan(1);

  const patient = [executrDialect({ engine })];
  await using second = await startTestServerWith(engine, { dialects: patient });
  tries = 0;
  const leave = new AbortController();
  const asked = fetch(`${second.url}/api/v1/jobs/claim`, {
    method: "POST",
    body: JSON.stringify({ executor_id: "w", executor_ip: "h" }),
    signal: leave.signal,
  }).catch(() => null);
  while (tries === 0) await Bun.sleep(5);
  leave.abort();
  await asked;
  await Bun.sleep(700);
  expect(tries).toBeLessThanOrEqual(2);
});

test("connections are kept for longer than the 90 s that executors keep them", () => {
  expect(DEFAULT_SERVER_LIMITS.idleTimeoutMs).toBeGreaterThanOrEqual(120_000);
});

test("health is 200 when the store is away", async () => {
  const engine = fakeEngine({
    read: {
      ping: async () => {
        throw new StoreUnavailableError("gone");
      },
    },
  });
  await using server = await startTestServerWith(engine, { dialects: [executrDialect({ engine })] });
  const { status, json } = await new Caller(server.url).get("/health", GO);
  expect([status, json]).toEqual([200, { status: "unhealthy", database: "disconnected" }]);
});

test("claims take foreground, background, best_effort, then the oldest", async () => {
  await using server = await startExecutr();
  const { api } = server;
  const wanted: string[] = [];
  const late = await api.submit({ priority: "best_effort" });
  const middle = [await api.submit({ priority: "background" }), await api.submit({ priority: "background" })];
  const first = await api.submit({ priority: "foreground" });
  wanted.push(first, ...middle, late);
  const got: string[] = [];
  for (const _ of wanted) got.push(await api.claim());
  expect(got).toEqual(wanted);
});

test("64 claims at one time give every job once", async () => {
  await using server = await startExecutr();
  const { api } = server;
  await api.post(
    "/jobs/bulk",
    Array.from({ length: 50 }, () => aJob()),
  );
  const claims = await Promise.all(Array.from({ length: 64 }, (_, n) => api.claim(`worker-${n}`)));
  const given = claims.filter((id) => id !== "");
  expect([given.length, new Set(given).size]).toEqual([50, 50]);
});

test("only the executor that holds a job is heard", async () => {
  await using server = await startExecutr();
  const { api } = server;
  const id = await api.running();
  const before = await api.job(id);
  const other = { executor_id: "worker-2" };
  for (const headers of [{}, GO]) {
    for (const answer of [
      await api.heartbeat(id, "worker-2", headers),
      await api.complete(id, other, headers),
      await api.fail(id, other, headers),
    ]) {
      expect([answer.status, answer.body.context]).toMatchObject([400, { job_id: id, field: "executor_id" }]);
    }
  }
  expect(await api.job(id)).toEqual(before);
  expect((await api.complete(id)).status).toBe(200);
  expect((await api.complete(id, other)).status).toBe(400);
  expect((await api.heartbeat(id)).status).toBe(404);
});

test("a report that is repeated is taken; one with other content is refused and changes nothing", async () => {
  await using server = await startExecutr();
  const { api } = server;
  const id = await api.running();
  const report = { stdout: "o\0ut", stderr: "err", exit_code: 3 };
  const first = await api.complete(id, report);
  expect([first.status, first.body.exit_code, first.body.status]).toEqual([200, 3, "completed"]);
  const second = await api.complete(id, report);
  expect([second.status, second.json]).toEqual([200, first.json]);
  for (const other of [{ stdout: "x" }, { stderr: "x" }, { exit_code: 0 }]) {
    expect((await api.complete(id, { ...report, ...other })).status).toBe(400);
  }
  expect((await api.get(`/jobs/${id}`)).json).toEqual(first.json);

  const failed = await api.running();
  const failure = { exit_code: -1, error_message: "killed by SIGKILL" };
  expect((await api.fail(failed, failure)).status).toBe(200);
  expect((await api.fail(failed, failure)).status).toBe(200);
  expect((await api.fail(failed, { ...failure, error_message: "other" })).status).toBe(400);
  expect((await api.complete(failed)).status).toBe(400);
});

test("what Go leaves out is empty or zero: a finished job has it all the same", async () => {
  await using server = await startExecutr();
  const { api } = server;
  const id = await api.running();
  const { json } = await api.put(`/jobs/${id}/complete`, { executor_id: "worker-1" });
  expect(json).toMatchObject({ stdout: "", stderr: "", exit_code: 0, executor_id: "worker-1" });
  const cancelled = await api.submit();
  const answer = await api.delete(`/jobs/${cancelled}`);
  expect(answer.json).toMatchObject({ stdout: "", stderr: "", status: "cancelled" });
  expect(answer.json).not.toHaveProperty("exit_code");
});

test("executors say who they are and where", async () => {
  await using server = await startExecutr();
  const { api } = server;
  const needed = async (method: string, path: string, body: object, field: string) => {
    const answer = await api.call(method, path, body, GO);
    expect([path, answer.status, answer.body.context]).toEqual([path, 400, { field }]);
  };
  const id = await api.running();
  await needed("POST", "/jobs/claim", { executor_id: "w" }, "executor_ip");
  await needed("POST", "/jobs/claim", { executor_ip: "h" }, "executor_id");
  await needed("POST", "/jobs/claim", { executor_id: "", executor_ip: "h" }, "executor_id");
  await needed("POST", "/jobs/claim", { executor_id: "w", executor_ip: "" }, "executor_ip");
  await needed("PUT", `/jobs/${id}/heartbeat`, {}, "executor_id");
  await needed("PUT", `/jobs/${id}/complete`, {}, "executor_id");
  await needed("PUT", `/jobs/${id}/fail`, { error_message: "x" }, "executor_id");
  await needed("PUT", `/jobs/${id}/fail`, { executor_id: "worker-1" }, "error_message");
  expect((await api.job(id)).status).toBe("running");
});

test("an executor that comes back from another host is shown with it", async () => {
  await using server = await startExecutr();
  const { api } = server;
  await api.submit();
  await api.post("/jobs/claim", { executor_id: "w", executor_ip: "old.example" });
  await api.submit();
  const { json } = await api.post("/jobs/claim", { executor_id: "w", executor_ip: "10.0.0.7" });
  expect(json).toMatchObject({ attempts: [{ executor_ip: "10.0.0.7" }] });
});

test("an executor cannot claim under the id of another API's worker", async () => {
  await using server = await startExecutr();
  const { api, engine } = server;
  await engine.registerWorker({
    id: "agent-1",
    name: "agent",
    address: null,
    capacity: { cpu: 1, accelerators: 0, memoryMb: 0 },
    labels: {},
    queues: ["*"],
    kinds: ["command"],
    dialect: "yardmaster",
    details: {},
  });
  await api.submit();
  const { status, body } = await api.post("/jobs/claim", { executor_id: "agent-1", executor_ip: "h" });
  expect([status, body.context]).toEqual([400, { field: "executor_id" }]);
  expect(await api.claim()).not.toBe("");
});

test("jobs of other APIs are neither shown, given, nor cancelled", async () => {
  await using server = await startExecutr();
  const { api, engine } = server;
  const job = newJob({ kind: "binary", spec: { url: "http://x/", sha256: "ab".repeat(32) } });
  const { jobs } = await engine.submit({ jobs: [job], idempotency: null });
  const key = jobs[0]?.key ?? "";
  expect(await api.claim()).toBe("");
  expect((await api.get(`/jobs/${key}`)).status).toBe(404);
  expect((await api.delete(`/jobs/${key}`)).status).toBe(404);
  expect((await api.get("/jobs")).json).toEqual([]);
  const { json } = await api.post("/jobs/bulk/cancel", { job_ids: [key] });
  expect(json).toEqual({
    cancelled: 0,
    failed: 1,
    total: 1,
    errors: [{ job_id: key, error: "job not found" }],
  });
  expect((await api.get("/admin/stats")).body.jobs_by_status.pending).toBe(0);
});

test("a job that an agent holds shows with the agent as its executor", async () => {
  await using server = await startExecutr();
  const { api, engine } = server;
  const id = await api.submit({ type: "t" });
  const [claimed] = await engine.claim({
    workerId: "agent-1",
    queues: ["*"],
    kinds: ["binary"],
    capacity: { cpu: 8, accelerators: 0, memoryMb: 1_000 },
    max: 1,
    waitMs: 0,
    leaseMs: null,
  });
  expect(claimed).toMatchObject({
    key: id,
    name: "t",
    kind: "binary",
    queue: "executr.background",
    priority: 0,
    spec: { url: "https://example.com/binary", sha256: "ab".repeat(32) },
    maxAttempts: 1,
    maxRecoveries: 3,
  });
  // It has not started its process yet; for this API the attempt begins with the claim.
  const startedAt = expect.stringMatching(/Z$/);
  expect(await api.job(id)).toMatchObject({
    status: "running",
    executor_id: "agent-1",
    started_at: startedAt,
    attempts: [{ executor_id: "agent-1", started_at: startedAt, status: "running" }],
  });
  expect((await api.get("/admin/stats")).body.active_executors).toBe(1);
  expect((await api.get("/admin/executors")).json).toMatchObject([
    { executor_id: "agent-1", current_job_id: id },
  ]);
  if (claimed === undefined) throw new Error("nothing was claimed");
  const logged = { id: claimed.id, attempt: 1, seq: 1, time: 0, stream: "stdout" as const, text: "the log" };
  await engine.appendLog({ workerId: "agent-1", chunks: [logged, { ...logged, seq: 2, stream: "system" }] });
  const result = { id: claimed.id, attempt: 1, outcome: "succeeded" as const, exitCode: 0, error: null };
  const cut = { ...result, result: { stderr: "cut by the agent" }, startedAt: null };
  await engine.finish({ workerId: "agent-1", results: [cut] });
  expect(await api.job(id)).toMatchObject({
    status: "completed",
    stdout: "the log",
    stderr: "cut by the agent",
  });
});

describe("bulk", () => {
  test("takes 1 to 100 jobs, all or none; a bad one is named by its place and field", async () => {
    await using server = await startExecutr();
    const { api } = server;
    const hundred = Array.from({ length: 100 }, () => aJob());
    expect((await api.post("/jobs/bulk", hundred)).status).toBe(201);
    for (const wrong of [[], [...hundred, aJob()], aJob(), "x", null, 5]) {
      const { status, body } = await api.post("/jobs/bulk", JSON.stringify(wrong));
      expect([status, body.context]).toEqual([400, { field: "body" }]);
    }
    const { status, body } = await api.post("/jobs/bulk", [aJob(), aJob({ type: "a b" }), aJob()]);
    expect([status, body.context]).toEqual([400, { index: 1, field: "type" }]);
    expect((await api.get("/admin/stats")).body.jobs_by_status.pending).toBe(100);
  });

  test("max_retries is taken in both kinds of submission", async () => {
    await using server = await startExecutr();
    const { api } = server;
    await api.post("/jobs/bulk", [aJob({ max_retries: 1 })]);
    const id = await api.claim();
    expect((await api.fail(id)).body.status).toBe("pending");
  });

  test("cancel: by type, by status, by both; not by nothing", async () => {
    await using server = await startExecutr();
    const { api } = server;
    const cancel = async (body: object) => (await api.post("/jobs/bulk/cancel", body)).json;
    await api.running({ type: "a" });
    for (const type of ["a", "a", "b"]) await api.submit({ type });
    const none = { failed: 0, errors: [] };
    expect(await cancel({ type: "nothing" })).toEqual({ cancelled: 0, total: 0, ...none });
    expect(await cancel({ type: "a" })).toEqual({ cancelled: 2, total: 2, ...none });
    expect(await cancel({ status: "pending" })).toEqual({ cancelled: 1, total: 1, ...none });
    expect((await api.get("/admin/stats")).body.jobs_by_status).toMatchObject({ running: 1, cancelled: 3 });
    for (const body of [
      {},
      { job_ids: [] },
      { job_ids: [], type: "a" },
      { type: "" },
      { status: "nonsense" },
    ]) {
      expect([body, (await api.post("/jobs/bulk/cancel", body)).status]).toEqual([body, 400]);
    }
  });

  test("cancel: what a status but pending selects is told as failed, and changed by nothing", async () => {
    await using server = await startExecutr();
    const { api } = server;
    const cancel = async (body: object) => (await api.post("/jobs/bulk/cancel", body)).json;
    const running = await api.running({ type: "a" });
    const pending = await api.submit({ type: "a" });
    const ofRunning = {
      ...{ cancelled: 0, failed: 1, total: 1 },
      errors: [{ job_id: running, error: "the job is running; only a pending job can be cancelled" }],
    };
    expect(await cancel({ status: "running" })).toEqual(ofRunning);
    expect(await cancel({ status: "running", type: "a" })).toEqual(ofRunning);
    expect(await cancel({ status: "running", job_ids: [running] })).toEqual(ofRunning);
    expect(await cancel({ status: "completed" })).toEqual({ cancelled: 0, failed: 0, total: 0, errors: [] });
    expect(await cancel({ status: "running", job_ids: [pending] })).toMatchObject({
      ...{ cancelled: 0, failed: 1 },
      errors: [{ job_id: pending, error: "the job is pending" }],
    });
    expect((await api.job(pending)).status).toBe("pending");
  });

  test("cancel goes to the end of many, and past ids that are none", async () => {
    await using server = await startExecutr();
    const { api } = server;
    const hundred = Array.from({ length: 100 }, () => aJob());
    for (let n = 0; n < 12; n++) await api.post("/jobs/bulk", hundred);
    const id = await api.submit({ type: "other" });
    const mixed = await api.post("/jobs/bulk/cancel", { job_ids: ["nonsense", id, id], type: "other" });
    expect(mixed.json).toMatchObject({ cancelled: 1, failed: 1, total: 2, errors: [{ job_id: "nonsense" }] });
    const all = await api.post("/jobs/bulk/cancel", { type: "data-processing", status: "pending" });
    expect(all.json).toEqual({ cancelled: 1_200, failed: 0, total: 1_200, errors: [] });
  });
});

test("list rows have neither outputs nor attempts, the newest come first, and empty filters are none", async () => {
  await using server = await startExecutr();
  const { api } = server;
  await api.complete(await api.running(), { stdout: "out" });
  const { body } = await api.get<Wire[]>("/jobs?status=&type=&unknown=1&limit=10&limit=1", GO);
  expect(body).toHaveLength(1);
  expect(body[0]).toMatchObject({ status: "completed", exit_code: 0, executor_id: "worker-1" });
  for (const field of ["stdout", "stderr", "attempts"]) expect(body[0]).not.toHaveProperty(field);
});

test("ids are taken in any case", async () => {
  await using server = await startExecutr();
  const id = await server.api.submit();
  expect((await server.api.get(`/jobs/${id.toUpperCase()}`)).body.id).toBe(id);
});

test("bodies may come without a type, or as curl sends them", async () => {
  await using server = await startExecutr();
  const type = { "content-type": "application/x-www-form-urlencoded" };
  expect((await server.api.post("/jobs", JSON.stringify(aJob()), type)).status).toBe(201);
  const page = { ...type, origin: "https://evil.example", "sec-fetch-site": "cross-site" };
  const { status, json } = await server.api.post("/jobs", JSON.stringify(aJob()), page);
  expect([status, json]).toEqual([403, { error: expect.any(String), context: {} }]);
});
