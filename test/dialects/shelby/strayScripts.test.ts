/**
 * Scripts for ids that no job has, beside jobs that were created without an id: the front-end example of ShelbyCompute's
 * document makes a job, does not look which id it got, and uploads its script for another.
 */
import { expect, test } from "bun:test";
import { Listener } from "./liveServer.ts";
import { type ShelbyServer, startShelby, until } from "./shelbyServer.ts";

const MISSING = { detail: "Job not found" };

const create = async (shelby: ShelbyServer, fields: object = {}) =>
  (await shelby.post("/api/jobs/create", { datasetName: "My Dataset", ...fields })).body.jobId;
const upload = (shelby: ShelbyServer, jobId: string, script: string, more: object = {}) =>
  shelby.post("/api/jobs/upload-script", { jobId, script, ...more });
const scriptOf = async (shelby: ShelbyServer, jobId: string) =>
  (await shelby.get(`/api/jobs/fetch-script?jobId=${jobId}`)).body.script;
const idBehind = async (shelby: ShelbyServer, jobId: string) =>
  (await shelby.get(`/api/frontend/jobs/${jobId}`)).body.jobId;

/** A call under a key, or under a token. */
async function callAs({ url }: ShelbyServer, key: string, path: string, body: object) {
  const credential = key.includes(".") ? { authorization: `Bearer ${key}` } : { "x-api-key": key };
  const headers = { "content-type": "application/json", ...credential };
  return (await fetch(`${url}${path}`, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

test("the document's flow: the job gets the script, after its grace, and answers to that id", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 300, offerMs: 0 } });
  const jobId = await create(shelby);
  const parts = { script: "print('hello')", requirements: "torch>=1.9.0" };
  const answer = await shelby.post("/api/jobs/upload-script", { jobId: "job-123", ...parts });
  const message = "Script uploaded successfully";
  expect([answer.status, answer.json]).toEqual([200, { status: "ok", message, jobId: "job-123" }]);
  const logs = await shelby.get("/api/frontend/logs/job-123");
  expect([logs.status, logs.json]).toEqual([200, { jobId, logs: [] }]);
  expect(await shelby.statusOf("job-123")).toBe("pending");

  // Its own script may still come.
  expect(await shelby.poll("n")).toBe(null);
  await until(async () => (await shelby.poll("n")) === jobId, "the job is offered");
  expect((await shelby.ack("n", jobId)).status).toBe(200);
  const whole = { ...parts, entrypoint: "train.py" };
  expect((await shelby.get(`/api/jobs/fetch-script?jobId=${jobId}`)).json).toEqual(whole);
  await shelby.post("/api/jobs/stream-log", { job_id: jobId, line: "hello" });
  await shelby.finish("n", jobId);
  expect((await shelby.get("/api/frontend/logs/job-123")).body.logs.map(({ line }) => line)).toEqual([
    "hello",
  ]);
  expect((await shelby.get("/api/frontend/jobs/job-123")).body).toMatchObject({ jobId, status: "finished" });
  // The id shows the job; what is done to a job is done under its own.
  expect((await shelby.post("/api/frontend/jobs/job-123/restart")).json).toEqual(MISSING);
  expect((await shelby.delete("/api/frontend/jobs/job-123")).json).toEqual(MISSING);
  await shelby.delete(`/api/frontend/jobs/${jobId}`);
  for (const id of [jobId, "job-123"]) {
    expect((await shelby.get(`/api/frontend/jobs/${id}`)).json).toEqual(MISSING);
  }
  await create(shelby, { jobId: "job-123" });
  expect(await scriptOf(shelby, "job-123")).toBe("");
});

test("the job's own script goes before, at once, and the other waits for its own job", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  const jobId = await create(shelby);
  await upload(shelby, "other", "other's");
  await upload(shelby, jobId, "own");
  expect(await shelby.poll("n")).toBe(jobId);
  expect(await scriptOf(shelby, jobId)).toBe("own");
  expect((await shelby.get("/api/frontend/logs/other")).json).toEqual(MISSING);
  await create(shelby, { jobId: "other" });
  expect(await scriptOf(shelby, "other")).toBe("other's");
});

