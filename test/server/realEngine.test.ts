/** The API over the real engine and store: a job's way from submission to its log's end. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Job, Problem } from "../../clients/typescript/src/types.ts";
import { workerList } from "../../src/dialects/yardmaster/schemas/worker.ts";
import { openEngine } from "../../src/engine/openEngine.ts";
import { newJob } from "../engine/testEngine.ts";
import { startTestServerWith } from "./testServer.ts";

async function startReal() {
  const dataDir = await mkdtemp(join(tmpdir(), "yardmaster-api-"));
  const engine = await openEngine({ dataDir });
  const server = await startTestServerWith(engine);
  return {
    server,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await engine.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

const capacity = { cpu: 4, accelerators: 0, memoryMb: 0 };

test("a job goes through the API from submission to result, its log followed meanwhile", async () => {
  await using real = await startReal();
  const { url, errors } = real.server;
  const send = async <T>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const answer: T = text === "" ? null : JSON.parse(text);
    return { status: response.status, answer };
  };

  const spec = { argv: ["echo", "hello"], env: { TOKEN: "s3cret" } };
  const key = { "idempotency-key": "once" };
  const first = await send<Job>("POST", "/v1/jobs", { spec }, key);
  const again = await send<Job>("POST", "/v1/jobs", { spec }, key);
  expect([first.status, again.status, again.answer.id]).toEqual([201, 200, first.answer.id]);
  const misused = await send<Problem>("POST", "/v1/jobs", { spec: { argv: ["other"] } }, key);
  expect([misused.status, misused.answer.errors?.[0]?.path]).toEqual([422, "idempotency-key:"]);

  const unknownTask = await send<Problem>("POST", "/v1/jobs", { taskId: 9 });
  expect(unknownTask.answer.errors?.[0]?.path).toBe("/taskId");
  const unknownJob = await send<Problem>("POST", "/v1/jobs", [{ spec }, { spec, dependsOn: ["#0", 777] }]);
  expect([unknownJob.status, unknownJob.answer.errors?.[0]?.path]).toEqual([422, "/1/dependsOn/1"]);

  const follower = fetch(`${url}/v1/jobs/${first.answer.id}/log?follow=true`).then((response) =>
    response.text(),
  );
  expect((await send("POST", "/v1/workers", { id: "w", capacity })).status).toBe(201);
  expect((await send("POST", "/v1/workers", { id: "w", capacity })).status).toBe(200);
  const { answer: claim } = await send<{ jobs: Job[] }>("POST", "/v1/claims", { workerId: "w", capacity });
  expect(claim.jobs.map((job) => [job.id, job.attempt, job.spec.env])).toEqual([[1, 1, { TOKEN: "s3cret" }]]);
  const lease = { id: 1, attempt: 1 };
  const leases = [{ ...lease, started: true, progress: 0.5 }];
  expect((await send("POST", "/v1/leases/renew", { workerId: "w", leases })).answer).toMatchObject({
    renewed: [1],
  });
  const chunk = { ...lease, seq: 1, time: new Date().toISOString(), stream: "stdout", text: "hello\n" };
  const logs = { workerId: "w", chunks: [chunk] };
  expect((await send("POST", "/v1/logs", logs)).answer).toEqual({ accepted: 1 });
  expect((await send("POST", "/v1/logs", logs)).answer).toEqual({ accepted: 0 });
  const results = [{ ...lease, outcome: "failed", exitCode: 3 }];
  for (let i = 0; i < 2; i++) {
    const { answer } = await send("POST", "/v1/results", { workerId: "w", results });
    expect(answer).toMatchObject({ results: [{ id: 1, accepted: true }] });
  }
  const followed = await follower;
  expect(followed).toContain('"text":"hello\\n"');
  expect(followed).toEndWith('event: end\ndata: {"state":"failed","exitCode":3}\n\n');
  expect(await (await fetch(`${url}/v1/jobs/1/log`)).text()).toBe("hello\n");

  expect((await send("POST", "/v1/jobs/1/cancel")).status).toBe(409);
  expect((await send<Job>("POST", "/v1/jobs/1/retry")).answer.state).toBe("ready");
  expect((await send("GET", "/v1/jobs/1/attempts")).answer).toMatchObject({
    items: [{ number: 1, exitCode: 3 }],
  });
  expect((await send("POST", "/v1/jobs/1/cancel", { reason: "enough" })).status).toBe(200);
  expect((await send("DELETE", "/v1/jobs/1")).status).toBe(204);
  expect((await send("GET", "/v1/jobs/1")).status).toBe(404);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  expect(await (await fetch(`${url}/metrics`)).text()).toContain("yardmaster_commit_size_count");
  expect(errors).toEqual([]);
});

test("projects and tasks are made, changed in parts, listed and deleted", async () => {
  await using real = await startReal();
  const { url, errors } = real.server;
  const call = async (method: string, path: string, body?: unknown): Promise<[number, unknown]> => {
    const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
    const response = await fetch(`${url}${path}`, init);
    const text = await response.text();
    return [response.status, text === "" ? null : JSON.parse(text)];
  };
  expect(await call("POST", "/v1/projects", { name: "ml" })).toMatchObject([
    201,
    { id: 1, name: "ml", description: null, status: "ACTIVE" },
  ]);
  expect(await call("PATCH", "/v1/projects/1", { status: "ARCHIVED" })).toMatchObject([
    200,
    { name: "ml", status: "ARCHIVED" },
  ]);
  const task = { name: "train", projectId: 1, commandTemplate: "python {file}", requiredCpu: 2 };
  expect(await call("POST", "/v1/tasks", task)).toMatchObject([201, { ...task, requiredMemoryMb: 0 }]);
  expect(await call("PATCH", "/v1/tasks/1", { requiredMemoryMb: 64 })).toMatchObject([
    200,
    { ...task, requiredMemoryMb: 64 },
  ]);
  expect((await call("POST", "/v1/tasks", { name: "t", commandTemplate: "x {" }))[0]).toBe(422);
  expect(await call("GET", "/v1/tasks?projectId=1&limit=1")).toMatchObject([200, { items: [{ id: 1 }] }]);
  expect(await call("GET", "/v1/projects?status=ACTIVE")).toEqual([200, { items: [] }]);
  expect((await call("DELETE", "/v1/tasks/1"))[0]).toBe(204);
  expect((await call("DELETE", "/v1/projects/1"))[0]).toBe(204);
  expect((await call("GET", "/v1/projects/1"))[0]).toBe(404);
  expect(errors).toEqual([]);
});

test("workers of other APIs that know no limits are told in the documented shape", async () => {
  await using real = await startReal();
  await real.server.engine.registerWorker({
    id: "client-1",
    name: "client",
    address: null,
    capacity: { cpu: 1_000_000_000, accelerators: 1_000_000_000, memoryMb: 1_000_000_000 },
    labels: {},
    queues: [],
    kinds: ["external"],
    dialect: "whatsnext",
    details: {},
  });
  const { items } = workerList.parse(await (await fetch(`${real.server.url}/v1/workers`)).json());
  expect(items.map((item) => item.id)).toEqual(["client-1"]);
});

test("a job is named by id, by key, or by API and key where a key is a number or of two APIs", async () => {
  await using real = await startReal();
  const { url, engine } = real.server;
  const ids: number[] = [];
  for (const job of [
    newJob({ name: "first" }),
    newJob({ dialect: "shelby", kind: "external", key: "1", name: "of shelby" }),
    newJob({ dialect: "executr", kind: "external", key: "same", name: "of executr" }),
    newJob({ dialect: "shelby", kind: "external", key: "same", name: "of shelby too" }),
    newJob({ key: "shelby:same", name: "looks like it" }),
  ]) {
    const { jobs } = await engine.submit({ jobs: [job], idempotency: null });
    ids.push(jobs[0]?.id ?? 0);
  }
  const name = async (ref: string) => {
    const answer = await fetch(`${url}/v1/jobs/${encodeURIComponent(ref)}`);
    const body: { name?: string; detail?: string } = await answer.json();
    return answer.status === 200 ? body.name : body.detail;
  };
  expect(await name("1")).toBe("first");
  expect(await name("shelby:1")).toBe("of shelby");
  expect(await name("executr:same")).toBe("of executr");
  // A key that reads so goes before.
  expect(await name("shelby:same")).toBe("looks like it");
  expect(await name("executr:1")).toContain("executr:1");
  expect(await name("nobody:1")).toContain("nobody:1");
  const cancelled = await fetch(`${url}/v1/jobs/shelby:1/cancel`, { method: "POST" });
  expect(await cancelled.json()).toMatchObject({ name: "of shelby", state: "cancelled" });
  expect((await engine.read.job(ids[0] ?? 0)).state).toBe("ready");
});
