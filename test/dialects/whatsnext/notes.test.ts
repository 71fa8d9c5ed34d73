/** What existing clients rely on beyond the document, line by line of the notes. */
import { expect, test } from "bun:test";
import { whatsnextDialect } from "../../../src/dialects/whatsnext/whatsnextDialect.ts";
import { StoreUnavailableError } from "../../../src/domain/errors.ts";
import { fakeEngine } from "../../server/fakeEngine.ts";
import { startTestServer } from "../../server/testServer.ts";
import { startWhatsNext, TIME } from "./whatsnextServer.ts";

const JOB_KEYS = [
  "created_at",
  "depends",
  "id",
  "name",
  "parameters",
  "priority",
  "project_id",
  "status",
  "task_id",
  "updated_at",
];

test("a fetched job has the eleven keys and no other, every other job the ten", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const made = await server.post("/jobs", { name: "j", project_id: 1, task_id: 1 });
  const fetched = (await server.get("/projects/1/fetch_job")).body.job;
  expect(Object.keys(fetched ?? {}).sort()).toEqual([...JOB_KEYS, "task_name"].sort());
  expect(Object.keys(made.body).sort()).toEqual(JOB_KEYS);
  expect(Object.keys((await server.get("/jobs/1")).body).sort()).toEqual(JOB_KEYS);
  expect(Object.keys((await server.put("/jobs/1", {})).body.data).sort()).toEqual(JOB_KEYS);
});

test("num_pending counts the fetched job and those that wait or do not fit; it is 0 when there is no job", async () => {
  await using server = await startWhatsNext();
  await server.withTask({ required_cpu: 2 });
  await server.post("/tasks", { name: "big", project_id: 1, required_cpu: 99 });
  const first = await server.job();
  await server.job({ depends: { [first]: "first" } });
  await server.job({ task_id: 2 });
  const fetch = "/projects/1/fetch_job?available_cpu=4";
  expect((await server.get(fetch)).body).toMatchObject({ job: { id: first }, num_pending: 3 });
  expect((await server.get(fetch)).json).toEqual({ job: null, num_pending: 0 });
});

test("every path answers with and without the slash, and never by a redirect", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  await server.post("/clients/register/", { id: "w" });
  await server.job();
  for (const path of [
    "/projects",
    "/projects/1",
    "/projects/name/p",
    "/projects/1/fetch_job",
    "/tasks/1",
    "/tasks/name/t",
    "/jobs/1",
    "/jobs/1/dependencies",
    "/clients",
    "/clients/w",
    "/checkdb",
  ]) {
    expect([path, (await server.get(path)).status, (await server.get(`${path}/`)).status]).toEqual([
      path,
      200,
      200,
    ]);
  }
  for (const slash of ["", "/"]) {
    expect((await server.post(`/projects${slash}`, { name: `q${slash}` })).status).toBe(201);
    expect((await server.post(`/tasks${slash}`, { name: `q${slash}`, project_id: 1 })).status).toBe(201);
    expect((await server.post(`/jobs${slash}`, { name: "j", project_id: 1, task_id: 1 })).status).toBe(201);
    expect((await server.get(`/tasks${slash}?project_id=1`)).status).toBe(200);
    expect((await server.put(`/jobs/1${slash}`, {})).status).toBe(200);
    expect((await server.post(`/projects/1/jobs/batch${slash}`, { jobs: [] })).json).toEqual({
      created: 0,
      job_ids: [],
    });
  }
});

test("GET /jobs is WhatsNext's with project_id or skip, /jobs/{id} with an integer", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const id = await server.job();
  expect((await server.get("/jobs")).status).toBe(404);
  expect((await server.get("/jobs?limit=5")).status).toBe(404);
  expect((await server.get("/jobs?project_id=1")).body).toMatchObject([{ id }]);
  expect((await server.get("/jobs?skip=0")).body).toMatchObject([{ id }]);
  expect((await server.get("/jobs/")).body).toMatchObject([{ id }]);
  for (const other of ["job_abc", "0199a7c2-0000-7000-8000-000000000001"]) {
    expect((await server.get(`/jobs/${other}`)).json).toEqual({ detail: "Not Found" });
    expect((await server.delete(`/jobs/${other}`)).status).toBe(404);
  }
  const twin = whatsnextDialect({ engine: fakeEngine() });
  const other = {
    ...twin,
    routes: twin.routes.map((route) => ({ ...route, handle: async () => new Response("other") })),
  };
  await using shared = await startTestServer(
    {},
    {
      dialects: [
        whatsnextDialect({ engine: server.engine }),
        { ...other, routes: other.routes.map(({ matches: _, ...route }) => route) },
      ],
    },
  );
  const at = async (path: string) => (await fetch(`${shared.url}${path}`)).text();
  expect(await at("/jobs")).toBe("other");
  expect(await at("/jobs/job_abc")).toBe("other");
  expect(await at("/jobs?skip=0")).not.toBe("other");
  expect(await at("/jobs/1")).not.toBe("other");
});

