/** Bad input of every kind at every endpoint: the documented shapes, never a 500, and nothing changed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { startWhatsNext, type WhatsNextServer } from "./whatsnextServer.ts";

let server: WhatsNextServer;
let before: string;

const PATHS = ["/projects/", "/tasks/?project_id=1", "/jobs/", "/clients/?active_only=no"];
const everything = async () =>
  JSON.stringify(await Promise.all(PATHS.map(async (path) => (await server.get(path)).json)));

beforeAll(async () => {
  server = await startWhatsNext();
  await server.withTask();
  await server.job();
  await server.post("/clients/register", { id: "w" });
  before = await everything();
});
afterAll(() => server[Symbol.asyncDispose]());

/** Calls with a body, and a body that is right. */
const BODIES: Readonly<Record<string, object>> = {
  "POST /projects/": { name: "new" },
  "PUT /projects/1": {},
  "POST /projects/1/jobs/batch": { jobs: [] },
  "POST /tasks/": { name: "new", project_id: 1 },
  "PUT /tasks/1": {},
  "POST /jobs/": { name: "j", project_id: 1, task_id: 1 },
  "PUT /jobs/1": {},
  "POST /clients/register": { id: "w" },
  "PUT /clients/w": {},
};

async function raw(call: string, body: BodyInit | null, type = "application/json") {
  const [method = "", path = ""] = call.split(" ");
  const response = await fetch(`${server.url}${path}`, { method, body, headers: { "content-type": type } });
  return { status: response.status, detail: (await response.json()).detail };
}

test("bodies that are no JSON object", async () => {
  const deep = `{"parameters":${'{"a":'.repeat(200)}1${"}".repeat(201)}`;
  const utf8 = new Uint8Array([
    ...new TextEncoder().encode('{"name":"'),
    0xff,
    0xfe,
    ...new TextEncoder().encode('"}'),
  ]);
  for (const call of Object.keys(BODIES)) {
    const bodies: BodyInit[] = [
      "{",
      '{"name":',
      "[]",
      "1",
      '"text"',
      "true",
      "null",
      "NaN",
      "\0",
      deep,
      utf8,
    ];
    for (const body of bodies) {
      const { status, detail } = await raw(call, body);
      expect([call, String(body).slice(0, 20), status]).toEqual([call, String(body).slice(0, 20), 422]);
      expect(detail).toEqual([
        { loc: ["body"], type: expect.any(String), msg: expect.any(String), input: null },
      ]);
    }
    expect((await raw(call, "a=b", "application/x-www-form-urlencoded")).detail).toMatchObject([
      { loc: ["body"], type: "type_error.dict" },
    ]);
    const [method = "", path = ""] = call.split(" ");
    expect((await server.call(method, path)).body).toMatchObject({
      detail: [{ loc: ["body"], msg: "field required", type: "value_error.missing" }],
    });
  }
});

const STRINGS = [1, true, [], {}];
const INTEGERS = ["x", "1.5", 1.5, true, [], {}, 1e300, "9".repeat(30)];
const NAMES = [...STRINGS, "", "a\0b", "\ud800", "x".repeat(1_001)];
const OBJECTS = ["x", 1, true, []];
const STATUSES = ["DONE", "", 1, [], {}];
const AMOUNTS = [...INTEGERS, -1, 1_000_001];

const JOB_FIELDS: Readonly<Record<string, readonly unknown[]>> = {
  name: NAMES,
  task_id: INTEGERS,
  project_id: INTEGERS,
  parameters: OBJECTS,
  priority: [...INTEGERS, 2 ** 31, -(2 ** 31) - 1],
  depends: OBJECTS,
  status: STATUSES,
};
const TASK_FIELDS = {
  name: NAMES,
  project_id: INTEGERS,
  command_template: [...STRINGS, "a\0", "x".repeat(100_001)],
  required_cpu: AMOUNTS,
  required_accelerators: AMOUNTS,
};
const CLIENT_FIELDS = {
  name: NAMES,
  entity: STRINGS,
  description: STRINGS,
  available_cpu: AMOUNTS,
  available_accelerators: AMOUNTS,
};

