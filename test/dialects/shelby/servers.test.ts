/** Several servers on one PostgreSQL: agents and front ends may speak to any of them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cluster } from "../../postgres/cluster.ts";
import { startShelby, until } from "./shelbyServer.ts";

const artifacts = mkdtempSync(join(tmpdir(), "yardmaster-shelby-artifacts-"));
let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start();
});
afterAll(() => {
  cluster?.dispose();
  rmSync(artifacts, { recursive: true, force: true });
});

test("a job goes through two servers: created here, its script there, acknowledged by one of many", async () => {
  const storeUrl = await cluster.newDatabase();
  await using here = await startShelby({ storeUrl, artifacts });
  await using there = await startShelby({ storeUrl, artifacts });
  const markup = { note: "<b>\0\ufffe&", deep: [{ a: null }] };
  await here.post("/api/jobs/create", { jobId: "j", datasetName: "d", meta: markup });
  await there.post("/api/jobs/upload-script", { jobId: "j", script: "print(1)" });
  expect((await here.get("/api/jobs/fetch-script?jobId=j")).body.script).toBe("print(1)");
  await there.post("/api/nodes/register", { nodeId: "n0", specs: { os: "Linux" }, handshakeKey: "k" });
  expect((await here.ack("n0", "j", { signature: "00" })).json).toEqual({ detail: "Invalid signature" });

  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, n) => (n % 2 === 0 ? here : there).ack(`n${n}`, "j")),
  );
  expect(answers.filter(({ status }) => status === 200).length).toBe(1);
  const winner = answers.findIndex(({ status }) => status === 200);
  for (let n = 0; n < 20; n++) {
    await (n % 2 === 0 ? here : there).post("/api/jobs/stream-log", { job_id: "j", line: `line ${n}` });
  }
  expect((await there.finish(`n${winner}`, "j", { metadata: { loss: 0.5 } })).status).toBe(200);
  const isThere = async () => (await here.statusOf("j")) === "finished";
  await until(isThere, "the other server tells that the job is finished");
  const { body } = await here.get("/api/frontend/jobs/j");
  expect(body).toMatchObject({ meta: markup, metadata: { loss: 0.5 }, assignedNode: `n${winner}` });
  expect(body.logs.map(({ line }) => line)).toEqual(Array.from({ length: 20 }, (_, n) => `line ${n}`));
  expect((await here.get("/api/frontend/nodes")).body.count).toBe(40);
  expect((await here.get("/api/frontend/logs?limit=2")).json).toMatchObject([
    { jobId: "j", line: "line 19" },
    { jobId: "j", line: "line 18" },
  ]);
  expect([...here.errors, ...there.errors]).toEqual([]);
}, 60_000);

test("a job without an id here, and a script for another id there", async () => {
  const options = { storeUrl: await cluster.newDatabase(), artifacts, dialect: { scriptGraceMs: 60_000 } };
  await using here = await startShelby(options);
  await using there = await startShelby(options);
  const { jobId } = (await here.post("/api/jobs/create", { datasetName: "d" })).body;
  await there.post("/api/jobs/upload-script", { jobId: "job-123", script: "print(1)" });
  expect((await here.get(`/api/jobs/fetch-script?jobId=${jobId}`)).body.script).toBe("print(1)");
  expect((await here.get("/api/frontend/jobs/job-123")).body.jobId).toBe(jobId);
}, 60_000);

test("a node that speaks now to one server, now to the other, finishes each of its runs", async () => {
  const storeUrl = await cluster.newDatabase();
  await using here = await startShelby({ storeUrl, artifacts });
  await using there = await startShelby({ storeUrl, artifacts });
  await here.job("j");
  for (const [acknowledge, finish] of [
    [here, there],
    [there, here],
  ] as const) {
    expect((await acknowledge.ack("n", "j")).status).toBe(200);
    expect((await finish.finish("n", "j")).status).toBe(200);
    expect(await finish.statusOf("j")).toBe("finished");
    expect((await here.post("/api/frontend/jobs/j/restart")).status).toBe(200);
  }
  // A word about a run that is over changes nothing of the next.
  expect((await here.finish("n", "j")).status).toBe(400);
  expect((await here.get("/api/frontend/jobs/j")).body.provenance).toHaveLength(2);
}, 60_000);

test("copies of the flow at once on two servers, and heartbeats of all workers at both", async () => {
  const options = { storeUrl: await cluster.newDatabase(), artifacts, dialect: { scriptGraceMs: 60_000 } };
  await using here = await startShelby(options);
  await using there = await startShelby(options);
  const names = ["a", "b", "c", "d", "e", "f"];
  const jobIds = await Promise.all(
    names.map(async (script, n) => {
      const [one, other] = n % 2 === 0 ? [here, there] : [there, here];
      const { jobId } = (await one.post("/api/jobs/create", { datasetName: "d" })).body;
      await other.post("/api/jobs/upload-script", { jobId: "job-123", script });
      return jobId;
    }),
  );
  const scripts = await Promise.all(
    jobIds.map(async (id) => (await here.get(`/api/jobs/fetch-script?jobId=${id}`)).body.script),
  );
  expect(scripts.toSorted()).toEqual(names);

  const nodes = Array.from({ length: 40 }, (_, n) => `n${n}`);
  for (const nodeId of nodes) await here.post("/api/nodes/heartbeat", { nodeId });
  const startedMs = performance.now();
  for (let round = 0; round < 5; round++) {
    const beats = [here, there].flatMap((server) =>
      nodes.toSorted(() => Math.random() - 0.5).map((nodeId) => server.engine.heartbeatWorker(nodeId)),
    );
    await Promise.all(beats);
  }
  // Commits that wait for each other in a circle cost the database a second each.
  expect(performance.now() - startedMs).toBeLessThan(5_000);
}, 60_000);