test("PUT takes back the whole object, ids and times included, and says what it became", async () => {
  await using server = await startWhatsNext();
  await server.withTask({ command_template: "run {x}" });
  await server.job({ parameters: { x: 1 } });
  await server.post("/clients/register", { id: "w", name: "worker" });
  for (const path of ["/projects/1", "/tasks/1", "/jobs/1", "/clients/w"]) {
    const { body } = await server.get(path);
    const back = await server.put(path, { ...body, created_at: "x", unknown: [1] });
    expect([path, back.status, Object.keys(back.body)]).toEqual([path, 200, ["data"]]);
    const { updated_at: _, last_heartbeat: __, ...same } = body;
    expect(back.body.data).toMatchObject(same);
    const nulls = Object.fromEntries(Object.keys(body).map((key) => [key, null]));
    expect((await server.put(path, nulls)).body.data).toMatchObject(same);
  }
});

test("statuses are taken in any case and told in upper case; booleans in any word", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const id = await server.job({ status: "pending" });
  for (const status of ["running", "Failed", "PENDING", "completed"]) {
    expect((await server.put(`/jobs/${id}`, { status })).body.data.status).toBe(status.toUpperCase());
  }
  expect((await server.put("/projects/1", { status: "archived" })).body.data.status).toBe("ARCHIVED");
  await server.post("/clients/register", { id: "w" });
  await server.post("/clients/w/deactivate");
  for (const [word, count] of [
    ["True", 0],
    ["1", 0],
    ["yes", 0],
    ["False", 1],
    ["0", 1],
    ["no", 1],
    ["NO", 1],
  ]) {
    const { body } = await server.get(`/clients/?active_only=${word}`);
    expect([word, body]).toMatchObject([word, { length: count }]);
  }
});

test("times have six digits and a numeric offset", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  await server.job();
  await server.post("/clients/register", { id: "w" });
  for (const path of ["/projects/1", "/tasks/1", "/jobs/1", "/clients/w"]) {
    const { body } = await server.get(path);
    expect(body.created_at).toMatch(TIME);
    expect(body.updated_at ?? body.last_heartbeat).toMatch(TIME);
  }
});

test("lists: which status, clamped limits, the oldest first", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  await server.post("/projects", { name: "old" });
  await server.put("/projects/2", { status: "ARCHIVED" });
  const names = async (query: string) => {
    const found: unknown = (await server.get(`/projects/${query}`)).body;
    return Array.isArray(found) ? found.map(({ name }) => name) : found;
  };
  expect(await names("")).toEqual(["p"]);
  expect(await names("?status_filter=archived")).toEqual(["old"]);
  expect(await names("?status=Archived")).toEqual(["old"]);
  expect(await names("?status=")).toEqual(["p", "old"]);
  expect(await names("?status_filter=&unknown=1")).toEqual(["p", "old"]);
  expect(await names("?status_filter=&limit=10000&limit=1")).toEqual(["p"]);

  const jobs = Array.from({ length: 1_001 }, (_, n) => ({ name: `j${n}`, task_id: 1 }));
  await server.post("/projects/1/jobs/batch", { jobs });
  await server.put("/jobs/1", { status: "FAILED" });
  expect((await server.get("/jobs/")).body).toMatchObject({ length: 100, 0: { id: 1, status: "FAILED" } });
  expect((await server.get("/jobs/?limit=10000")).body).toMatchObject({ length: 1_000 });
  expect((await server.get("/jobs/?limit=10000&skip=1000")).body).toMatchObject([{ id: 1_001 }]);
  expect((await server.get(`/jobs/?limit=1${"0".repeat(30)}&project_id=1`)).body).toMatchObject({
    length: 1_000,
  });
  expect((await server.get("/jobs/?project_id=2")).json).toEqual([]);
});

test("tasks: the project must be named and known; a task can be found by its name alone", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  await server.post("/tasks", { name: "b c/d", project_id: 1 });
  const detail = async (path: string) => {
    const { status, body } = await server.get(path);
    return [status, body.detail];
  };
  expect(await detail("/tasks/")).toEqual([400, "project_id is required"]);
  expect(await detail("/tasks/?project_id=9")).toEqual([400, "Project with project_id=9 not found."]);
  expect(await detail("/tasks/train-model")).toEqual([404, "Task with id train-model not found."]);
  expect(await detail("/tasks/name/x")).toEqual([404, "Task with name 'x' not found."]);
  expect(await detail("/tasks/name/t?project_id=2")).toEqual([404, "Task with name 't' not found."]);
  expect((await server.get("/tasks/name/b%20c%2Fd")).body).toMatchObject({ id: 2, command_template: null });
  expect((await server.get("/tasks/?project_id=1&limit=1&skip=1")).body).toMatchObject([{ id: 2 }]);
  expect((await server.get("/tasks/1")).body).toMatchObject({ required_cpu: 1, required_accelerators: 0 });
});

