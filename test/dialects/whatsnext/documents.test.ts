/** Every call of the server's document, with its own example bodies, in the document's order. */
import { expect, test } from "bun:test";
import { startWhatsNext, TIME } from "./whatsnextServer.ts";

const times = { created_at: expect.stringMatching(TIME), updated_at: expect.stringMatching(TIME) };
const project = {
  id: 1,
  name: "ml-training",
  description: "Machine learning experiments",
  status: "ACTIVE",
  ...times,
};
const newProject = { name: "ml-training", description: "Machine learning experiments" };
const newTask = {
  name: "train-model",
  project_id: 1,
  command_template: "python train.py --lr {lr} --epochs {epochs}",
  required_cpu: 8,
  required_accelerators: 4,
};

test("projects: create, list, get by id and name, update, delete", async () => {
  await using server = await startWhatsNext();
  const made = await server.post("/projects/", newProject);
  expect([made.status, made.json]).toEqual([201, project]);
  expect((await server.get("/projects/")).json).toEqual([project]);
  expect((await server.get("/projects/1")).json).toEqual(project);
  expect((await server.get("/projects/name/ml-training")).json).toEqual(project);

  const change = { name: "ml-training-v2", description: "Updated description", status: "ACTIVE" };
  const changed = await server.put("/projects/1", change);
  expect([changed.status, changed.json]).toEqual([200, { data: { ...project, ...change } }]);

  expect((await server.post("/projects/", { name: "second" })).body.id).toBe(2);
  expect((await server.get("/projects/?limit=1&skip=1")).body).toMatchObject([{ id: 2 }]);
  await server.put("/projects/2", { status: "ARCHIVED" });
  expect((await server.get("/projects/?status=ARCHIVED")).body).toMatchObject([{ id: 2 }]);
  expect((await server.get("/projects/?status=ACTIVE")).body).toMatchObject([{ id: 1 }]);

  const gone = await server.delete("/projects/1");
  expect([gone.status, gone.json]).toEqual([204, null]);
  expect((await server.delete("/projects/name/second")).status).toBe(204);
  const missing = await server.get("/projects/999");
  expect([missing.status, missing.json]).toEqual([404, { detail: "Project with id 999 not found." }]);
  expect(server.errors).toEqual([]);
});

test("tasks: create, list, get by id and name, update in parts, delete", async () => {
  await using server = await startWhatsNext();
  await server.post("/projects/", newProject);
  const task = { id: 1, ...newTask, ...times };
  const made = await server.post("/tasks/", newTask);
  expect([made.status, made.json]).toEqual([201, task]);
  expect((await server.get("/tasks/?project_id=1")).json).toEqual([task]);
  expect((await server.get("/tasks/1")).json).toEqual(task);
  expect((await server.get("/tasks/name/train-model?project_id=1")).json).toEqual(task);
  const change = { required_cpu: 16, required_accelerators: 8 };
  const changed = await server.put("/tasks/1", change);
  expect([changed.status, changed.json]).toEqual([200, { data: { ...task, ...change } }]);
  expect((await server.delete("/tasks/1")).status).toBe(204);
  expect((await server.get("/tasks/1")).json).toEqual({ detail: "Task with id 1 not found." });
});

test("jobs: create, list, get, fetch, update, dependencies, delete", async () => {
  await using server = await startWhatsNext();
  await server.post("/projects/", newProject);
  await server.post("/tasks/", newTask);
  const newJob = {
    name: "experiment-001",
    project_id: 1,
    task_id: 1,
    parameters: { learning_rate: 0.01, epochs: 100, batch_size: 32 },
    priority: 5,
    depends: {},
  };
  const job = { id: 1, ...newJob, status: "PENDING", ...times };
  const made = await server.post("/jobs/", newJob);
  expect([made.status, made.json]).toEqual([201, job]);
  expect((await server.get("/jobs/1")).json).toEqual(job);
  expect((await server.get("/jobs/?project_id=1&limit=10&skip=0")).json).toEqual([job]);

  const fetched = await server.get("/projects/1/fetch_job?available_cpu=8&available_accelerators=4");
  expect(fetched.json).toEqual({
    job: { ...job, task_name: "train-model", status: "QUEUED" },
    num_pending: 1,
  });

  const update = {
    name: "experiment-001",
    project_id: 1,
    task_id: 1,
    parameters: { learning_rate: 0.01 },
    status: "COMPLETED",
    priority: 5,
    depends: {},
  };
  const updated = await server.put("/jobs/1", update);
  expect([updated.status, updated.json]).toEqual([200, { data: { ...job, ...update } }]);

  const second = (await server.post("/jobs/", { ...newJob, name: "validation" })).body.id;
  await server.put(`/jobs/${second}`, { status: "RUNNING" });
  const depends = { "1": "preprocessing-job", [second]: "data-validation" };
  const third = await server.post("/jobs/", { ...newJob, depends });
  expect(third.body).toMatchObject({ status: "PENDING", depends });
  expect((await server.get(`/jobs/${third.body.id}/dependencies`)).json).toEqual({
    job_id: third.body.id,
    job_name: "experiment-001",
    status: "PENDING",
    dependencies: [
      { id: 1, name: "experiment-001", job_id: 1, job_name: "experiment-001", status: "COMPLETED" },
      { id: second, name: "validation", job_id: second, job_name: "validation", status: "RUNNING" },
    ],
    all_completed: false,
    has_failed: false,
  });
  const gone = await server.delete("/jobs/1");
  expect([gone.status, gone.json]).toEqual([204, null]);
  expect(server.errors).toEqual([]);
});

