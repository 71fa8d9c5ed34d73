/** The dependency rules through the API. */
import { expect, test } from "bun:test";
import { startWhatsNext, type WhatsNextServer } from "./whatsnextServer.ts";

const on = (...ids: readonly number[]) => ({
  depends: Object.fromEntries(ids.map((id) => [id, `job ${id}`])),
});
const set = (server: WhatsNextServer, id: number, status: string) => server.put(`/jobs/${id}`, { status });

async function counts(server: WhatsNextServer): Promise<Record<string, number>> {
  const tally: Record<string, number> = {};
  for (const [status, states] of [
    ["PENDING", ["waiting", "ready"]],
    ["BLOCKED", ["blocked"]],
    ["FAILED", ["failed"]],
    ["COMPLETED", ["succeeded"]],
  ] as const) {
    const count = await server.engine.read.count({ dialect: "whatsnext", states });
    if (count > 0) tally[status] = count;
  }
  return tally;
}

test("a job waits for all its dependencies and is given out after the last", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const top = await server.job();
  const left = await server.job(on(top));
  const right = await server.job(on(top));
  const bottom = await server.job(on(left, right));
  const next = async () => (await server.get("/projects/1/fetch_job")).body.job?.id;
  expect([await next(), await next()]).toEqual([top, undefined]);
  await set(server, top, "COMPLETED");
  expect([await next(), await next(), await next()]).toEqual([left, right, undefined]);
  await set(server, left, "COMPLETED");
  expect(await next()).toBeUndefined();
  await set(server, right, "COMPLETED");
  const { job } = (await server.get("/projects/1/fetch_job")).body;
  expect([job?.id, job?.depends]).toEqual([bottom, on(left, right).depends]);
});

test("a failure blocks all that is below, PENDING lets it wait again, success lets it run", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const top = await server.job();
  const left = await server.job(on(top));
  const right = await server.job(on(top));
  const bottom = await server.job(on(left, right));
  await set(server, top, "FAILED");
  expect(await server.statuses(left, right, bottom)).toEqual(["BLOCKED", "BLOCKED", "BLOCKED"]);
  expect((await server.get(`/jobs/${bottom}/dependencies`)).body).toMatchObject({
    all_completed: false,
    has_failed: true,
  });
  expect((await set(server, bottom, "PENDING")).body.data.status).toBe("BLOCKED");
  const late = await server.job(on(bottom));
  expect(await server.statuses(late)).toEqual(["BLOCKED"]);
  await set(server, top, "PENDING");
  expect(await server.statuses(top, left, right, bottom, late)).toEqual(Array(5).fill("PENDING"));
  for (const id of [top, left, right, bottom]) await set(server, id, "COMPLETED");
  expect((await server.get("/projects/1/fetch_job")).body.job?.id).toBe(late);
});

test("a COMPLETED job put back makes those wait again that nobody fetched", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const top = await server.job();
  const fetched = await server.job({ ...on(top), priority: 9 });
  const open = await server.job(on(top));
  await set(server, top, "COMPLETED");
  expect((await server.get("/projects/1/fetch_job")).body.job?.id).toBe(fetched);
  await set(server, top, "PENDING");
  expect(await server.statuses(top, fetched, open)).toEqual(["PENDING", "QUEUED", "PENDING"]);
  expect((await server.get("/projects/1/fetch_job")).body.job?.id).toBe(top);
  expect((await server.get("/projects/1/fetch_job")).body.job).toBeNull();
});

test("deleting a job blocks its dependents unless it was COMPLETED, and they can still report", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const done = await server.job();
  const open = await server.job();
  const afterDone = await server.job(on(done));
  const afterOpen = await server.job(on(open));
  await set(server, done, "COMPLETED");
  await server.delete(`/jobs/${done}`);
  await server.delete(`/jobs/${open}`);
  expect(await server.statuses(afterDone, afterOpen)).toEqual(["PENDING", "BLOCKED"]);
  expect((await server.get(`/jobs/${afterDone}/dependencies`)).body).toMatchObject({
    dependencies: [],
    all_completed: true,
    has_failed: false,
  });
  expect((await server.get(`/jobs/${afterOpen}/dependencies`)).body).toMatchObject({
    all_completed: false,
    has_failed: true,
  });
  const { job } = (await server.get("/projects/1/fetch_job")).body;
  expect(job).toMatchObject({ id: afterDone, depends: { [done]: `job ${done}` } });
  const reported = await server.put(`/jobs/${afterDone}`, { ...job, status: "COMPLETED" });
  expect([reported.status, reported.body.data]).toMatchObject([200, { status: "COMPLETED", ...on(done) }]);
  const stray = await server.put(`/jobs/${afterOpen}`, on(open, done));
  expect([stray.status, stray.body.detail]).toEqual([400, `depends: no job has the id or key ${done}`]);
  expect((await server.put(`/jobs/${afterOpen}`, { depends: {} })).body.data.status).toBe("PENDING");
});

