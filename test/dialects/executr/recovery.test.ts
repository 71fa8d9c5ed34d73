/** Executors that vanish, come back late, or go on through a restart; failures that are repeated. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { aJob, type Caller, GO, startExecutr, startTimed } from "./executrServer.ts";

const HEARTBEAT_MS = 5_000;
const LEASE_MS = 15_000;
const MINUTE_MS = 60_000;

test("a running job whose heartbeats stop for 15 s is pending again; one that heartbeats is not", async () => {
  await using server = await startTimed();
  const { api } = server;
  const alive = await api.running();
  const silent = await api.running({}, "worker-2");
  for (let n = 0; n < 3; n++) {
    await server.pass(HEARTBEAT_MS - 1);
    expect((await api.heartbeat(alive, "worker-1", GO)).status).toBe(204);
  }
  expect((await api.job(silent)).status).toBe("running");
  await server.pass(4);
  expect((await api.job(alive)).status).toBe("running");
  const { json } = await api.get(`/jobs/${silent}`);
  expect(json).toMatchObject({
    status: "pending",
    attempts: [{ executor_id: "worker-2", status: "timeout", ended_at: expect.any(String) }],
  });
  for (const field of [
    "executor_id",
    "started_at",
    "exit_code",
    "error_message",
    "last_heartbeat",
    "stdout",
  ]) {
    expect(json).not.toHaveProperty(field);
  }
  expect(await api.claim("worker-3")).toBe(silent);
});

test("a job that an agent runs is pending again after the same 15 s", async () => {
  await using server = await startTimed();
  const { api, engine } = server;
  const id = await api.submit();
  const capacity = { cpu: 8, accelerators: 0, memoryMb: 1_000 };
  const request = { workerId: "agent-1", queues: ["*"], kinds: ["binary" as const], capacity, max: 1 };
  await engine.claim({ ...request, waitMs: 0, leaseMs: null });
  await server.pass(LEASE_MS - 1);
  expect((await api.job(id)).status).toBe("running");
  await server.pass(2);
  expect((await api.job(id)).status).toBe("pending");
});

test("a result that comes late is refused, and the new attempt's stands", async () => {
  await using server = await startTimed();
  const { api } = server;
  const id = await api.running();
  await server.pass(LEASE_MS + 1);
  for (const headers of [{}, GO]) {
    expect((await api.heartbeat(id, "worker-1", headers)).status).toBe(404);
    expect((await api.complete(id, { stdout: "late" }, headers)).status).toBe(400);
    expect((await api.fail(id, {}, headers)).status).toBe(400);
  }
  expect(await api.claim("worker-2")).toBe(id);
  expect((await api.heartbeat(id)).status).toBe(400);
  expect((await api.complete(id, { stdout: "late" })).status).toBe(400);
  await api.complete(id, { executor_id: "worker-2", stdout: "new" });
  expect((await api.complete(id, { stdout: "late" })).status).toBe(400);
  expect((await api.fail(id, {})).status).toBe(400);
  expect(await api.job(id)).toMatchObject({
    status: "completed",
    executor_id: "worker-2",
    stdout: "new",
    attempts: [
      { executor_id: "worker-1", status: "timeout" },
      { executor_id: "worker-2", status: "completed" },
    ],
  });
});

test("after three recoveries the fourth lost attempt fails the job, with a message that says so", async () => {
  await using server = await startTimed();
  const { api } = server;
  const id = await api.submit();
  for (let n = 1; n <= 4; n++) {
    expect((await api.job(id)).status).toBe("pending");
    expect(await api.claim(`worker-${n}`)).toBe(id);
    await server.pass(LEASE_MS + 1);
  }
  const job = await api.job(id);
  expect(job).toMatchObject({ status: "failed", executor_id: "worker-4", stdout: "", stderr: "" });
  expect(job.attempts.map(({ status }) => status)).toEqual(["timeout", "timeout", "timeout", "timeout"]);
  expect(job.error_message).toContain("recovered 3 times");
  expect(await api.claim()).toBe("");
  expect((await api.get("/metrics")).text).toContain("\nexecutr_stale_jobs_recovered_total 3\n");
});

test("the cap on recoveries holds with retries left too: what is lost once more fails, and a failure uses up none", async () => {
  await using server = await startTimed();
  const { api } = server;
  const id = await api.submit({ max_retries: 5 });
  for (const worker of ["worker-1", "worker-2", "worker-3"]) {
    expect(await api.claim(worker)).toBe(id);
    await server.pass(LEASE_MS + 1);
  }
  expect(await api.claim("worker-1")).toBe(id);
  expect((await api.fail(id)).body.status).toBe("pending");
  await server.pass(MINUTE_MS);
  expect(await api.claim("worker-4")).toBe(id);
  await server.pass(LEASE_MS + 1);
  const job = await api.job(id);
  expect(job).toMatchObject({ status: "failed", executor_id: "worker-4" });
  expect(job.attempts.map(({ status }) => status)).toEqual([
    ...["timeout", "timeout", "timeout", "failed", "timeout"],
  ]);
  expect(job.error_message).toContain("recovered 3 times already, which is the limit");
  await server.pass(10 * MINUTE_MS);
  expect(await api.claim()).toBe("");
});

test("a failure with retries left is pending at once, claimable after a minute, doubled each time", async () => {
  await using server = await startTimed();
  const { api } = server;
  const id = await api.submit({ max_retries: 2 });
  const failing = async (fields: object) => {
    expect(await api.claim()).toBe(id);
    return api.fail(id, fields);
  };
  const first = await failing({ stdout: "one", error_message: "first" });
  expect([first.status, first.body.status]).toEqual([200, "pending"]);
  expect(first.json).not.toHaveProperty("error_message");
  expect(first.json).not.toHaveProperty("executor_id");
  // Its executor did not hear the answer.
  expect((await api.fail(id, { stdout: "one", error_message: "first" })).body.status).toBe("pending");
  expect((await api.fail(id, { stdout: "two", error_message: "first" })).status).toBe(400);

  expect(await api.claim()).toBe("");
  await server.pass(MINUTE_MS - 1);
  expect(await api.claim()).toBe("");
  await server.pass(1);
  expect((await failing({ error_message: "second" })).body.status).toBe("pending");
  await server.pass(2 * MINUTE_MS - 1);
  expect(await api.claim()).toBe("");
  await server.pass(1);
  const last = await failing({ error_message: "third", exit_code: 7, stderr: "why" });
  expect(last.json).toMatchObject({
    status: "failed",
    exit_code: 7,
    error_message: "third",
    stdout: "",
    stderr: "why",
    attempts: [
      { status: "failed", exit_code: 1, error_message: "first" },
      { status: "failed", error_message: "second" },
      { status: "failed", error_message: "third" },
    ],
  });
});

test("the pause before a retry is doubled each time, beyond an hour too", async () => {
  await using server = await startTimed();
  const { api } = server;
  const id = await api.submit({ max_retries: 9 });
  for (let n = 0; n < 9; n++) {
    expect(await api.claim()).toBe(id);
    expect((await api.fail(id)).body.status).toBe("pending");
    await server.pass(2 ** n * MINUTE_MS - 1);
    expect(await api.claim()).toBe("");
    await server.pass(1);
  }
  expect(await api.claim()).toBe(id);
  expect((await api.fail(id)).body.status).toBe("failed");
});

test("a claim shows the attempts before it", async () => {
  await using server = await startTimed();
  const { api } = server;
  const id = await api.running();
  await server.pass(LEASE_MS + 1);
  const { json } = await api.post("/jobs/claim", { executor_id: "worker-2", executor_ip: "two.local" });
  expect(json).toMatchObject({
    id,
    executor_id: "worker-2",
    attempts: [
      { executor_id: "worker-1", executor_ip: "worker-1.local", status: "timeout" },
      { executor_id: "worker-2", executor_ip: "two.local", status: "running" },
    ],
  });
});

test("a cancelled job says so to an executor that heartbeats", async () => {
  await using server = await startExecutr();
  const { api, engine } = server;
  const id = await api.running();
  await engine.cancel(id, null);
  const { status, body } = await api.heartbeat(id);
  expect([status, body.context]).toEqual([404, { job_id: id, status: "cancelled" }]);
  expect((await api.complete(id)).status).toBe(400);
  expect((await api.job(id)).attempts).toMatchObject([{ status: "cancelled" }]);
});

test("executors are active for 30 s after they were heard from", async () => {
  await using server = await startTimed();
  const { api } = server;
  await api.claim();
  const active = async () => (await api.get("/admin/stats")).body.active_executors;
  expect(await active()).toBe(1);
  await server.pass(29_000);
  expect(await active()).toBe(1);
  await server.pass(2_000);
  expect(await active()).toBe(0);
  expect((await api.get("/admin/executors")).json).toEqual([]);
  await api.claim();
  expect(await active()).toBe(1);
});

test("a restart under 100 running jobs: none that heartbeats is recovered, silent ones are after a full lease", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "yardmaster-executr-"));
  const options = { dataDir, dialect: { leaseMs: 3_000 } };
  const beating: [string, string][] = [];
  let silent = "";
  try {
    {
      await using server = await startExecutr(options);
      await server.api.post(
        "/jobs/bulk",
        Array.from({ length: 100 }, () => aJob()),
      );
      const executors = Array.from({ length: 100 }, (_, n) => `worker-${n}`);
      const given = await Promise.all(
        executors.map(async (name) => [await server.api.claim(name), name] as const),
      );
      for (const [id, name] of given) beating.push([id, name]);
      silent = beating.pop()?.[0] ?? "";
    }
    await using server = await startExecutr(options);
    const { api } = server;
    expect((await api.job(silent)).status).toBe("running");
    const deadline = performance.now() + 20_000;
    while ((await api.job(silent)).status === "running" && performance.now() < deadline) {
      await beat(api, beating);
      await Bun.sleep(200);
    }
    expect((await api.job(silent)).status).toBe("pending");
    const { jobs_by_status } = (await api.get("/admin/stats")).body;
    expect(jobs_by_status).toMatchObject({ running: 99, pending: 1 });
    // Results of jobs that this server did not hand out itself.
    const ends = await Promise.all(
      beating.map(([id, name]) => api.complete(id, { executor_id: name, stdout: name }, GO)),
    );
    expect(new Set(ends.map(({ status }) => status))).toEqual(new Set([204]));
    const [first] = beating;
    expect((await api.job(first?.[0] ?? "")).attempts).toHaveLength(1);
    expect(server.errors).toEqual([]);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});

async function beat(api: Caller, running: readonly (readonly [string, string])[]): Promise<void> {
  const answers = await Promise.all(running.map(([id, name]) => api.heartbeat(id, name, GO)));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([204]));
}