test("a job that is created under that id takes its script back", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000, offerMs: 0 } });
  const jobId = await create(shelby);
  await upload(shelby, "late", "late's");
  expect(await scriptOf(shelby, jobId)).toBe("late's");
  await create(shelby, { jobId: "late" });
  expect(await scriptOf(shelby, "late")).toBe("late's");
  expect(await scriptOf(shelby, jobId)).toBe("");
  expect(await idBehind(shelby, "late")).toBe("late");
  expect(await shelby.poll("n")).toBe("late");
  // It goes on waiting for its own script, and gets no other: a stream of others would keep it waiting for ever.
  await upload(shelby, "next", "next's");
  expect(await scriptOf(shelby, jobId)).toBe("");
  await upload(shelby, jobId, "own");
  expect(await scriptOf(shelby, jobId)).toBe("own");
});

test("who uploads first and creates then has the whole grace in between", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 1_000, offerMs: 0 } });
  const jobId = await create(shelby);
  const { runAt } = await shelby.engine.read.job({ dialect: "shelby", key: jobId });
  await Bun.sleep(20);
  await upload(shelby, "late", "late's");
  const lent = await shelby.engine.read.job({ dialect: "shelby", key: jobId });
  expect(lent.runAt).toBeGreaterThan(Number(runAt));
  // Also from one that is ready, as long as nobody has it.
  await until(async () => (await shelby.poll("n")) === jobId, "the job is offered");
  await create(shelby, { jobId: "late" });
  expect([await scriptOf(shelby, jobId), await scriptOf(shelby, "late")]).toEqual(["", "late's"]);
});

test("a script that is uploaded again replaces the one on loan while its job waits, and no longer", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 300, offerMs: 0 } });
  const jobId = await create(shelby);
  await upload(shelby, "job-123", "one");
  await upload(shelby, "job-123", "two");
  expect(await scriptOf(shelby, jobId)).toBe("two");
  await until(async () => (await shelby.poll("n")) === jobId, "the job is offered");
  await upload(shelby, "job-123", "three");
  await create(shelby, { jobId: "job-123" });
  expect([await scriptOf(shelby, jobId), await scriptOf(shelby, "job-123")]).toEqual(["two", "three"]);
});

test("the job's own script is never lost to one on loan that comes at the same moment", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  const scripts = [];
  for (let round = 0; round < 40; round++) {
    const jobId = await create(shelby);
    await upload(shelby, `stray-${round}`, "first");
    await Promise.all([upload(shelby, jobId, "own"), upload(shelby, `stray-${round}`, "second")]);
    scripts.push(await scriptOf(shelby, jobId));
  }
  expect(new Set(scripts)).toEqual(new Set(["own"]));
});

test("jobs and scripts of one id that come at the same moment as a loan find each other, and the loan ends", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  for (let round = 0; round < 40; round++) {
    const bare = await create(shelby);
    const id = `own-${round}`;
    await Promise.all([upload(shelby, id, "its"), create(shelby, { jobId: id })]);
    expect([await scriptOf(shelby, id), await scriptOf(shelby, bare)]).toEqual(["its", ""]);
    await upload(shelby, bare, "done");
  }
});

test("the job's own script and a job of the other id that come at the same moment: each has its own", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  for (let round = 0; round < 40; round++) {
    const bare = await create(shelby);
    const id = `other-${round}`;
    await upload(shelby, id, "other's");
    await Promise.all([upload(shelby, bare, "own"), create(shelby, { jobId: id })]);
    expect([await scriptOf(shelby, bare), await scriptOf(shelby, id)]).toEqual(["own", "other's"]);
  }
});

test("copies of the flow at once: each job gets one of the scripts", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  const flow = async (script: string) => {
    const jobId = await create(shelby);
    await upload(shelby, "job-123", script);
    return jobId;
  };
  const names = ["a", "b", "c", "d", "e"];
  const jobIds = await Promise.all(names.map(flow));
  const scripts = await Promise.all(jobIds.map((id) => scriptOf(shelby, id)));
  expect(scripts.toSorted()).toEqual(names);
});

