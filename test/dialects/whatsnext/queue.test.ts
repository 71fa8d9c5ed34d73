/** Fetching and reporting: order, filters, one winner, clients and their leases. */
import { expect, test } from "bun:test";
import { startWhatsNext, type WhatsNextServer } from "./whatsnextServer.ts";

const DEADLINE_MS = 10_000;

/** Asks until `found` says yes: leases end by the clock, which no event tells from outside. */
async function until<T>(read: () => Promise<T>, found: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const value = await read();
    if (found(value)) return value;
    if (Date.now() > deadline) throw new Error(`not within ${DEADLINE_MS} ms: ${JSON.stringify(value)}`);
    await Bun.sleep(20);
  }
}

const fetchId = async (server: WhatsNextServer, query = "") =>
  (await server.get(`/projects/1/fetch_job${query}`)).body.job?.id ?? null;

test("the highest priority goes first, then the oldest", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  await server.post("/projects", { name: "other" });
  await server.post("/tasks", { name: "t", project_id: 2 });
  const other = await server.job({ project_id: 2, task_id: 2, priority: 99 });
  const plain = [await server.job(), await server.job()];
  const urgent = await server.job({ priority: 5 });
  const late = await server.job({ priority: -5 });
  await server.put(`/jobs/${plain[1]}`, { priority: 7 });
  const given = [];
  for (let n = 0; n < 5; n++) given.push(await fetchId(server));
  expect(given).toEqual([plain[1] ?? 0, urgent, plain[0] ?? 0, late, null]);
  expect((await server.get("/projects/2/fetch_job")).body.job?.id).toBe(other);
});

test("a filter of 0 or none takes any job, a number those that require no more", async () => {
  await using server = await startWhatsNext();
  await server.withTask({ required_cpu: 8, required_accelerators: 4 });
  await server.post("/tasks", { name: "small", project_id: 1, required_cpu: 0 });
  const big = await server.job({ priority: 1 });
  const small = await server.job({ task_id: 2 });
  expect(await fetchId(server, "?available_cpu=7")).toBe(small);
  expect(await fetchId(server, "?available_cpu=8&available_accelerators=3")).toBeNull();
  expect(await fetchId(server, "?available_accelerators=3&available_cpu=0")).toBeNull();
  expect(await fetchId(server, "?available_cpu=8&available_accelerators=0")).toBe(big);
  const again = await server.job();
  expect(await fetchId(server, `?available_cpu=${"9".repeat(25)}`)).toBe(again);
  const last = await server.job();
  expect(await fetchId(server)).toBe(last);
});

test("workers that fetch at the same time never get the same job, and get all of them in order", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const jobs = Array.from({ length: 2_000 }, (_, n) => ({ name: `j${n}`, task_id: 1 }));
  const ids = (await server.post("/projects/1/jobs/batch", { jobs })).body.job_ids;
  const given: number[] = [];
  const work = async () => {
    for (let last = 0; ; ) {
      const { job, num_pending: pending } = (await server.get("/projects/1/fetch_job")).body;
      if (job === null) return expect(pending).toBe(0);
      expect(pending).toBeGreaterThanOrEqual(1);
      expect(job.id).toBeGreaterThan(last);
      last = job.id;
      given.push(job.id);
      expect((await server.put(`/jobs/${job.id}`, { ...job, status: "COMPLETED" })).status).toBe(200);
    }
  };
  await Promise.all(Array.from({ length: 16 }, work));
  expect(given.toSorted((a, b) => a - b)).toEqual([...ids]);
  expect(server.errors).toEqual([]);
});