test("each thing that is not there has its sentence", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const jobs = await server.engine.submit({
    jobs: [
      {
        dialect: "yardmaster",
        key: null,
        kind: "command",
        queue: "default",
        name: "native",
        projectId: 1,
        spec: { argv: ["true"] },
        task: null,
        priority: 0,
        resources: {},
        labels: {},
        requires: {},
        dependsOn: [],
        maxAttempts: 1,
        maxRecoveries: 0,
        timeoutMs: null,
        runAt: null,
      },
    ],
    idempotency: null,
  });
  const native = jobs.jobs[0]?.id;
  const cases: [string, string, string][] = [
    ["GET", "/projects/9", "Project with id 9 not found."],
    ["DELETE", "/projects/9", "Project with id 9 not found."],
    ["DELETE", "/projects/9/queue", "Project with id 9 not found."],
    ["GET", "/projects/9/fetch_job", "Project with id 9 not found."],
    ["GET", "/projects/0/fetch_job", "Project with id 0 not found."],
    ["GET", "/projects/name/x%20y", "Project with name 'x y' not found."],
    ["DELETE", "/projects/name/queue", "Project with name 'queue' not found."],
    ["GET", "/tasks/9", "Task with id 9 not found."],
    ["DELETE", "/tasks/9", "Task with id 9 not found."],
    ["GET", "/jobs/9", "Job with id 9 not found."],
    ["DELETE", "/jobs/9", "Job with id 9 not found."],
    ["GET", "/jobs/9/dependencies", "Job with id 9 not found."],
    ["DELETE", "/projects/1/jobs/9", "Job with id 9 not found in project 1."],
    ["GET", `/jobs/${native}`, `Job with id ${native} not found.`],
    ["DELETE", `/jobs/${native}`, `Job with id ${native} not found.`],
    ["DELETE", `/projects/1/jobs/${native}`, `Job with id ${native} not found in project 1.`],
    ["GET", "/clients/x", "Client with id x not found."],
    ["POST", "/clients/x/heartbeat", "Client with id x not found."],
    ["POST", "/clients/x/deactivate", "Client with id x not found."],
    ["DELETE", "/clients/x", "Client with id x not found."],
  ];
  for (const [method, path, detail] of cases) {
    const answer = await server.call(method, path);
    expect([path, answer.status, answer.json]).toEqual([path, 404, { detail }]);
  }
  for (const path of ["/projects/9", "/tasks/9", "/jobs/9", "/clients/x"]) {
    expect((await server.put(path, {})).status).toBe(404);
  }
  expect((await server.post("/projects/9/jobs/batch", { jobs: [] })).status).toBe(404);
  const removable = await server.job();
  expect((await server.delete(`/projects/1/jobs/${removable}`)).status).toBe(204);
});

test("with a project go its tasks and jobs, with a task its jobs", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  await server.post("/tasks", { name: "u", project_id: 1 });
  const first = await server.job();
  const second = await server.job({ task_id: 2 });
  await server.get("/projects/1/fetch_job");
  expect((await server.delete("/tasks/1")).status).toBe(204);
  expect((await server.get(`/jobs/${first}`)).status).toBe(404);
  expect((await server.get(`/jobs/${second}`)).status).toBe(200);
  expect((await server.delete("/projects/1")).status).toBe(204);
  expect((await server.get(`/jobs/${second}`)).status).toBe(404);
  expect((await server.get("/tasks/2")).status).toBe(404);
});

test("clients: ids that may be, registering again, and none of another API", async () => {
  await using server = await startWhatsNext();
  const body = { id: "a_B-9", name: "one", entity: "e" };
  const first = (await server.post("/clients/register", body)).body;
  await server.post("/clients/a_B-9/deactivate");
  const again = await server.post("/clients/register", { ...body, name: "two" });
  expect([again.status, again.body]).toMatchObject([
    201,
    { name: "two", is_active: 1, created_at: first.created_at },
  ]);
  for (const id of ["", "a b", "a.b", "ä", "x".repeat(129)]) {
    expect([id, (await server.post("/clients/register", { id })).status]).toEqual([id, 400]);
  }
  expect((await server.post("/clients/register", { id: "x".repeat(128) })).status).toBe(201);
  await server.engine.registerWorker({
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
  expect((await server.post("/clients/register", { id: "agent-1" })).status).toBe(400);
  expect((await server.delete("/clients/agent-1")).status).toBe(404);
  expect((await server.get("/clients/")).body).toMatchObject([{ id: "a_B-9" }, { id: "x".repeat(128) }]);
  await server.post("/clients/a_B-9/deactivate");
  expect((await server.put("/clients/a_B-9", { available_cpu: 3 })).body.data).toMatchObject({
    available_cpu: 3,
    entity: "e",
    is_active: 0,
  });
});

test("checkdb is 503 while the store is away", async () => {
  const engine = fakeEngine({
    read: { ping: () => Promise.reject(new StoreUnavailableError("the store is away", 2_000)) },
  });
  await using server = await startTestServer({}, { dialects: [whatsnextDialect({ engine })] });
  const answer = await fetch(`${server.url}/checkdb`);
  expect([answer.status, answer.headers.get("retry-after"), await answer.json()]).toEqual([
    503,
    "2",
    { detail: "the store is away" },
  ]);
});
