import { expect, test } from "bun:test";
import type { Job, JobPage, Problem } from "../../clients/typescript/src/types.ts";
import {
  ConflictError,
  InvalidInputError,
  OverloadedError,
  StoreUnavailableError,
} from "../../src/domain/errors.ts";
import type { JobFilter, SubmitRequest } from "../../src/engine/engine.ts";
import { aJob } from "./fakeEngine.ts";
import { startTestServer } from "./testServer.ts";

async function post<T>(url: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const answer: T = JSON.parse(await response.text());
  return { status: response.status, headers: response.headers, answer };
}

const job = { spec: { argv: ["true"] } };

test("a job alone is answered alone, an array as items", async () => {
  await using server = await startTestServer();
  const alone = await post<Job>(`${server.url}/v1/jobs`, job);
  expect([alone.status, alone.answer.id]).toEqual([201, 1]);
  const many = await post<{ items: Job[] }>(`${server.url}/v1/jobs`, [
    job,
    { ...job, dependsOn: ["#0", 7, "key"] },
  ]);
  expect([many.status, many.answer.items.length]).toEqual([201, 2]);
  expect(server.engine.submitted[2]?.dependsOn).toEqual([{ item: 0 }, { job: 7 }, { job: "key" }]);
});

test("what a caller leaves out has its documented default", async () => {
  await using server = await startTestServer();
  await post(`${server.url}/v1/jobs`, [
    job,
    { ...job, maxAttempts: 2 },
    { taskId: 3, parameters: { lr: 0.1 } },
  ]);
  const [plain, twice, ofTask] = server.engine.submitted;
  expect(plain).toMatchObject({ dialect: "yardmaster", kind: "command", queue: "default", priority: 0 });
  expect(plain).toMatchObject({
    name: null,
    key: null,
    resources: {},
    maxAttempts: 1,
    maxRecoveries: 3,
    task: null,
  });
  expect(twice).toMatchObject({ maxAttempts: 2, maxRecoveries: 0 });
  expect(ofTask).toMatchObject({ task: { id: 3, parameters: { lr: 0.1 } }, spec: {} });
});

test("an idempotency key travels with a fingerprint of the body; a repeat is 200", async () => {
  const requests: SubmitRequest[] = [];
  await using server = await startTestServer({
    submit: async (request) => {
      requests.push(request);
      return { jobs: [aJob()], repeated: requests.length > 1 };
    },
  });
  const first = await post(`${server.url}/v1/jobs`, job, { "idempotency-key": "k1" });
  const again = await post(`${server.url}/v1/jobs`, job, { "idempotency-key": "k1" });
  await post(`${server.url}/v1/jobs`, { ...job, name: "other" }, { "idempotency-key": "k1" });
  expect([first.status, again.status]).toEqual([201, 200]);
  const prints = requests.map((request) => request.idempotency?.fingerprint);
  expect(prints[0]).toBe(prints[1]);
  expect(prints[2]).not.toBe(prints[0]);
  const long = await post<Problem>(`${server.url}/v1/jobs`, job, { "idempotency-key": "k".repeat(201) });
  expect([long.status, long.answer.errors?.[0]?.path]).toEqual([422, "idempotency-key:"]);
  expect(long.answer.detail).toStartWith("idempotency-key: expected");
});

test("environment values are masked everywhere but in claims", async () => {
  await using server = await startTestServer({
    claim: async () => [{ ...aJob(), leaseExpiresAt: Date.UTC(2026, 0, 1) }],
  });
  for (const path of ["/v1/jobs", "/v1/jobs/1"]) {
    const text = await (await fetch(`${server.url}${path}`)).text();
    expect(text).toContain('"SECRET":"***"');
    expect(text).not.toContain("hunter2");
  }
  const capacity = { cpu: 1, accelerators: 0, memoryMb: 0 };
  const claim = await post<{ jobs: object[] }>(`${server.url}/v1/claims`, { workerId: "w", capacity });
  expect(claim.answer.jobs[0]).toMatchObject({
    spec: { env: { SECRET: "hunter2" } },
    leaseExpiresAt: "2026-01-01T00:00:00.000Z",
  });
});