test("every change of status is allowed but two: QUEUED by hand, and out of COMPLETED but to PENDING", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const ways: Record<string, readonly string[]> = {
    PENDING: [],
    QUEUED: ["fetch"],
    RUNNING: ["RUNNING"],
    COMPLETED: ["COMPLETED"],
    FAILED: ["FAILED"],
    BLOCKED: ["BLOCKED"],
  };
  for (const [from, steps] of Object.entries(ways)) {
    for (const to of Object.keys(ways)) {
      const id = await server.job();
      for (const step of steps) {
        if (step === "fetch") expect(await fetchId(server)).toBe(id);
        else await server.put(`/jobs/${id}`, { status: step });
      }
      expect(await server.statuses(id)).toEqual([from]);
      const isRefused = from !== to && (to === "QUEUED" || (from === "COMPLETED" && to !== "PENDING"));
      const { status, body } = await server.put(`/jobs/${id}`, { status: to });
      expect([from, to, status]).toEqual([from, to, isRefused ? 400 : 200]);
      if (isRefused) expect(body.detail).toStartWith("status: ");
      expect(await server.statuses(id)).toEqual([isRefused ? from : to]);
      await server.delete(`/jobs/${id}`);
    }
  }
});

test("an update changes name, priority, parameters and task, and moves updated_at", async () => {
  await using server = await startWhatsNext();
  await server.withTask({ command_template: "run {x}" });
  await server.post("/tasks", { name: "u", project_id: 1, required_cpu: 64 });
  await server.post("/projects", { name: "other" });
  await server.post("/tasks", { name: "t", project_id: 2 });
  const dependency = await server.job();
  await server.put(`/jobs/${dependency}`, { status: "COMPLETED" });
  const depends = { [dependency]: "first" };
  const id = await server.job({ parameters: { x: 1 }, depends });
  const before = (await server.get(`/jobs/${id}`)).body;
  await Bun.sleep(2);
  const change = { name: "new", priority: 3, parameters: { y: [1, { z: null }] }, task_id: 2 };
  const after = (await server.put(`/jobs/${id}`, change)).body.data;
  expect(after).toMatchObject({ ...change, depends, created_at: before.created_at });
  expect(after.updated_at > before.updated_at).toBe(true);
  expect(await fetchId(server, "?available_cpu=8")).toBeNull();
  expect(await fetchId(server, "?available_cpu=64")).toBe(id);
  const job = await server.engine.read.job(id);
  expect(job).toMatchObject({ kind: "external", resources: { cpu: 64 }, spec: { template: null } });

  for (const [fields, detail] of [
    [{ task_id: 3 }, "Task with id 3 not found in project 1."],
    [{ task_id: 9 }, "Task with id 9 not found."],
    [{ project_id: 2 }, "project_id: a job cannot move to another project"],
    [{ project_id: 9 }, "Project with id 9 not found."],
  ] as const) {
    const refused = await server.put(`/jobs/${id}`, { name: "x", ...fields });
    expect([refused.status, refused.body.detail]).toEqual([400, detail]);
  }
  expect((await server.get(`/jobs/${id}`)).body).toMatchObject({ name: "new" });
});

test("jobs with a template are for agents too, those without one for WhatsNext's clients alone", async () => {
  await using server = await startWhatsNext();
  await server.withTask({ command_template: "echo {x}" });
  await server.post("/tasks", { name: "own way", project_id: 1 });
  const own = await server.job({ task_id: 2, parameters: { any: "thing" } });
  const command = await server.job({ parameters: { x: "a b" } });
  const claimed = await server.engine.claim({
    workerId: "agent",
    queues: ["*"],
    kinds: ["command"],
    capacity: { cpu: 8, accelerators: 0, memoryMb: 0 },
    max: 10,
    waitMs: 0,
    leaseMs: null,
  });
  expect(claimed.map(({ id, spec }) => [id, spec])).toEqual([
    [command, { template: "echo {x}", parameters: { x: "a b" } }],
  ]);
  expect(await fetchId(server)).toBe(own);
});

