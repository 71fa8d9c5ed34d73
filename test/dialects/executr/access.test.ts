/** Keys, roles and pace, in Executr's error shape. */
import { expect, test } from "bun:test";
import { aJob, Caller, NOBODY, startExecutr } from "./executrServer.ts";

const configuredKeys = (["read", "submit", "work", "admin"] as const).map((role) => ({ role, key: role }));
const error = { error: expect.any(String), context: expect.any(Object) };

const CALLS: readonly [string, string, readonly string[]][] = [
  ["GET", "/jobs", ["read", "submit", "work", "admin"]],
  ["GET", `/jobs/${NOBODY}`, ["read", "submit", "work", "admin"]],
  ["GET", "/metrics", ["read", "submit", "work", "admin"]],
  ["GET", "/admin/stats", ["read", "submit", "work", "admin"]],
  ["GET", "/admin/executors", ["read", "submit", "work", "admin"]],
  ["POST", "/jobs", ["submit", "admin"]],
  ["DELETE", `/jobs/${NOBODY}`, ["submit", "admin"]],
  ["POST", "/jobs/bulk", ["submit", "admin"]],
  ["POST", "/jobs/bulk/cancel", ["submit", "admin"]],
  ["POST", "/jobs/claim", ["work", "admin"]],
  ["PUT", `/jobs/${NOBODY}/heartbeat`, ["work", "admin"]],
  ["PUT", `/jobs/${NOBODY}/complete`, ["work", "admin"]],
  ["PUT", `/jobs/${NOBODY}/fail`, ["work", "admin"]],
];

test("each call takes the roles it needs; without a key it is 401, with a strange one 403", async () => {
  await using server = await startExecutr({ access: { configuredKeys } });
  const { api } = server;
  for (const [method, path, roles] of CALLS) {
    const missing = await api.call(method, path);
    expect([path, missing.status, missing.json]).toEqual([path, 401, error]);
    expect(missing.headers.get("www-authenticate")).toContain("Basic");
    const strange = await api.call(method, path, undefined, { "x-api-key": "nobody's" });
    expect([path, strange.status, strange.json]).toEqual([path, 403, error]);
    for (const { role, key } of configuredKeys) {
      const { status, json } = await api.call(method, path, undefined, { "x-api-key": key });
      expect([method, path, role, status === 403]).toEqual([method, path, role, !roles.includes(role)]);
      if (status >= 400) expect(json).toEqual(error);
    }
  }
  expect((await api.get("/health")).status).toBe(200);
  expect((await api.get("/nothing")).status).toBe(401);
});

test("a key is the password of HTTP Basic: http://anybody:key@host", async () => {
  await using server = await startExecutr({ access: { configuredKeys } });
  const basic = (password: string) => ({ authorization: `Basic ${btoa(`executor:${password}`)}` });
  const { api } = server;
  expect((await api.post("/jobs", aJob(), basic("submit"))).status).toBe(201);
  const executor = { executor_id: "w", executor_ip: "h" };
  expect((await api.post("/jobs/claim", executor, basic("work"))).status).toBe(200);
  expect((await api.post("/jobs/claim", executor, basic("wrong"))).status).toBe(403);
});

test("values of variables are shown to those who submit and run a job, and to the role admin", async () => {
  await using server = await startExecutr({ access: { configuredKeys } });
  const { api } = server;
  const as = (role: string) => ({ "x-api-key": role });
  const env = { TOKEN: "secret", EMPTY: "" };
  const made = await api.post("/jobs", aJob({ env_variables: env }), as("submit"));
  expect(made.json).toMatchObject({ env_variables: env });
  const { id } = made.body;
  for (const role of ["read", "submit", "work"]) {
    for (const path of [`/jobs/${id}`, "/jobs"]) {
      const { text } = await api.get(path, as(role));
      expect([role, path, text]).toEqual([
        role,
        path,
        expect.stringContaining('{"TOKEN":"***","EMPTY":"***"}'),
      ]);
    }
  }
  expect((await api.get(`/jobs/${id}`, as("admin"))).json).toMatchObject({ env_variables: env });
  expect((await api.get("/jobs", as("admin"))).json).toMatchObject([{ env_variables: env }]);
  const executor = { executor_id: "w", executor_ip: "h" };
  expect((await api.post("/jobs/claim", executor, as("work"))).json).toMatchObject({ env_variables: env });
});

test("too many requests are 429 with the time to wait; health is not counted", async () => {
  await using server = await startExecutr({ access: { rateLimitPerMinute: 2 } });
  const { api } = server;
  await api.get("/jobs");
  await api.get("/jobs");
  const { status, json, headers } = await api.get("/jobs");
  expect([status, json]).toEqual([429, { error: expect.any(String), context: { retry_after_seconds: 30 } }]);
  expect(headers.get("retry-after")).toBe("30");
  expect((await api.get("/health")).status).toBe(200);
});

test("every address that the server listens on speaks the API", async () => {
  await using server = await startExecutr();
  const id = await server.api.submit();
  const other = new Caller(server.url.replace("127.0.0.1", "localhost"));
  expect((await other.job(id)).id).toBe(id);
});