test("fields of the wrong type or out of range, each told by its place", async () => {
  const wrong: Readonly<Record<string, Readonly<Record<string, readonly unknown[]>>>> = {
    "POST /projects/": { name: [...NAMES, null], description: STRINGS },
    "PUT /projects/1": { name: NAMES, description: STRINGS, status: [...STATUSES, "DELETED"] },
    "POST /tasks/": TASK_FIELDS,
    "PUT /tasks/1": TASK_FIELDS,
    "POST /jobs/": { ...JOB_FIELDS, parameters: [...OBJECTS, null] },
    "PUT /jobs/1": JOB_FIELDS,
    "POST /clients/register": { ...CLIENT_FIELDS, id: [...STRINGS, null] },
    "PUT /clients/w": CLIENT_FIELDS,
    "POST /projects/1/jobs/batch": { jobs: [null, "x", 1, {}] },
  };
  for (const [call, fields] of Object.entries(wrong)) {
    const [method = "", path = ""] = call.split(" ");
    for (const [field, values] of Object.entries(fields)) {
      for (const value of values) {
        const { status, body } = await server.call(method, path, { ...BODIES[call], [field]: value });
        expect([call, field, value, status]).toEqual([call, field, value, 422]);
        expect(body.detail).toMatchObject([{ loc: ["body", field], type: expect.any(String) }]);
      }
    }
  }
});

test("fields that are missing, down to the place in a batch", async () => {
  const at = async (path: string, body: object) => {
    const { status, body: answer } = await server.post(path, body);
    expect(status).toBe(422);
    if (typeof answer.detail === "string") throw new Error(answer.detail);
    return answer.detail.map(({ loc, type }) => [type, ...loc]);
  };
  const missing = "value_error.missing";
  expect(await at("/projects/", {})).toEqual([[missing, "body", "name"]]);
  expect(await at("/tasks/", {})).toEqual([
    [missing, "body", "name"],
    [missing, "body", "project_id"],
  ]);
  expect((await at("/jobs/", {})).toSorted()).toEqual([
    [missing, "body", "name"],
    [missing, "body", "project_id"],
    [missing, "body", "task_id"],
  ]);
  expect(await at("/clients/register", {})).toEqual([[missing, "body", "id"]]);
  expect(await at("/projects/1/jobs/batch", {})).toEqual([[missing, "body", "jobs"]]);
  const jobs = [
    { name: "a" },
    { name: "b", task_id: "x" },
    "c",
    { name: "d", task_id: 1, depends: { 1: 2 } },
  ];
  expect(await at("/projects/1/jobs/batch", { jobs })).toEqual([
    [missing, "body", "jobs", 0, "task_id"],
    ["type_error.integer", "body", "jobs", 1, "task_id"],
    ["type_error.dict", "body", "jobs", 2],
    ["type_error.str", "body", "jobs", 3, "depends", "1"],
  ]);
  const many = Array.from({ length: 10_000 }, () => ({ parameters: { text: "x".repeat(300) } }));
  const { body } = await server.post("/projects/1/jobs/batch", { jobs: many });
  expect([body.detail.length, JSON.stringify(body).length < 20_000]).toEqual([20, true]);
});

test("queries and paths of the wrong type", async () => {
  const cases: [string, string, (string | number)[]][] = [];
  for (const path of ["/projects/", "/jobs/", "/clients/", "/tasks/?project_id=1"]) {
    const and = path.includes("?") ? "&" : "?";
    for (const value of ["x", "1.5", "0", "-1", "", "%00", "1e3"]) {
      cases.push(["GET", `${path}${and}limit=${value}`, ["query", "limit"]]);
      if (value !== "0") cases.push(["GET", `${path}${and}skip=${value}`, ["query", "skip"]]);
    }
    cases.push(["GET", `${path}${and}skip=${"9".repeat(30)}`, ["query", "skip"]]);
  }
  for (const value of ["x", "1.5", "", "9".repeat(30)]) {
    cases.push(["GET", `/jobs/?project_id=${value}`, ["query", "project_id"]]);
    cases.push(["GET", `/tasks/?project_id=${value}`, ["query", "project_id"]]);
    cases.push(["GET", `/tasks/name/t?project_id=${value}`, ["query", "project_id"]]);
  }
  for (const value of ["x", "-1", "1.5", ""]) {
    cases.push(["GET", `/projects/1/fetch_job?available_cpu=${value}`, ["query", "available_cpu"]]);
    cases.push([
      "GET",
      `/projects/1/fetch_job?available_accelerators=${value}`,
      ["query", "available_accelerators"],
    ]);
  }
  for (const value of ["maybe", "", "2"]) {
    cases.push(["GET", `/clients/?active_only=${value}`, ["query", "active_only"]]);
  }
  cases.push(["GET", "/projects/?status=GONE", ["query", "status"]]);
  cases.push(["GET", "/projects/?status_filter=GONE", ["query", "status_filter"]]);
  for (const id of ["x", "1.5", "%ff", "%00", "9".repeat(30), "1%2F2"]) {
    for (const [method, path, name] of [
      ["GET", `/projects/${id}`, "id"],
      ["DELETE", `/projects/${id}`, "id"],
      ["GET", `/projects/${id}/fetch_job`, "id"],
      ["DELETE", `/projects/${id}/queue`, "id"],
      ["GET", `/jobs/${id}/dependencies`, "id"],
      ["DELETE", `/projects/${id}/jobs/1`, "project_id"],
      ["DELETE", `/projects/1/jobs/${id}`, "job_id"],
    ] as const) {
      cases.push([method, path, ["path", name]]);
    }
    expect((await server.put(`/projects/${id}`, {})).status).toBe(422);
    expect((await server.put(`/jobs/${id}`, {})).status).toBe(422);
    expect((await server.post(`/projects/${id}/jobs/batch`, { jobs: [] })).status).toBe(422);
    expect((await server.get(`/tasks/${id}`)).status).toBe(404);
    expect((await server.put(`/tasks/${id}`, {})).status).toBe(404);
    expect((await server.delete(`/tasks/${id}`)).status).toBe(404);
    expect((await server.get(`/clients/${id}`)).status).toBe(404);
  }
  cases.push(["GET", `/jobs/${"9".repeat(30)}`, ["path", "id"]]);
  for (const [method, path, loc] of cases) {
    const { status, body } = await server.call(method, path);
    expect([path, status, body.detail]).toMatchObject([path, 422, [{ loc }]]);
  }
});

