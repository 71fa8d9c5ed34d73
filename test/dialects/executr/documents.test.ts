/** Executr's document, line by line: every call as it stands there, on one server. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  aJob,
  type ExecutrServer,
  GO,
  NOBODY,
  startExecutr,
  TIME,
  UUID,
  type Wire,
} from "./executrServer.ts";

let server: ExecutrServer;
beforeAll(async () => {
  server = await startExecutr();
});
afterAll(() => server[Symbol.asyncDispose]());

const error = { error: expect.any(String), context: expect.any(Object) };
const time = expect.stringMatching(TIME);
const uuid = expect.stringMatching(UUID);

test("health", async () => {
  const { status, json } = await server.api.get("/health");
  expect([status, json]).toEqual([200, { status: "healthy", database: "connected" }]);
});

test("metrics are Prometheus text", async () => {
  const { status, headers, text } = await server.api.get("/metrics");
  expect(status).toBe(200);
  expect(headers.get("content-type")).toStartWith("text/plain");
  expect(text).toContain("# TYPE executr_jobs_submitted_total counter");
});

describe("submit", () => {
  test("answers 201 with the whole job", async () => {
    const { status, json } = await server.api.post("/jobs", {
      type: "data-processing",
      binary_url: "https://example.com/binary",
      binary_sha256: "ABC123".padEnd(64, "0"),
      arguments: ["arg1", "arg2"],
      env_variables: { KEY1: "value1", KEY2: "value2" },
      priority: "best_effort",
    });
    expect(status).toBe(201);
    expect(json).toEqual({
      id: uuid,
      type: "data-processing",
      binary_url: "https://example.com/binary",
      binary_sha256: "abc123".padEnd(64, "0"),
      arguments: ["arg1", "arg2"],
      env_variables: { KEY1: "value1", KEY2: "value2" },
      priority: "best_effort",
      status: "pending",
      created_at: time,
      attempts: [],
    });
  });

  test("arguments and env_variables are optional, and may be null as Go writes what it has not", async () => {
    expect((await server.api.post("/jobs", aJob())).status).toBe(201);
    const nulls = aJob({ arguments: null, env_variables: null, max_retries: null });
    const { status, json } = await server.api.post("/jobs", nulls, GO);
    expect([status, json]).toEqual([201, expect.objectContaining({ arguments: [], env_variables: {} })]);
  });

  test("type, binary_url, binary_sha256 and priority are required", async () => {
    for (const field of ["type", "binary_url", "binary_sha256", "priority"]) {
      const { status, json } = await server.api.post("/jobs", aJob({ [field]: undefined }));
      expect([field, status, json]).toEqual([
        field,
        400,
        { error: expect.stringContaining(field), context: { field } },
      ]);
    }
  });

  test("priority is one of three words", async () => {
    for (const priority of ["foreground", "background", "best_effort"]) {
      expect((await server.api.post("/jobs", aJob({ priority }))).status).toBe(201);
    }
    const { status, body } = await server.api.post("/jobs", aJob({ priority: "urgent" }));
    expect([status, body.context]).toEqual([400, { field: "priority" }]);
    expect(body.error).toContain("foreground");
  });
});

test("a job's life: submit, claim, heartbeat, complete, get", async () => {
  await using own = await startExecutr();
  const { api } = own;
  const id = await api.submit({ arguments: ["arg1", "arg2"], env_variables: { KEY1: "value1" } });
  const executor = { executor_id: "worker-1-abc123", executor_ip: "192.168.1.100" };
  const claimed = await api.post("/jobs/claim", executor);
  const begun = {
    id,
    type: "data-processing",
    binary_url: "https://example.com/binary",
    binary_sha256: "ab".repeat(32),
    arguments: ["arg1", "arg2"],
    env_variables: { KEY1: "value1" },
    priority: "background",
    status: "running",
    executor_id: "worker-1-abc123",
    created_at: time,
    started_at: time,
    last_heartbeat: time,
    attempts: [{ ...executor, started_at: time, status: "running" }],
  };
  expect([claimed.status, claimed.json]).toEqual([200, begun]);
  const got = await api.get(`/jobs/${id}`);
  expect([got.status, got.json]).toEqual([200, begun]);

  const none = await api.post("/jobs/claim", executor);
  expect([none.status, none.text]).toEqual([204, ""]);

  const alive = await api.put(`/jobs/${id}/heartbeat`, { executor_id: "worker-1-abc123" });
  expect([alive.status, alive.json]).toEqual([200, begun]);

  const report = { executor_id: "worker-1-abc123", stdout: "Job output...", stderr: "", exit_code: 0 };
  const completed = await api.put(`/jobs/${id}/complete`, report);
  const ended = {
    ...begun,
    status: "completed",
    stdout: "Job output...",
    stderr: "",
    exit_code: 0,
    completed_at: time,
    attempts: [{ ...executor, started_at: time, ended_at: time, status: "completed", exit_code: 0 }],
  };
  expect([completed.status, completed.json]).toEqual([200, ended]);
  expect((await api.get(`/jobs/${id}`)).json).toEqual(ended);

  const stats = await api.get("/admin/stats");
  expect([stats.status, stats.json]).toEqual([
    200,
    {
      jobs_by_status: { pending: 0, running: 0, completed: 1, failed: 0, cancelled: 0 },
      pending_by_priority: { foreground: 0, background: 0, best_effort: 0 },
      active_executors: 1,
      timestamp: time,
    },
  ]);
  expect(own.errors).toEqual([]);
});

test("fail: the message, the code and what was printed are kept", async () => {
  const { api } = server;
  await drain();
  const id = await api.running();
  const report = {
    executor_id: "worker-1",
    stdout: "Partial output...",
    stderr: "Error messages...",
    exit_code: 1,
    error_message: "Binary execution failed",
  };
  const { status, json } = await api.put(`/jobs/${id}/fail`, report);
  expect([status, json]).toEqual([200, expect.objectContaining({ ...report, status: "failed" })]);
  expect((await api.job(id)).attempts).toEqual([expect.objectContaining({ status: "failed" })]);
});

describe("list", () => {
  test("takes the filters of the document, together and apart", async () => {
    await using own = await startExecutr();
    const { api } = own;
    const first = await api.submit({ type: "a", priority: "foreground" });
    const second = await api.submit({ type: "b" });
    const third = await api.submit({ type: "a" });
    await api.claim();
    const ids = async (query: string) => (await api.get<Wire[]>(`/jobs${query}`)).body.map(({ id }) => id);
    expect(await ids("")).toEqual([third, second, first]);
    expect(await ids("?status=pending&type=a&priority=background&limit=10&offset=0")).toEqual([third]);
    expect(await ids("?status=running")).toEqual([first]);
    expect(await ids("?status=completed")).toEqual([]);
    expect(await ids("?type=a")).toEqual([third, first]);
    expect(await ids("?type=unknown")).toEqual([]);
    expect(await ids("?priority=foreground")).toEqual([first]);
    expect(await ids("?limit=1")).toEqual([third]);
    expect(await ids("?limit=1&offset=1")).toEqual([second]);
    expect(await ids("?limit=20&offset=40")).toEqual([]);
  });

  test("answers a bare array of rows", async () => {
    await using own = await startExecutr();
    const id = await own.api.running();
    const { status, json } = await own.api.get("/jobs");
    expect(status).toBe(200);
    expect(json).toEqual([
      {
        id,
        type: "data-processing",
        binary_url: "https://example.com/binary",
        binary_sha256: "ab".repeat(32),
        arguments: [],
        env_variables: {},
        priority: "background",
        status: "running",
        executor_id: "worker-1",
        created_at: time,
        started_at: time,
        last_heartbeat: time,
      },
    ]);
  });
});

test("get, cancel and reports of a job that is not there are 404", async () => {
  const { api } = server;
  const asked = await Promise.all([
    api.get(`/jobs/${NOBODY}`),
    api.delete(`/jobs/${NOBODY}`),
    api.heartbeat(NOBODY),
    api.complete(NOBODY),
    api.fail(NOBODY),
    api.heartbeat(NOBODY, "worker-1", GO),
  ]);
  for (const { status, json } of asked) {
    expect([status, json]).toEqual([404, { error: "job not found", context: { job_id: NOBODY } }]);
  }
});

test("cancel: a pending job, once", async () => {
  const { api } = server;
  const id = await api.submit();
  const cancelled = await api.delete(`/jobs/${id}`);
  expect([cancelled.status, cancelled.body.status]).toEqual([200, "cancelled"]);
  const again = await api.delete(`/jobs/${id}`);
  expect([again.status, again.json]).toEqual([400, error]);
  expect(again.body.context).toEqual({ job_id: id, status: "cancelled" });
  await drain();
  const running = await api.running();
  const refused = await api.delete(`/jobs/${running}`);
  expect([refused.status, refused.body.context]).toEqual([400, { job_id: running, status: "running" }]);
  expect((await api.job(running)).status).toBe("running");
});

test("heartbeat of a job that does not run is 404", async () => {
  const id = await server.api.submit();
  const { status, json } = await server.api.heartbeat(id);
  expect([status, json]).toEqual([
    404,
    { error: expect.stringContaining("pending"), context: { job_id: id, status: "pending" } },
  ]);
});

test("complete and fail of a job that does not run are 400", async () => {
  const { api } = server;
  const pending = await api.submit();
  for (const answer of [await api.complete(pending), await api.fail(pending)]) {
    expect([answer.status, answer.body.context]).toEqual([400, { job_id: pending, status: "pending" }]);
  }
  await api.delete(`/jobs/${pending}`);
  expect((await api.complete(pending)).status).toBe(400);
  await drain();
  const done = await api.running();
  await api.complete(done);
  const failed = await api.fail(done);
  expect([failed.status, failed.body.context]).toEqual([400, { job_id: done, status: "completed" }]);
});

test("executors: current job, its type, last heartbeat, jobs completed", async () => {
  await using own = await startExecutr();
  const { api } = own;
  expect((await api.get("/admin/executors")).json).toEqual([]);
  await api.claim("worker-2");
  await api.complete(await api.running());
  const id = await api.running({ type: "encode" });
  expect((await api.get("/admin/executors")).json).toEqual([
    {
      executor_id: "worker-1",
      current_job_id: id,
      job_type: "encode",
      last_heartbeat: time,
      jobs_completed: 1,
    },
    {
      executor_id: "worker-2",
      current_job_id: null,
      job_type: null,
      last_heartbeat: time,
      jobs_completed: 0,
    },
  ]);
});

test("bulk submit: ids and statuses in the order given", async () => {
  const { api } = server;
  const items = [aJob({ type: "job-1" }), aJob({ type: "job-2", priority: "foreground" })];
  const { status, body, json } = await api.post<Wire[]>("/jobs/bulk", items);
  expect([status, json]).toEqual([
    201,
    [
      { id: uuid, status: "pending" },
      { id: uuid, status: "pending" },
    ],
  ]);
  const types = await Promise.all(body.map(async ({ id }) => (await api.job(id)).type));
  expect(types).toEqual(["job-1", "job-2"]);
});

test("bulk cancel: how many, and why not the others", async () => {
  const { api } = server;
  const ids = [await api.submit(), await api.submit()];
  const { status, json } = await api.post("/jobs/bulk/cancel", { job_ids: ids });
  expect([status, json]).toEqual([200, { cancelled: 2, failed: 0, total: 2, errors: [] }]);
  const again = await api.post("/jobs/bulk/cancel", { job_ids: ids });
  expect(again.status).toBe(200);
  expect(again.body).toMatchObject({ cancelled: 0, failed: 2, total: 2 });
  expect(again.body.errors.map(({ job_id: id }) => id)).toEqual(ids);
});

test("limits: 100 where none is given, 1,000 at most", async () => {
  await using own = await startExecutr();
  const { api } = own;
  const hundred = Array.from({ length: 100 }, () => aJob());
  for (let n = 0; n < 11; n++) expect((await api.post("/jobs/bulk", hundred)).status).toBe(201);
  const count = async (query: string) => (await api.get<Wire[]>(`/jobs${query}`)).body.length;
  expect(await count("")).toBe(100);
  expect(await count("?limit=1000")).toBe(1_000);
  expect(await count("?limit=1000000")).toBe(1_000);
  expect(await count("?limit=99999999999999999999999")).toBe(1_000);
  expect(await count("?limit=0")).toBe(1);
  expect(await count("?limit=-5")).toBe(1);
  expect(await count("?limit=1000&offset=1000")).toBe(100);
});

/** Takes what earlier tests left pending out of the way. */
async function drain(): Promise<void> {
  await server.api.post("/jobs/bulk/cancel", { status: "pending" });
}

test("every call is described in the OpenAPI document, with its body and answers", async () => {
  const response = await fetch(`${server.url}/openapi.json`);
  const { paths }: { paths: Record<string, Record<string, { responses: object }>> } = await response.json();
  const described = Object.entries(paths).flatMap(([path, operations]) =>
    path.startsWith("/api/v1/")
      ? Object.entries(operations).map(
          ([method, { responses }]) => `${method} ${path.slice(7)} ${Object.keys(responses).join(" ")}`,
        )
      : [],
  );
  expect(described.sort()).toEqual([
    "delete /jobs/{id} 200 204 400 404 503",
    "get /admin/executors 200 503",
    "get /admin/stats 200 503",
    "get /health 200",
    "get /jobs 200 400 503",
    "get /jobs/{id} 200 400 404 503",
    "get /metrics 200",
    "post /jobs 201 400 413 503",
    "post /jobs/bulk 201 206 400 413 503",
    "post /jobs/bulk/cancel 200 400 413 503",
    "post /jobs/claim 200 204 400 503",
    "put /jobs/{id}/complete 200 204 400 404 413 503",
    "put /jobs/{id}/fail 200 204 400 404 413 503",
    "put /jobs/{id}/heartbeat 200 204 400 404 503",
  ]);
});
