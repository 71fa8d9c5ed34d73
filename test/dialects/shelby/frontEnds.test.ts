/** The front-end endpoints, line by line of the document and the notes. */
import { expect, test } from "bun:test";
import { isRecentSeconds, type ShelbyServer, startShelby, until } from "./shelbyServer.ts";

const SECONDS = expect.any(Number);
const MARKUP = '<script>alert(1)</script>"&\u2028';

/** One job of each status: pending, assigned, finished, failed, cancelled; named after them. */
async function oneOfEach(shelby: ShelbyServer): Promise<void> {
  await shelby.post("/api/nodes/register", { nodeId: "n", specs: { gpuCount: 2, gpuUsage: 30 } });
  for (const job of ["assigned", "finished", "failed", "cancelled", "pending"]) await shelby.job(job);
  for (const job of ["assigned", "finished", "failed"]) await shelby.ack("n", job);
  await shelby.finish("n", "finished");
  await shelby.finish("n", "failed", { metadata: { error: "broken" }, modelHash: "" });
  await shelby.engine.cancel("cancelled", null);
}

test("GET /api/frontend/dashboard", async () => {
  await using shelby = await startShelby();
  await oneOfEach(shelby);
  const { json, body } = await shelby.get("/api/frontend/dashboard");
  expect(json).toEqual({
    jobStats: { pending: 1, assigned: 1, finished: 1, failed: 1, cancelled: 1, total: 5 },
    activeNodes: 1,
    recentJobs: (await shelby.get("/api/frontend/jobs?limit=10")).body.jobs,
    timestamp: SECONDS,
  });
  expect(isRecentSeconds(Reflect.get(body, "timestamp"))).toBe(true);
});

test("GET /api/frontend/system/health", async () => {
  await using shelby = await startShelby();
  await oneOfEach(shelby);
  const answer = await shelby.get("/api/frontend/system/health");
  expect([answer.status, answer.json]).toEqual([
    200,
    {
      ...{ status: "healthy", database: "healthy", activeNodes: 1, timestamp: SECONDS },
      jobQueue: { pending: 1, running: 1, completed: 1 },
    },
  ]);
});

test("lists tell the model and the metadata of a job whose node had much to say", async () => {
  await using shelby = await startShelby();
  const metadata = { losses: Array.from({ length: 10_000 }, (_, epoch) => epoch / 7) };
  await shelby.job("long");
  await shelby.ack("n", "long");
  await shelby.finish("n", "long", { metadata, modelHash: "abc" });
  const expected = [expect.objectContaining({ jobId: "long", modelHash: "abc", metadata })];
  expect((await shelby.get("/api/frontend/jobs")).json).toMatchObject({ jobs: expected });
  expect((await shelby.get("/api/frontend/dashboard")).json).toMatchObject({ recentJobs: expected });
});

test("GET /api/frontend/jobs: every field, newest first, by status, limited", async () => {
  await using shelby = await startShelby();
  await oneOfEach(shelby);
  const { json, body } = await shelby.get("/api/frontend/jobs");
  const job = { datasetName: "MNIST", datasetUrl: null, meta: {}, createdAt: SECONDS };
  const idle = { assignedNode: null, startedAt: null, finishedAt: null, duration: null };
  const none = { modelHash: null, metadata: null };
  const taken = { assignedNode: "n", startedAt: SECONDS };
  const ended = { finishedAt: SECONDS, duration: expect.any(Number) };
  expect(json).toEqual({
    count: 5,
    jobs: [
      { jobId: "pending", status: "pending", ...job, ...idle, ...none },
      {
        ...{ jobId: "cancelled", status: "cancelled", ...job, ...idle, finishedAt: SECONDS },
        ...{ modelHash: null, metadata: { error: "cancelled by the user" } },
      },
      {
        jobId: "failed",
        status: "failed",
        ...job,
        ...taken,
        ...ended,
        modelHash: "",
        metadata: { error: "broken" },
      },
      {
        jobId: "finished",
        status: "finished",
        ...job,
        ...taken,
        ...ended,
        modelHash: "abc123",
        metadata: {},
      },
      { jobId: "assigned", status: "assigned", ...job, ...idle, ...taken, ...none },
    ],
  });
  for (const { createdAt, startedAt, finishedAt, duration } of body.jobs) {
    expect(isRecentSeconds(createdAt)).toBe(true);
    if (startedAt !== null && finishedAt !== null) expect(duration).toBe(finishedAt - startedAt);
  }
  for (const status of ["pending", "assigned", "finished", "failed", "cancelled"]) {
    const { body } = await shelby.get(`/api/frontend/jobs?status=${status}`);
    expect([body.count, body.jobs.map(({ jobId }) => jobId)]).toEqual([1, [status]]);
  }
  expect((await shelby.get("/api/frontend/jobs?limit=2")).body.jobs.map(({ jobId }) => jobId)).toEqual([
    "pending",
    "cancelled",
  ]);
  expect((await shelby.get("/api/frontend/jobs?status=&limit=99999999")).body.count).toBe(5);
});