test("dependencies that are unknown or no integers are refused everywhere, and nothing is made", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const id = await server.job();
  const other = await server.job();
  const before = (await server.get(`/jobs/${id}`)).body;
  const job = { name: "j", project_id: 1, task_id: 1 };
  for (const key of ["77", "0", "-1", "1.0", "1e0", "x", "", " 1", "99999999999999999999", "__proto__"]) {
    const depends = JSON.parse(`{${JSON.stringify(key)}: "name"}`);
    const jobs = [job, { ...job, depends }];
    const answers = [
      await server.post("/jobs/", { ...job, depends }),
      await server.post("/projects/1/jobs/batch", { jobs }),
      await server.put(`/jobs/${id}`, { name: "new", depends }),
    ];
    for (const answer of answers) {
      expect([key, answer.status, answer.body.detail]).toEqual([
        key,
        400,
        expect.stringContaining("depends"),
      ]);
    }
    expect(answers[1]?.body.detail).toStartWith("jobs[1].depends: ");
  }
  expect((await server.get(`/jobs/${id}`)).body).toEqual(before);
  expect((await server.get("/jobs/")).body).toMatchObject([{ id }, { id: other }]);
  // Ids that the batch is about to have are not there yet.
  const ahead = { jobs: [{ ...job, depends: { [other + 2]: "next" } }, job] };
  expect((await server.post("/projects/1/jobs/batch", ahead)).status).toBe(400);
  expect((await server.post("/jobs/", { ...job, depends: { [`00${id}`]: "zeros" } })).body.depends).toEqual({
    [id]: "zeros",
  });
});

test("an update that would make a cycle is refused, and changes nothing", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const a = await server.job();
  const b = await server.job(on(a));
  const c = await server.job(on(b));
  for (const [id, depends] of [
    [a, on(a)],
    [a, on(b)],
    [a, on(c)],
    [b, on(a, c)],
  ] as const) {
    const before = (await server.get(`/jobs/${id}`)).body;
    const refused = await server.put(`/jobs/${id}`, { ...depends, name: "new", status: "COMPLETED" });
    expect([refused.status, refused.body.detail]).toEqual([400, expect.stringContaining("cycle")]);
    expect((await server.get(`/jobs/${id}`)).body).toEqual(before);
  }
  expect((await server.put(`/jobs/${c}`, on(a, b))).body.data.depends).toEqual(on(a, b).depends);
});

test("a chain of ten thousand: blocked by one failure, back by one retry", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const jobs = Array.from({ length: 10_000 }, (_, n) => ({ name: `link ${n}`, task_id: 1 }));
  const links = (await server.post("/projects/1/jobs/batch", { jobs })).body.job_ids;
  const first = links[0] ?? 0;
  const last = links.at(-1) ?? 0;
  // From the end: each new edge leads to a job that has none yet, so the look for cycles is short.
  const edges = links.slice(1).reverse();
  const link = async () => {
    for (let id = edges.shift(); id !== undefined; id = edges.shift()) {
      expect((await server.put(`/jobs/${id}`, on(id - 1))).status).toBe(200);
    }
  };
  await Promise.all(Array.from({ length: 32 }, link));
  await set(server, first, "FAILED");
  expect(await counts(server)).toEqual({ FAILED: 1, BLOCKED: 9_999 });
  await set(server, first, "PENDING");
  expect(await counts(server)).toEqual({ PENDING: 10_000 });
  expect((await server.put(`/jobs/${first}`, on(last))).status).toBe(400);
  await set(server, first, "COMPLETED");
  expect(await counts(server)).toEqual({ PENDING: 9_999, COMPLETED: 1 });
}, 60_000);

test("fans of ten thousand, out of one job and into one job", async () => {
  await using server = await startWhatsNext();
  await server.withTask();
  const hub = await server.job();
  const jobs = Array.from({ length: 10_000 }, (_, n) => ({ name: `spoke ${n}`, task_id: 1, ...on(hub) }));
  const spokes = (await server.post("/projects/1/jobs/batch", { jobs })).body.job_ids;
  expect(spokes.length).toBe(10_000);
  const sink = await server.job(on(...spokes));
  await set(server, hub, "FAILED");
  expect(await counts(server)).toEqual({ FAILED: 1, BLOCKED: 10_001 });
  await set(server, hub, "PENDING");
  await set(server, hub, "COMPLETED");
  expect(await counts(server)).toEqual({ PENDING: 10_001, COMPLETED: 1 });
  expect((await server.get(`/jobs/${sink}/dependencies`)).body).toMatchObject({
    dependencies: { length: 10_000 },
    all_completed: false,
  });
  expect((await server.delete("/projects/1/queue")).body).toMatchObject({ deleted: 10_001 });
}, 30_000);