test("values that refer to something absent or break a rule", async () => {
  const job = { name: "j", project_id: 1, task_id: 1 };
  const batch = "/projects/1/jobs/batch";
  const cases: [string, object, string][] = [
    ["/projects", { name: "p" }, "Project with name 'p' already exists."],
    ["/tasks", { name: "t", project_id: 1 }, "Task with name 't' already exists in the project."],
    ["/tasks", { name: "x", project_id: 9 }, "Project with project_id=9 not found."],
    [
      "/tasks",
      { name: "x", project_id: 1, command_template: "run {" },
      "command_template: the brace at position 4 is not closed; write {{ for a brace",
    ],
    ["/jobs", { ...job, project_id: 9 }, "Project with id 9 not found."],
    ["/jobs", { ...job, task_id: 9 }, "Task with id 9 not found."],
    ["/jobs", { ...job, status: "RUNNING" }, "status: a new job is PENDING, not RUNNING"],
    [batch, { jobs: [job, { ...job, task_id: 9 }] }, "jobs[1]: Task with id 9 not found."],
    [batch, { jobs: [job, { ...job, project_id: 2 }] }, "jobs[1].project_id: the batch is for project 1"],
    [
      batch,
      { jobs: [job, { ...job, status: "failed" }] },
      "jobs[1].status: a new job is PENDING, not FAILED",
    ],
  ];
  for (const [path, body, detail] of cases) {
    const answer = await server.post(path, body);
    expect([path, answer.status, answer.json]).toEqual([path, 400, { detail }]);
  }
  await server.post("/projects", { name: "away" });
  const foreign = await server.post("/tasks", { name: "t", project_id: 2 });
  const mixed = await server.post(batch, { jobs: [job, { ...job, task_id: foreign.body.id }] });
  expect([mixed.status, mixed.body.detail]).toEqual([400, "jobs[1]: Task with id 2 not found in project 1."]);
  expect((await server.put("/projects/2", { name: "p" })).body.detail).toBe(
    "Project with name 'p' already exists.",
  );
  expect((await server.put("/tasks/2", { project_id: 1 })).status).toBe(400);
  await server.delete("/projects/2");
});

test("wrong methods and paths that are not there", async () => {
  for (const [method, path, allow] of [
    ["PATCH", "/projects/1", "DELETE, GET, HEAD, PUT"],
    ["DELETE", "/projects/", "GET, HEAD, POST"],
    ["POST", "/projects/1/queue", "DELETE"],
    ["GET", "/clients/w/heartbeat", "POST"],
    ["POST", "/checkdb", "GET, HEAD"],
    ["GET", "/projects/1/jobs/batch", "POST"],
    ["PATCH", "/projects/1/jobs/batch/", "POST"],
    ["PATCH", "/clients/register", "POST"],
    ["POST", "/tasks/name/x", "GET, HEAD"],
    ["PATCH", "/projects/name/x", "DELETE, GET, HEAD"],
  ] as const) {
    const { status, headers, json } = await server.call(method, path);
    expect([path, status, headers.get("allow"), json]).toEqual([
      path,
      405,
      allow,
      { detail: "Method Not Allowed" },
    ]);
  }
  for (const path of ["/projects/1/nothing", "/clients/w/x/y", "/jobs/1/x", "/tasks/1/2/3"]) {
    const { status, json } = await server.get(path);
    expect([path, status, json]).toEqual([path, 404, { detail: "Not Found" }]);
  }
});

test("nothing of all this changed anything, or was an error of the server", async () => {
  expect(await everything()).toBe(before);
  expect(server.errors).toEqual([]);
});