test("GET /api/frontend/jobs gives 50 by default", async () => {
  await using shelby = await startShelby();
  await Promise.all(Array.from({ length: 60 }, () => shelby.post("/api/jobs/create", { datasetName: "d" })));
  expect((await shelby.get("/api/frontend/jobs")).body.count).toBe(50);
});

test("GET /api/frontend/jobs/{job_id}: the job with logs and provenance", async () => {
  await using shelby = await startShelby();
  await shelby.job("j", { datasetUrl: "https://d", meta: { description: MARKUP } });
  await shelby.ack("n", "j");
  await shelby.post("/api/jobs/stream-log", { job_id: "j", line: "Starting training..." });
  await shelby.finish("n", "j");
  const { jobs } = (await shelby.get("/api/frontend/jobs")).body;
  const { json, body } = await shelby.get("/api/frontend/jobs/j");
  expect(json).toEqual({
    ...jobs[0],
    meta: { description: MARKUP },
    logs: [{ line: "Starting training...", timestamp: SECONDS }],
    provenance: [{ record: expect.objectContaining({ jobId: "j", nodeId: "n" }), createdAt: SECONDS }],
  });
  expect(isRecentSeconds(body.logs[0]?.timestamp)).toBe(true);
});

test("POST /api/jobs/create: the caller's id once, else a UUID, and the defaults", async () => {
  await using shelby = await startShelby();
  const whole = {
    ...{ jobId: "mine", datasetName: "My Dataset", datasetUrl: "https://example.com/dataset" },
    ...{ datasetHash: "optional-hash", runtimeMinutesEstimate: 30, meta: { description: "Custom" } },
  };
  const made = await shelby.post("/api/jobs/create", whole);
  expect([made.status, made.json]).toEqual([200, { status: "ok", jobId: "mine" }]);
  const again = await shelby.post("/api/jobs/create", whole);
  expect([again.status, again.json]).toEqual([400, { detail: "Job already exists" }]);
  const { body } = await shelby.post("/api/jobs/create", { datasetName: "d" });
  expect(body.jobId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  expect(await shelby.engine.read.job(body.jobId)).toMatchObject({
    ...{ dialect: "shelby", kind: "script", queue: "shelby", name: "d", maxAttempts: 1, maxRecoveries: 3 },
    spec: {
      ...{ dataset: { name: "d", url: null, hash: null }, script: null, requirements: "" },
      ...{ entrypoint: "train.py", runtimeMinutesEstimate: 5, meta: {} },
    },
  });
  const racing = await Promise.all(
    Array.from({ length: 8 }, () => shelby.post("/api/jobs/create", { jobId: "race", datasetName: "d" })),
  );
  expect(racing.filter(({ status }) => status === 200).length).toBe(1);
  expect(racing.filter(({ status }) => status === 400).length).toBe(7);
});

test("ids with slashes, spaces, digits and markup are ids", async () => {
  await using shelby = await startShelby();
  for (const jobId of ["a/b c", "17", "<b>&?#%", "ü☃", "..%2f", "__proto__"]) {
    await shelby.job(jobId);
    const path = `/api/frontend/jobs/${encodeURIComponent(jobId)}`;
    expect((await shelby.get(path)).body).toMatchObject({ jobId, status: "pending" });
    expect((await shelby.ack("n", jobId)).status).toBe(200);
    expect((await shelby.finish("n", jobId)).status).toBe(200);
    expect((await shelby.delete(path)).body.jobId).toBe(jobId);
  }
});

test("DELETE /api/frontend/jobs/{id}, whatever the job's status; its node hears that it is gone", async () => {
  await using shelby = await startShelby();
  await oneOfEach(shelby);
  for (const jobId of ["pending", "assigned", "finished", "failed", "cancelled"]) {
    const answer = await shelby.delete(`/api/frontend/jobs/${jobId}`);
    expect([answer.status, answer.json]).toEqual([
      200,
      { status: "ok", message: "Job deleted successfully", jobId },
    ]);
  }
  const gone = [404, { detail: "Job not found" }];
  const answers = [
    await shelby.finish("n", "assigned"),
    await shelby.get("/api/frontend/jobs/assigned"),
    await shelby.delete("/api/frontend/jobs/assigned"),
    await shelby.post("/api/frontend/jobs/assigned/restart"),
    await shelby.ack("n", "assigned"),
    await shelby.get("/api/frontend/logs/assigned"),
    await shelby.get("/api/frontend/logs?jobId=assigned"),
    await shelby.get("/api/frontend/job-metrics/assigned"),
    await shelby.post("/api/jobs/stream-log", { job_id: "assigned", line: "x" }),
  ];
  for (const { status, json } of answers) expect([status, json]).toEqual(gone);
  expect((await shelby.get("/api/frontend/dashboard")).body.jobStats.total).toBe(0);
});

test("POST /api/frontend/jobs/{id}/restart: what has ended runs again, and its history is kept", async () => {
  await using shelby = await startShelby();
  await oneOfEach(shelby);
  for (const jobId of ["pending", "assigned"]) {
    const answer = await shelby.post(`/api/frontend/jobs/${jobId}/restart`);
    expect([answer.status, answer.json]).toEqual([400, { detail: expect.stringContaining(jobId) }]);
  }
  for (const jobId of ["failed", "cancelled"]) {
    expect((await shelby.post(`/api/frontend/jobs/${jobId}/restart`)).status).toBe(200);
    expect(await shelby.statusOf(jobId)).toBe("pending");
  }

  await shelby.post("/api/jobs/stream-log", { job_id: "finished", line: "first run" });
  const answer = await shelby.post("/api/frontend/jobs/finished/restart");
  const message = "Job restarted successfully";
  expect([answer.status, answer.json]).toEqual([200, { status: "ok", message, jobId: "finished" }]);
  const idle = { assignedNode: null, startedAt: null, finishedAt: null, modelHash: null, metadata: null };
  expect((await shelby.get("/api/frontend/jobs/finished")).body).toMatchObject({
    status: "pending",
    ...idle,
  });
  expect((await shelby.ack("m", "finished")).status).toBe(200);
  await shelby.post("/api/jobs/stream-log", { job_id: "finished", line: "second run" });
  await shelby.finish("m", "finished", { modelHash: "def" });
  const { body } = await shelby.get("/api/frontend/jobs/finished");
  expect(body).toMatchObject({ assignedNode: "m", modelHash: "def" });
  expect(body.logs.map(({ line }) => line)).toEqual(["first run", "second run"]);
  expect(body.provenance.map(({ record }) => [record.nodeId, record.modelHash])).toEqual([
    ["n", "abc123"],
    ["m", "def"],
  ]);
});

test("restarts keep what all runs wrote, of whatever length, also where a run ended with an error", async () => {
  await using shelby = await startShelby();
  await shelby.job("j");
  const { id } = await shelby.engine.read.job({ dialect: "shelby", key: "j" });
  const [runs, linesOfRun] = [5, 8_000];
  for (let run = 0; run < runs; run++) {
    await shelby.ack("n", "j");
    const texts = Array.from({ length: linesOfRun }, (_, n) => `run ${run} line ${n}`);
    const time = Date.now();
    await shelby.engine.appendLines(texts.map((text) => ({ job: id, time, stream: "stdout", text })));
    const sample = { nodeId: "n", jobId: "j", cpu_percent: run, ram_percent: 1, ts: run };
    expect((await shelby.post("/api/usage-report", sample)).status).toBe(200);
    const metadata = run % 2 === 0 ? { run, notes: "x".repeat(50_000) } : { run, error: "no" };
    await shelby.finish("n", "j", { modelHash: `hash-${run}`, metadata });
    if (run < runs - 1) expect((await shelby.post("/api/frontend/jobs/j/restart")).status).toBe(200);
  }
  const { logs } = (await shelby.get("/api/frontend/logs/j?limit=100000")).body;
  const expected = Array.from({ length: runs * linesOfRun }, (_, at) => {
    return `run ${Math.floor(at / linesOfRun)} line ${at % linesOfRun}`;
  });
  expect(logs.map(({ line }) => line)).toEqual(expected);
  const across = (await shelby.get(`/api/frontend/logs/j?limit=${linesOfRun + 10}`)).body.logs;
  expect(across.map(({ line }) => line)).toEqual(expected.slice(-linesOfRun - 10));
  const { body } = await shelby.get("/api/frontend/jobs/j");
  expect(body.provenance.map(({ record }) => record.modelHash)).toEqual(
    [0, 1, 2, 3, 4].map((n) => `hash-${n}`),
  );
  expect(body).toMatchObject({ status: "finished", modelHash: "hash-4" });
});

test("a finished job can be polled again at once after its restart", async () => {
  await using shelby = await startShelby();
  await shelby.job("j");
  for (let run = 0; run < 3; run++) {
    expect(await shelby.poll(`n${run}`)).toBe("j");
    await shelby.ack(`n${run}`, "j");
    await shelby.finish(`n${run}`, "j");
    await shelby.post("/api/frontend/jobs/j/restart");
  }
});

test("DELETE /api/frontend/nodes/{id}: 404 for none, 400 while it holds a job", async () => {
  await using shelby = await startShelby();
  const missing = await shelby.delete("/api/frontend/nodes/n");
  expect([missing.status, missing.json]).toEqual([404, { detail: "Node not found" }]);
  await shelby.job("j");
  await shelby.ack("n", "j");
  const busy = await shelby.delete("/api/frontend/nodes/n");
  expect([busy.status, busy.json]).toEqual([400, { detail: "Node holds a job" }]);
  await shelby.finish("n", "j");
  const done = await shelby.delete("/api/frontend/nodes/n");
  expect([done.status, done.json]).toEqual([
    200,
    { status: "ok", message: "Node deleted successfully", nodeId: "n" },
  ]);
  expect((await shelby.get("/api/frontend/nodes")).json).toEqual({ nodes: [], count: 0 });
  // It lives: its next word brings it back.
  await shelby.poll("n");
  expect((await shelby.get("/api/frontend/nodes")).body.count).toBe(1);
});

test("nodes are active for the time that is set, then inactive", async () => {
  await using shelby = await startShelby({ dialect: { nodeTimeoutMs: 200 } });
  await shelby.post("/api/nodes/heartbeat", { nodeId: "n" });
  expect((await shelby.get("/api/frontend/dashboard")).json).toMatchObject({ activeNodes: 1 });
  const isSilent = async () => (await shelby.get("/api/frontend/nodes")).body.nodes[0]?.status === "inactive";
  await until(isSilent, "the node is inactive");
  expect((await shelby.get("/api/frontend/dashboard")).json).toMatchObject({ activeNodes: 0 });
  expect((await shelby.get("/api/frontend/node-stats")).json).toEqual({
    ...{ total: 1, online: 0, offline: 1, totalGpus: null, activeJobs: 0 },
  });
});

test("nodes that were only heard of are forgotten when they are silent for long, those that registered are not", async () => {
  await using shelby = await startShelby({ engine: { retainWorkersMs: 300, maintenanceMs: 20 } });
  const ids = async () =>
    (await shelby.get("/api/frontend/nodes")).body.nodes.map(({ nodeId }) => nodeId).sort();
  await shelby.post("/api/nodes/register", { nodeId: "registered", specs: { os: "Linux" } });
  await shelby.poll("heard");
  await shelby.post("/api/nodes/heartbeat", { nodeId: "beating" });
  expect(await ids()).toEqual(["beating", "heard", "registered"]);
  await until(async () => {
    await shelby.post("/api/nodes/heartbeat", { nodeId: "beating" });
    return (await ids()).length === 2;
  }, "the silent node is forgotten");
  expect(await ids()).toEqual(["beating", "registered"]);
  // Its next word brings it back.
  await shelby.post("/api/nodes/heartbeat", { nodeId: "heard" });
  expect(await ids()).toEqual(["beating", "heard", "registered"]);
});

test("a node that tells absurd figures does not spoil the sums of all", async () => {
  await using shelby = await startShelby();
  for (const [nodeId, specs] of Object.entries({
    right: { gpuCount: 2, gpuUsage: 40 },
    large: { gpuCount: 1e308, gpuUsage: 1e308 },
    negative: { gpuCount: -3, gpuUsage: -5 },
    text: { gpuCount: "8", gpuUsage: "<b>99</b>" },
  })) {
    expect((await shelby.post("/api/nodes/register", { nodeId, specs })).status).toBe(200);
  }
  expect((await shelby.get("/api/frontend/node-stats")).json).toMatchObject({ total: 4, totalGpus: 2 });
  expect((await shelby.get("/api/frontend/system-stats")).json).toMatchObject({ gpuUtilization: 40 });
});

test("node-stats and system-stats tell real figures or null", async () => {
  await using shelby = await startShelby();
  const unknown = { gpuUtilization: null, networkIO: null, creditsSpent: null, creditsPerHour: null };
  expect((await shelby.get("/api/frontend/system-stats")).json).toEqual({
    ...{ activeJobs: 0, totalJobs: 0, ...unknown },
  });
  await oneOfEach(shelby);
  await shelby.post("/api/nodes/register", { nodeId: "m", specs: { gpus: ["a100"], gpuUsage: 50 } });
  await shelby.post("/api/nodes/register", { nodeId: "o", specs: {} });
  expect((await shelby.get("/api/frontend/node-stats")).json).toEqual({
    ...{ total: 3, online: 3, offline: 0, totalGpus: 3, activeJobs: 1 },
  });
  expect((await shelby.get("/api/frontend/system-stats")).json).toEqual({
    ...{ activeJobs: 1, totalJobs: 5, ...unknown, gpuUtilization: 40 },
  });
});

test("GET /api/debug/jobs: an array, newest first", async () => {
  await using shelby = await startShelby();
  await shelby.job("a", { datasetHash: "h", meta: { m: 1 } });
  await shelby.job("b");
  await shelby.ack("n", "a");
  await shelby.finish("n", "a");
  const payload = { datasetName: "MNIST", datasetUrl: null, createdAt: SECONDS };
  expect((await shelby.get("/api/debug/jobs")).json).toEqual([
    {
      ...{ jobId: "b", status: "pending", assigned: null, startedAt: null, finishedAt: null },
      payload: { ...payload, jobId: "b", datasetHash: null, meta: {} },
    },
    {
      ...{ jobId: "a", status: "finished", assigned: "n", startedAt: SECONDS, finishedAt: SECONDS },
      payload: { ...payload, jobId: "a", datasetHash: "h", meta: { m: 1 } },
    },
  ]);
});

test("jobs of other APIs are not there", async () => {
  await using shelby = await startShelby();
  const { jobs } = await shelby.engine.submit({
    jobs: [
      {
        ...{
          dialect: "yardmaster",
          key: "native",
          kind: "command",
          queue: "default",
          name: "x",
          projectId: null,
        },
        ...{ spec: { argv: ["true"] }, task: null, priority: 0, resources: {}, labels: {}, requires: {} },
        ...{ dependsOn: [], maxAttempts: 1, maxRecoveries: 0, timeoutMs: null, runAt: null },
      },
    ],
    idempotency: null,
  });
  for (const id of ["native", String(jobs[0]?.id)]) {
    expect((await shelby.get(`/api/frontend/jobs/${id}`)).status).toBe(404);
    expect((await shelby.delete(`/api/frontend/jobs/${id}`)).status).toBe(404);
    expect((await shelby.ack("n", id)).status).toBe(404);
    expect((await shelby.post("/api/jobs/stream-log", { job_id: id, line: "x" })).status).toBe(404);
  }
  expect((await shelby.get("/api/frontend/jobs")).body.count).toBe(0);
  // Nor do they stand in the way of an id.
  await shelby.job("native");
  await shelby.post("/api/jobs/stream-log", { job_id: "native", line: "mine" });
  expect((await shelby.get("/api/frontend/jobs/native")).body).toMatchObject({ logs: [{ line: "mine" }] });
  expect((await shelby.delete("/api/frontend/jobs/native")).status).toBe(200);
  expect(await shelby.engine.read.job(jobs[0]?.id ?? 0)).toMatchObject({ key: "native" });
});

test("paths answer with a slash at their end, and /docs, /redoc and /openapi.json tell of them", async () => {
  await using shelby = await startShelby();
  expect((await shelby.get("/api/frontend/dashboard/")).status).toBe(200);
  for (const path of ["/docs", "/redoc"]) expect((await fetch(`${shelby.url}${path}`)).status).toBe(200);
  const { paths } = (await shelby.get("/openapi.json")).body;
  const documented = [
    ...[
      "dashboard",
      "system/health",
      "jobs",
      "jobs/{job_id}",
      "jobs/{job_id}/restart",
      "nodes",
      "nodes/{node_id}",
    ].map((path) => `/api/frontend/${path}`),
    ...[
      "logs",
      "logs/{job_id}",
      "stream-logs/{job_id}",
      "node-stats",
      "system-stats",
      "job-metrics/{job_id}",
    ].map((path) => `/api/frontend/${path}`),
    ...["create", "upload-script", "poll", "ack", "fetch-script", "finish", "stream-log"].map(
      (path) => `/api/jobs/${path}`,
    ),
    ...["/api/nodes/register", "/api/nodes/heartbeat", "/api/usage-report", "/api/debug/jobs"],
  ];
  for (const path of documented) expect([path, Object.keys(paths).includes(path)]).toEqual([path, true]);
});

test("lists and the dashboard look at what they show, however many jobs there are", async () => {
  await using shelby = await startShelby();
  const spec = { dataset: { name: "d", url: null, hash: null }, script: null, meta: {} };
  const job = {
    ...{ dialect: "shelby", key: null, kind: "script", queue: "shelby", name: "d", projectId: null, spec },
    ...{ task: null, priority: 0, resources: {}, labels: {}, requires: {}, dependsOn: [] },
    ...{ maxAttempts: 1, maxRecoveries: 3, timeoutMs: null, runAt: null },
  } as const;
  const fill = async (count: number) => {
    for (let n = 0; n < count; n += 5_000) {
      await shelby.engine.submit({ jobs: Array(5_000).fill(job), idempotency: null });
    }
  };
  const paths = ["dashboard", "jobs", "jobs?status=pending", "jobs?status=finished", "system/health"];
  const cost = async () => {
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 5; round++) {
      const before = performance.now();
      for (const path of paths) await shelby.get(`/api/frontend/${path}`);
      await shelby.poll("n");
      best = Math.min(best, performance.now() - before);
    }
    return best;
  };
  await fill(5_000);
  const few = await cost();
  await fill(45_000);
  expect((await shelby.get("/api/frontend/dashboard")).body.jobStats.total).toBe(50_000);
  // Ten times as many: what grew with them would take ten times as long.
  expect(await cost()).toBeLessThan(4 * few + 10);
}, 60_000);