test("the list's query becomes the engine's filter, its cursor leads on", async () => {
  const asked: [JobFilter, object][] = [];
  await using server = await startTestServer({
    read: {
      jobs: async (filter, page) => {
        asked.push([filter, page]);
        return { items: [], nextCursor: asked.length === 1 ? 12_345 : null, total: 2 };
      },
    },
  });
  const query =
    "state=ready&state=failed&kind=command&queue=q&projectId=3&label=a:b:c&q=x&order=oldest&limit=7";
  const first: JobPage = JSON.parse(await (await fetch(`${server.url}/v1/jobs?${query}`)).text());
  const second = await fetch(`${server.url}/v1/jobs?cursor=${first.nextCursor}`);
  expect(JSON.parse(await second.text()).nextCursor).toBeNull();
  expect(asked[0]).toEqual([
    {
      states: ["ready", "failed"],
      kind: "command",
      queue: "q",
      projectId: 3,
      label: { key: "a", value: "b:c" },
      text: "x",
    },
    { order: "oldest", limit: 7, cursor: null },
  ]);
  expect(asked[1]).toEqual([{}, { order: "newest", limit: 100, cursor: 12_345 }]);
});

test("the engine's errors are worded as problems", async () => {
  const errors = [
    new InvalidInputError([{ path: ["jobs", 1, "taskId"], message: "no task has the id 9" }]),
    new ConflictError("job 1 is succeeded", { entity: "job", state: "succeeded", allowed: ["ready"] }),
    new OverloadedError("too much is queued", 1_500),
    new StoreUnavailableError("the disk is full"),
    new Error("secret detail"),
  ];
  await using server = await startTestServer({
    submit: async () => {
      throw errors.shift() ?? new Error("none left");
    },
  });
  const answers = [];
  for (let i = 0; i < 5; i++) answers.push(await post<Problem>(`${server.url}/v1/jobs`, [job, job]));
  expect(answers.map((answer) => answer.status)).toEqual([422, 409, 503, 503, 500]);
  expect(answers[0]?.answer.errors).toEqual([{ path: "/1/taskId", message: "no task has the id 9" }]);
  expect(answers[1]?.answer.detail).toContain("allowed: ready");
  expect(answers[2]?.headers.get("retry-after")).toBe("2");
  expect(JSON.stringify(answers[4]?.answer)).not.toContain("secret");
  expect(server.errors.join("")).toContain("secret detail");
});

test("a claim that waits is ended when its client goes away", async () => {
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  const { promise: waiting, resolve: isWaiting } = Promise.withResolvers<void>();
  await using server = await startTestServer({
    claim: async (_request, signal) => {
      isWaiting();
      await new Promise<void>((done) => signal?.addEventListener("abort", () => done()));
      resolve();
      return [];
    },
  });
  const client = new AbortController();
  const body = { workerId: "w", capacity: { cpu: 1, accelerators: 0, memoryMb: 0 }, waitMs: 60_000 };
  const call = fetch(`${server.url}/v1/claims`, {
    method: "POST",
    body: JSON.stringify(body),
    signal: client.signal,
  }).catch(() => null);
  await waiting;
  client.abort();
  await aborted;
  await call;
});

test("closing the server answers the claims that wait, with nothing", async () => {
  const { promise: waiting, resolve: isWaiting } = Promise.withResolvers<void>();
  await using server = await startTestServer({
    claim: async (_request, signal) => {
      isWaiting();
      await new Promise<void>((done) => signal?.addEventListener("abort", () => done()));
      return [];
    },
  });
  const body = { workerId: "w", capacity: { cpu: 1, accelerators: 0, memoryMb: 0 }, waitMs: 60_000 };
  const call = post<{ jobs: object[] }>(`${server.url}/v1/claims`, body);
  await waiting;
  await server.server.close();
  expect((await call).answer.jobs).toEqual([]);
});