test("a job that is fetched and never reported on goes to the next client", async () => {
  await using server = await startWhatsNext({
    dialect: { queuedLeaseMs: 50, runningLeaseMs: 60_000 },
    engine: { maintenanceMs: 20 },
  });
  await server.withTask();
  const id = await server.job();
  expect(await fetchId(server)).toBe(id);
  expect(
    await until(
      () => fetchId(server),
      (found) => found !== null,
    ),
  ).toBe(id);
  await server.put(`/jobs/${id}`, { status: "RUNNING" });
  await Bun.sleep(150);
  expect(await server.statuses(id)).toEqual(["RUNNING"]);
});

test("a client that names itself holds its jobs by heartbeats and gives them back when it leaves", async () => {
  await using server = await startWhatsNext({
    dialect: { clientLeaseMs: 400 },
    engine: { maintenanceMs: 20 },
  });
  await server.withTask();
  await server.post("/clients/register", { id: "w1", available_cpu: 0 });
  await server.post("/clients/register", { id: "w2" });
  const id = await server.job();
  expect(await fetchId(server, "?client_id=w1")).toBe(id);
  await server.put(`/jobs/${id}`, { status: "RUNNING" });
  for (let beat = 0; beat < 8; beat++) {
    await Bun.sleep(100);
    await server.post("/clients/w1/heartbeat");
  }
  expect(await server.statuses(id)).toEqual(["RUNNING"]);
  await server.post("/clients/w1/deactivate");
  expect(await server.statuses(id)).toEqual(["PENDING"]);
  expect(await fetchId(server, "?client_id=w1")).toBeNull();
  expect(await fetchId(server, "?client_id=w2")).toBe(id);
  expect(
    await until(
      () => server.statuses(id),
      ([status]) => status === "PENDING",
    ),
  ).toEqual(["PENDING"]);
  expect(await fetchId(server, "?client_id=w2")).toBe(id);
  await server.delete("/clients/w2");
  expect(await server.statuses(id)).toEqual(["PENDING"]);
  await server.post("/clients/register", { id: "w1" });
  expect(await fetchId(server, "?client_id=w1")).toBe(id);
  for (const unknown of ["nobody", "", "a%20b", "whatsnext.unnamed"]) {
    const refused = await server.get(`/projects/1/fetch_job?client_id=${unknown}`);
    const detail = `Client with id ${decodeURIComponent(unknown)} not found.`;
    expect([refused.status, refused.body.detail]).toEqual([400, detail]);
  }
});

test("nobody can register as the client without a name", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const id = await server.job();
  await fetchId(server);
  const { workerId } = await server.engine.read.job(id);
  expect((await server.post("/clients/register", { id: workerId })).status).toBe(400);
  expect((await server.get("/clients/?active_only=false")).json).toEqual([]);
});

test("a job that another API put into the project's queue is passed by and keeps its place", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const { body: native } = await server.post("/v1/jobs", {
    queue: "project-1",
    spec: { argv: ["true"] },
    priority: 9,
  });
  const own = await server.job();
  expect((await server.get("/projects/1/fetch_job")).body).toMatchObject({
    job: { id: own },
    num_pending: 1,
  });
  expect((await server.get("/projects/1/fetch_job")).json).toEqual({ job: null, num_pending: 0 });
  expect((await server.engine.read.job(native.id)).state).toBe("ready");
});

test("among jobs created at the same moment only those of a task that is gone are refused", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const job = (taskId: number, projectId: number) => ({
    dialect: "whatsnext" as const,
    key: null,
    kind: "external" as const,
    queue: "project-1",
    name: "j",
    projectId,
    spec: {},
    task: { id: taskId, parameters: {}, isLenient: true },
    priority: 0,
    resources: {},
    labels: {},
    requires: {},
    dependsOn: [],
    maxAttempts: 1,
    maxRecoveries: 1,
    timeoutMs: null,
    runAt: null,
  });
  const made = [job(1, 1), job(9, 1), job(1, 1), job(1, 9)].map((one) =>
    server.engine.submit({ jobs: [one, job(1, 1)], idempotency: null }),
  );
  const settled = await Promise.allSettled(made);
  expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "rejected"]);
  expect((await server.get("/jobs/")).body).toMatchObject({ length: 4 });
});