test("jobs of others in between do not hide those that wait", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  const between = async () => {
    for (let n = 0; n < 15; n++) await shelby.job(`of-others-${Math.random()}`);
  };
  const first = await create(shelby);
  await between();
  const second = await create(shelby);
  await upload(shelby, "job-123", "one");
  await upload(shelby, "job-123", "two");
  expect([await scriptOf(shelby, first), await scriptOf(shelby, second)]).toEqual(["one", "two"]);
  await create(shelby, { datasetName: "A" });
  await between();
  const other = await create(shelby, { datasetName: "B" });
  await upload(shelby, "job-124", "whose");
  expect(await scriptOf(shelby, other)).toBe("");
});

test("of more jobs that are not alike than there are places none is taken for meant", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  const jobIds = [];
  for (let n = 0; n < 16; n++) jobIds.push(await create(shelby));
  jobIds.push(await create(shelby, { datasetName: "another" }));
  await upload(shelby, "job-123", "whose");
  const scripts = await Promise.all(jobIds.map((id) => scriptOf(shelby, id)));
  expect(new Set(scripts)).toEqual(new Set([""]));
});

test("what a deleted job only had on loan is there for its own job; what it ran with is not", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 200, offerMs: 0 } });
  const unused = await create(shelby);
  await upload(shelby, "later", "later's");
  await shelby.delete(`/api/frontend/jobs/${unused}`);
  await create(shelby, { jobId: "later" });
  expect(await scriptOf(shelby, "later")).toBe("later's");
  const used = await create(shelby);
  await upload(shelby, "again", "again's");
  await until(async () => (await shelby.ack("n", used)).status === 200, "the job can be taken");
  await shelby.delete(`/api/frontend/jobs/${used}`);
  await create(shelby, { jobId: "again" });
  expect(await scriptOf(shelby, "again")).toBe("");
});

test("a job that was cancelled before it began gives the script back, and does not run it later", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  const jobId = await create(shelby);
  await upload(shelby, "late", "late's");
  await shelby.engine.cancel(jobId, null);
  await create(shelby, { jobId: "late" });
  expect(await shelby.poll("n")).toBe("late");
  expect([await scriptOf(shelby, "late"), await scriptOf(shelby, jobId)]).toEqual(["late's", ""]);
});

test("a job that began with it keeps it, also when its id gets a job of its own", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 50, offerMs: 0 } });
  const jobId = await create(shelby);
  await upload(shelby, "late", "late's");
  await until(async () => (await shelby.ack("n", jobId)).status === 200, "the job can be taken");
  await create(shelby, { jobId: "late" });
  expect([await scriptOf(shelby, jobId), await scriptOf(shelby, "late")]).toEqual(["late's", "late's"]);
  expect([await idBehind(shelby, jobId), await idBehind(shelby, "late")]).toEqual([jobId, "late"]);
});

test("a script that was of use already does not hurry the job that is created under its id later", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 1_000, offerMs: 0 } });
  const jobId = await create(shelby);
  await upload(shelby, "job-123", "old");
  await until(async () => (await shelby.ack("n", jobId)).status === 200, "the job can be taken");
  await shelby.finish("n", jobId);
  // Somebody follows the documentation now: the job, and then its script.
  await create(shelby, { jobId: "job-123" });
  expect(await shelby.poll("n")).toBe(null);
  await upload(shelby, "job-123", "new");
  expect(await shelby.poll("n")).toBe("job-123");
  expect(await scriptOf(shelby, "job-123")).toBe("new");
});

test("of several jobs that are alike each gets a script, the oldest first; of others none is taken for meant", async () => {
  await using alike = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  const jobIds = [];
  for (let n = 0; n < 5; n++) jobIds.push(await create(alike));
  for (let n = 0; n < 5; n++) await upload(alike, "job-123", `script ${n}`);
  const scripts = await Promise.all(jobIds.map((id) => scriptOf(alike, id)));
  expect(scripts).toEqual([0, 1, 2, 3, 4].map((n) => `script ${n}`));
  expect(await idBehind(alike, "job-123")).toBe(jobIds.at(-1) ?? "");

  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  const ids = await Promise.all([create(shelby), create(shelby, { datasetUrl: "http://other.example/" })]);
  await upload(shelby, "job-123", "whose");
  expect(await Promise.all(ids.map((id) => scriptOf(shelby, id)))).toEqual(["", ""]);
  expect((await shelby.get("/api/frontend/jobs/job-123")).json).toEqual(MISSING);
});

