/** Bad input of every kind: a clear answer in FastAPI's shape, and never a 5xx. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ShelbyServer, startShelby } from "./shelbyServer.ts";

let shelby: ShelbyServer;
beforeAll(async () => {
  shelby = await startShelby();
  await shelby.job("j");
  await shelby.ack("n", "j");
});
afterAll(async () => {
  // Whatever was sent, nothing went wrong inside.
  const { errors } = shelby;
  await shelby[Symbol.asyncDispose]();
  expect(errors).toEqual([]);
});

const BODIES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "/api/nodes/register": { nodeId: "n", specs: {} },
  "/api/nodes/heartbeat": { nodeId: "n" },
  "/api/jobs/ack": { nodeId: "n", jobId: "j" },
  "/api/jobs/create": { datasetName: "d" },
  "/api/jobs/upload-script": { jobId: "u", script: "x" },
  "/api/jobs/stream-log": { job_id: "j", line: "x" },
  "/api/usage-report": { nodeId: "n", jobId: "j", cpu_percent: 1.5, ram_percent: 2.5, ts: 1 },
  "/api/jobs/finish": {
    ...{ nodeId: "n", jobId: "j", modelHash: "", modelSizeBytes: 0, metadata: {}, durationSeconds: 1 },
  },
};

const FAULTS = {
  detail: expect.arrayContaining([
    { type: expect.any(String), loc: expect.any(Array), msg: expect.any(String), input: expect.anything() },
  ]),
};

test.each([".", ".."])("the id %s, which no address can name, is 422", async (id) => {
  for (const [path, name] of [
    ["/api/jobs/create", "jobId"],
    ["/api/jobs/upload-script", "jobId"],
    ["/api/nodes/register", "nodeId"],
  ] as const) {
    const answer = await shelby.post(path, { ...BODIES[path], [name]: id });
    expect([path, answer.status]).toEqual([path, 422]);
  }
});

describe.each(Object.keys(BODIES))("POST %s", (path) => {
  const good = BODIES[path] ?? {};

  test.each(Object.keys(good))("without %s is 422 at that field", async (field) => {
    const { [field]: _, ...rest } = good;
    const answer = await shelby.post(path, rest);
    expect([answer.status, answer.body.detail]).toEqual([
      422,
      [{ type: "value_error.missing", loc: ["body", field], msg: "field required", input: rest }],
    ]);
  });

  test.each(Object.keys(good))("with %s of a wrong type is 422 at that field", async (field) => {
    for (const wrong of [null, true, {}, [], ["x"], 5, 5.5, "x"]) {
      const right = good[field];
      if (typeof wrong === typeof right && Array.isArray(wrong) === Array.isArray(right) && wrong !== null)
        continue;
      const answer = await shelby.post(path, { ...good, [field]: wrong });
      expect([wrong, answer.status]).toEqual([wrong, 422]);
      const [fault] = Array.isArray(answer.body.detail) ? answer.body.detail : [];
      expect(fault?.loc.slice(0, 2)).toEqual(["body", field]);
    }
  });

  test("with bodies that are no such object is 422", async () => {
    const send = (body: string | Uint8Array<ArrayBuffer>, type = "application/json") =>
      fetch(`${shelby.url}${path}`, { method: "POST", body, headers: { "content-type": type } });
    const bad = ["", "{", "[]", "null", "1", '"x"', "[".repeat(200), new Uint8Array([0xff, 0xfe])];
    for (const body of bad) {
      const response = await send(body);
      expect([body, response.status, await response.json()]).toMatchObject([
        body,
        422,
        { detail: expect.any(Array) },
      ]);
    }
    expect((await send(JSON.stringify(good), "text/plain")).status).toBe(422);
    expect((await send("x".repeat(17 * 1024 * 1024))).status).toBe(413);
  });

  test("with another method is 405 with the allowed ones", async () => {
    const answer = await shelby.call("PUT", path, good);
    expect([answer.status, answer.json]).toEqual([405, { detail: "Method Not Allowed" }]);
    expect(answer.headers.get("allow")).toContain("POST");
  });
});

test("texts that are too long, empty, or hold NUL or half characters are 422", async () => {
  const long = "x".repeat(300);
  const bad: readonly [string, object][] = [
    ["/api/jobs/create", { datasetName: "" }],
    ["/api/jobs/create", { datasetName: "a\0b" }],
    ["/api/jobs/create", { datasetName: "x".repeat(2_000) }],
    ["/api/jobs/create", { datasetName: "d", jobId: long }],
    ["/api/jobs/create", { datasetName: "d", jobId: "\ud800" }],
    ["/api/jobs/create", { datasetName: "d", meta: { x: "x".repeat(300_000) } }],
    ["/api/jobs/create", { datasetName: "d", runtimeMinutesEstimate: 1.5 }],
    ["/api/jobs/create", { datasetName: "d", runtimeMinutesEstimate: -1 }],
    ["/api/jobs/create", { datasetName: "d", runtimeMinutesEstimate: 1e300 }],
    ["/api/jobs/create", { datasetName: "d", datasetUrl: 5 }],
    ["/api/jobs/upload-script", { jobId: "u", script: "" }],
    ["/api/jobs/upload-script", { jobId: "u", script: "\udc00" }],
    ["/api/jobs/upload-script", { jobId: "", script: "x" }],
    ["/api/jobs/upload-script", { jobId: "u", script: "x", requirements: 5 }],
    ["/api/jobs/upload-script", { jobId: "u", script: "x", entrypoint: "a\0b" }],
    ["/api/nodes/register", { nodeId: "", specs: {} }],
    ["/api/nodes/register", { nodeId: long, specs: {} }],
    ["/api/nodes/register", { nodeId: "n", specs: {}, containerSupported: "perhaps" }],
    ["/api/jobs/finish", { ...BODIES["/api/jobs/finish"], modelSizeBytes: -1 }],
    ["/api/jobs/finish", { ...BODIES["/api/jobs/finish"], durationSeconds: -1 }],
    ["/api/usage-report", { ...BODIES["/api/usage-report"], cpu_percent: "much" }],
  ];
  for (const [path, body] of bad) {
    const answer = await shelby.post(path, body);
    expect([path, answer.status, answer.json]).toEqual([path, 422, FAULTS]);
  }
});

test("null stands for what may be left out; unknown fields and parameters are passed over", async () => {
  const nothing = {
    jobId: null,
    datasetUrl: null,
    datasetHash: null,
    runtimeMinutesEstimate: null,
    meta: null,
  };
  const made = await shelby.post("/api/jobs/create", { datasetName: "d", ...nothing, priority: 5 });
  expect([made.status, made.json]).toEqual([200, { status: "ok", jobId: expect.any(String) }]);
  expect((await shelby.post("/api/jobs/create", { datasetName: "d", jobId: "" })).status).toBe(200);
  const upload = { jobId: "nulls", script: "x", requirements: null, entrypoint: null, more: 1 };
  expect((await shelby.post("/api/jobs/upload-script", upload)).status).toBe(200);
  expect((await shelby.get("/api/frontend/dashboard?x=1&limit=y")).status).toBe(200);
});

test("numbers as texts, and texts as numbers, are wrong types", async () => {
  const wrong: readonly [path: string, field: string, value: unknown][] = [
    ["/api/usage-report", "cpu_percent", "12.5"],
    ["/api/usage-report", "ts", "1643723400"],
    ["/api/jobs/finish", "modelSizeBytes", "5"],
    ["/api/jobs/finish", "durationSeconds", "5"],
    ["/api/jobs/create", "runtimeMinutesEstimate", "30"],
    ["/api/jobs/create", "runtimeMinutesEstimate", 1.5],
    ["/api/jobs/create", "datasetName", 5],
    ["/api/jobs/stream-log", "line", 5],
  ];
  for (const [path, field, value] of wrong) {
    const answer = await shelby.post(path, { ...BODIES[path], [field]: value });
    expect([field, answer.status]).toEqual([field, 422]);
    expect(answer.json).toMatchObject({ detail: [{ loc: ["body", field] }] });
  }
});

test("queries: wrong values are 422 at the parameter", async () => {
  const bad: readonly [string, string][] = [
    ["/api/frontend/jobs?status=done", "status"],
    ["/api/frontend/jobs?limit=0", "limit"],
    ["/api/frontend/jobs?limit=-1", "limit"],
    ["/api/frontend/jobs?limit=x", "limit"],
    ["/api/frontend/jobs?limit=1.5", "limit"],
    ["/api/frontend/logs/j?limit=x", "limit"],
    ["/api/frontend/logs?limit=x", "limit"],
    ["/api/debug/jobs?limit=x", "limit"],
    ["/api/jobs/poll", "nodeId"],
    ["/api/jobs/poll?nodeId=", "nodeId"],
    ["/api/jobs/poll?nodeId=a%00b", "nodeId"],
    ["/api/jobs/fetch-script", "jobId"],
  ];
  for (const [path, field] of bad) {
    const answer = await shelby.get(path);
    expect([path, answer.status, answer.json]).toEqual([path, 422, FAULTS]);
    const [fault] = Array.isArray(answer.body.detail) ? answer.body.detail : [];
    expect(fault?.loc).toEqual(["query", field]);
  }
});

test("paths that are not there are 404 in the same shape", async () => {
  for (const path of ["/api", "/api/", "/api/nope", "/api/frontend", "/api/frontend/nope", "/api/jobs"]) {
    const answer = await shelby.get(path);
    expect([path, answer.status, answer.json]).toEqual([path, 404, { detail: "Not Found" }]);
  }
  expect((await shelby.get("/api/frontend/jobs/%ff%00")).status).toBe(404);
  expect((await shelby.get("/api/frontend/jobs/%")).status).toBe(404);
});

test("what refers to something absent is 404", async () => {
  const absent: readonly [string, object][] = [
    ["/api/jobs/ack", { nodeId: "n", jobId: "nope" }],
    ["/api/jobs/stream-log", { job_id: "nope", line: "x" }],
    ["/api/usage-report", { ...BODIES["/api/usage-report"], jobId: "nope" }],
    ["/api/jobs/finish", { ...BODIES["/api/jobs/finish"], jobId: "nope" }],
    ["/api/frontend/jobs/nope/restart", {}],
  ];
  for (const [path, body] of absent) {
    const answer = await shelby.post(path, body);
    expect([path, answer.status, answer.json]).toEqual([path, 404, { detail: "Job not found" }]);
  }
});