test("the queue: batch, clear", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const batch = await server.post("/projects/1/jobs/batch", {
    jobs: [
      { name: "job-1", task_id: 1, parameters: { x: 1 } },
      { name: "job-2", task_id: 1, parameters: { x: 2 } },
      { name: "job-3", task_id: 1, parameters: { x: 3 } },
    ],
  });
  expect([batch.status, batch.json]).toEqual([201, { created: 3, job_ids: [1, 2, 3] }]);
  await server.get("/projects/1/fetch_job");
  const cleared = await server.delete("/projects/1/queue");
  expect([cleared.status, cleared.json]).toEqual([200, { deleted: 2 }]);
  expect((await server.get("/jobs/")).body).toMatchObject([{ id: 1, status: "QUEUED" }]);
});

test("clients: register, list, get, update, heartbeat, deactivate, delete", async () => {
  await using server = await startWhatsNext();
  const registration = {
    id: "worker-gpu-001",
    name: "GPU Worker 1",
    entity: "ml-team",
    description: "4x A100 training server",
    available_cpu: 64,
    available_accelerators: 4,
  };
  const client = {
    ...registration,
    last_heartbeat: expect.stringMatching(TIME),
    created_at: expect.stringMatching(TIME),
    is_active: 1,
  };
  const made = await server.post("/clients/register", registration);
  expect([made.status, made.json]).toEqual([201, client]);
  expect((await server.get("/clients/")).json).toEqual([client]);
  expect((await server.get("/clients/worker-gpu-001")).json).toEqual(client);
  const change = { available_cpu: 32, available_accelerators: 2 };
  const changed = await server.put("/clients/worker-gpu-001", change);
  expect([changed.status, changed.json]).toEqual([200, { data: { ...client, ...change } }]);
  const beat = await server.post("/clients/worker-gpu-001/heartbeat");
  expect([beat.status, beat.json]).toEqual([200, { status: "ok" }]);
  const left = await server.post("/clients/worker-gpu-001/deactivate");
  expect([left.status, left.json]).toEqual([200, { status: "deactivated" }]);
  expect((await server.get("/clients/")).json).toEqual([]);
  expect((await server.get("/clients/?active_only=false&limit=5&skip=0")).body).toMatchObject([
    { is_active: 0 },
  ]);
  expect((await server.delete("/clients/worker-gpu-001")).status).toBe(204);
  expect((await server.get("/clients/worker-gpu-001")).json).toEqual({
    detail: "Client with id worker-gpu-001 not found.",
  });
});

test("health, and the documented form of errors", async () => {
  await using server = await startWhatsNext();
  const root = await fetch(server.url);
  expect([root.status, await root.json()]).toEqual([200, { message: "OK", status: "healthy" }]);
  expect((await server.get("/checkdb")).json).toEqual({
    message: "DB is working",
    status: "healthy",
    database: "connected",
  });
  const invalid = await server.post("/projects/", { description: "no name" });
  expect([invalid.status, invalid.json]).toEqual([
    422,
    {
      detail: [
        {
          loc: ["body", "name"],
          msg: "field required",
          type: "value_error.missing",
          input: { description: "no name" },
        },
      ],
    },
  ]);
  for (const page of ["/docs", "/redoc"]) expect((await fetch(`${server.url}${page}`)).status).toBe(200);
});

test("the OpenAPI document calls the numbers of a query what is taken: integers", async () => {
  await using server = await startWhatsNext();
  const { paths } = await (await fetch(`${server.url}/openapi.json`)).json();
  const numbers: string[] = [];
  for (const path of ["/projects/", "/tasks/", "/jobs/", "/clients/", "/projects/{id}/fetch_job"]) {
    for (const { name, schema } of paths[path].get.parameters) {
      if (schema.type === "integer") numbers.push(`${path} ${name}`);
      expect([path, name, schema.type]).not.toEqual([path, name, "number"]);
    }
    expect((await server.get(`${path.replace("{id}", "1")}?limit=1.5&available_cpu=1.5`)).status).toBe(422);
  }
  expect(numbers).toContain("/jobs/ limit");
  expect(numbers).toContain("/projects/{id}/fetch_job available_cpu");
});

test("every documented call is in the OpenAPI document, once", async () => {
  await using server = await startWhatsNext();
  const { paths } = (await server.get("/openapi.json")).body;
  const documented: Record<string, string[]> = {
    "/": ["get"],
    "/checkdb": ["get"],
    "/projects/": ["get", "post"],
    "/projects/{id}": ["get", "put", "delete"],
    "/projects/name/{name}": ["get", "delete"],
    "/projects/{id}/fetch_job": ["get"],
    "/projects/{id}/queue": ["delete"],
    "/projects/{id}/jobs/batch": ["post"],
    "/projects/{project_id}/jobs/{job_id}": ["delete"],
    "/tasks/": ["get", "post"],
    "/tasks/{id}": ["get", "put", "delete"],
    "/tasks/name/{name}": ["get"],
    "/jobs/": ["get", "post"],
    "/jobs/{id}": ["get", "put", "delete"],
    "/jobs/{id}/dependencies": ["get"],
    "/clients/register": ["post"],
    "/clients/": ["get"],
    "/clients/{id}": ["get", "put", "delete"],
    "/clients/{id}/heartbeat": ["post"],
    "/clients/{id}/deactivate": ["post"],
  };
  const described = Object.fromEntries(
    Object.entries(paths)
      .filter(([path]) => !path.startsWith("/v1") && /^\/($|checkdb|projects|tasks|jobs|clients)/.test(path))
      .map(([path, operations]) => [path, Object.keys(operations).sort()]),
  );
  for (const methods of Object.values(documented)) methods.sort();
  expect(described).toEqual(documented);
  const schema = { $ref: "#/components/schemas/WhatsNextNewJob" };
  expect(paths["/jobs/"]?.post).toMatchObject({
    requestBody: { content: { "application/json": { schema } } },
  });
});