test("the flow again: each job gets the script of its own time, and the id is the newest job's", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  const first = await create(shelby);
  await upload(shelby, "job-123", "one");
  const second = await create(shelby);
  expect(await idBehind(shelby, "job-123")).toBe(first);
  await upload(shelby, "job-123", "two");
  expect([await scriptOf(shelby, first), await scriptOf(shelby, second)]).toEqual(["one", "two"]);
  expect(await idBehind(shelby, "job-123")).toBe(second);
  // Uploading again replaces it.
  await upload(shelby, "job-123", "three");
  expect([await scriptOf(shelby, first), await scriptOf(shelby, second)]).toEqual(["one", "three"]);
});

test("jobs with an id of their creator's, and those whose grace is over, are not meant", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  await create(shelby, { jobId: "mine" });
  await upload(shelby, "job-123", "x");
  expect(await scriptOf(shelby, "mine")).toBe("");
  expect((await shelby.get("/api/frontend/jobs/job-123")).json).toEqual(MISSING);

  await using quick = await startShelby({ dialect: { scriptGraceMs: 20, offerMs: 0 } });
  const jobId = await create(quick);
  await until(async () => (await quick.poll("n")) === jobId, "the job is offered without a script");
  await upload(quick, "job-123", "x");
  expect(await scriptOf(quick, jobId)).toBe("");
});

test("a script of somebody else is not taken", async () => {
  const keys = ["a", "b"].map((key) => ({ role: "submit" as const, key }));
  await using shelby = await startShelby({
    dialect: { scriptGraceMs: 60_000 },
    access: { configuredKeys: keys },
  });
  const { jobId } = await callAs(shelby, "a", "/api/jobs/create", { datasetName: "d" });
  const script = async () => {
    const job = await shelby.engine.read.job({ dialect: "shelby", key: jobId });
    return job.spec.script;
  };
  await callAs(shelby, "b", "/api/jobs/create", { datasetName: "b's" });
  await callAs(shelby, "b", "/api/jobs/upload-script", { jobId: "job-123", script: "b's" });
  expect(await script()).toBe(null);
  const { token } = await callAs(shelby, "a", "/v1/tokens", {});
  await callAs(shelby, token, "/api/jobs/upload-script", { jobId: "job-123", script: "a's" });
  expect(await script()).toMatchObject({ bytes: 3 });
  // Nor is it taken away by somebody else's job of that id, which gets it too, as every job would.
  await callAs(shelby, "b", "/api/jobs/create", { jobId: "job-123", datasetName: "d" });
  expect(await script()).toMatchObject({ bytes: 3 });
});

test("many jobs of others that wait for their scripts, with much in them, do not stand in the way", async () => {
  const configuredKeys = ["a", "b"].map((key) => ({ role: "submit" as const, key }));
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 }, access: { configuredKeys } });
  const meta = { note: "x".repeat(200_000) };
  for (let n = 0; n < 300; n++) await callAs(shelby, "a", "/api/jobs/create", { datasetName: "d", meta });
  const { jobId } = await callAs(shelby, "b", "/api/jobs/create", { datasetName: "d" });
  const startedMs = performance.now();
  await callAs(shelby, "b", "/api/jobs/upload-script", { jobId: "job-123", script: "b's" });
  expect(performance.now() - startedMs).toBeLessThan(100);
  const { spec } = await shelby.engine.read.job({ dialect: "shelby", key: jobId });
  expect(spec.lentBy).toBe("job-123");
});

test("those who follow the log of that id follow the job's, until the id has a job of its own", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  const jobId = await create(shelby);
  await upload(shelby, "job-123", "x");
  const address = `${shelby.url.replace("http", "ws")}/ws/jobs/job-123/logs`;
  using before = new Listener(address);
  expect((await before.first("snapshot")).data.jobId).toBe(jobId);
  await shelby.post("/api/jobs/stream-log", { job_id: jobId, line: "first's" });
  expect((await before.first("log")).data.line).toBe("first's");
  await create(shelby, { jobId: "job-123" });
  using after = new Listener(address);
  expect((await after.first("snapshot")).data).toMatchObject({ jobId: "job-123", logs: [] });
  await shelby.post("/api/jobs/stream-log", { job_id: "job-123", line: "second's" });
  expect((await after.first("log")).data.line).toBe("second's");
});
