/** The agent endpoints, line by line of the notes. */
import { expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { recordHash } from "../../../src/domain/provenance.ts";
import { isRecentSeconds, startShelby, until } from "./shelbyServer.ts";

const SECONDS = expect.any(Number);

test("registering answers with the id, and registering again replaces the specs", async () => {
  await using shelby = await startShelby();
  const specs = {
    cpuUsage: 45.2,
    ramUsage: 60.1,
    totalRAM_GB: 16,
    os: "Linux",
    platform: "Ubuntu",
    custom: [1],
  };
  const first = await shelby.post("/api/nodes/register", { nodeId: "n1", specs });
  expect([first.status, first.json]).toEqual([200, { status: "ok", nodeId: "n1" }]);
  const list = async () => (await shelby.get("/api/frontend/nodes")).json;
  const node = { nodeId: "n1", status: "active", lastSeen: SECONDS, lastSeenAgo: expect.any(Number), specs };
  expect(await list()).toEqual({ nodes: [node], count: 1 });

  const key = { handshakeKey: "k", aptosPublicKey: "0x1", containerSupported: false };
  await shelby.post("/api/nodes/register", { nodeId: "n1", specs: { os: "BSD" }, ...key });
  expect(await list()).toEqual({ nodes: [{ ...node, specs: { os: "BSD" } }], count: 1 });
  expect(JSON.stringify(await list())).not.toContain("0x1");
});

test("a heartbeat of an unknown node registers it with empty specs; so do a poll and an acknowledgement", async () => {
  await using shelby = await startShelby();
  const beat = await shelby.post("/api/nodes/heartbeat", { nodeId: "n1" });
  expect([beat.status, beat.json]).toEqual([200, { status: "ok", nodeId: "n1" }]);
  expect((await shelby.get("/api/jobs/poll?nodeId=n2")).json).toEqual({ job: null });
  await shelby.job("j");
  expect((await shelby.ack("n3", "j")).status).toBe(200);
  const { nodes } = (await shelby.get("/api/frontend/nodes")).body;
  expect(nodes.map(({ nodeId, specs }) => [nodeId, specs]).sort()).toEqual([
    ["n1", {}],
    ["n2", {}],
    ["n3", {}],
  ]);
});

test("an acknowledgement that is refused is a sign of life all the same", async () => {
  await using shelby = await startShelby({ dialect: { requiresSignatures: true } });
  await shelby.job("j");
  expect((await shelby.ack("unsigned", "j")).status).toBe(400);
  expect((await shelby.ack("lost", "nothing")).status).toBe(404);
  const { nodes } = (await shelby.get("/api/frontend/nodes")).body;
  expect(nodes.map(({ nodeId }) => nodeId).sort()).toEqual(["lost", "unsigned"]);
});

test("a registration that comes with a first heartbeat keeps its specs", async () => {
  await using shelby = await startShelby();
  for (let n = 0; n < 10; n++) {
    const nodeId = `n${n}`;
    await Promise.all([
      shelby.post("/api/nodes/heartbeat", { nodeId }),
      shelby.get(`/api/jobs/poll?nodeId=${nodeId}`),
      shelby.post("/api/nodes/register", { nodeId, specs: { os: "Linux" } }),
      shelby.post("/api/nodes/heartbeat", { nodeId }),
    ]);
  }
  const { nodes } = (await shelby.get("/api/frontend/nodes")).body;
  expect(nodes.map(({ specs }) => specs)).toEqual(Array(10).fill({ os: "Linux" }));
});

test("a poll shows the oldest pending job with these fields, and reserves nothing", async () => {
  await using shelby = await startShelby();
  const fields = { datasetUrl: "http://d/x", datasetHash: "h", meta: { a: 1 } };
  await shelby.job("first", fields);
  await shelby.job("second");
  const answer = await shelby.get("/api/jobs/poll?nodeId=n");
  expect(answer.json).toEqual({
    job: {
      ...{
        jobId: "first",
        datasetName: "MNIST",
        dataset: "MNIST",
        datasetUrl: "http://d/x",
        datasetHash: "h",
      },
      ...{ meta: { a: 1 }, createdAt: SECONDS },
    },
  });
  expect(isRecentSeconds(answer.body.job?.createdAt)).toBe(true);
  expect(await shelby.statusOf("first")).toBe("pending");
  expect(await shelby.poll("n")).toBe("first");
});

test("of two agents that saw the same job, one gets 400", async () => {
  await using shelby = await startShelby({ dialect: { offerMs: 0 } });
  await shelby.job("j");
  expect([await shelby.poll("a"), await shelby.poll("b")]).toEqual(["j", "j"]);
  const answers = await Promise.all(["a", "b"].map((node) => shelby.ack(node, "j")));
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 400]);
  const won = answers.find(({ status }) => status === 200);
  const lost = answers.find(({ status }) => status === 400);
  expect(won?.json).toEqual({ status: "ok", jobId: "j" });
  expect(lost?.json).toEqual({ detail: "Job not available for assignment" });
});

test("of 100 nodes that poll one job, one is shown it and gets it", async () => {
  await using shelby = await startShelby();
  await shelby.job("j");
  const nodes = Array.from({ length: 100 }, (_, n) => `n${n}`);
  const shown = await Promise.all(nodes.map((node) => shelby.poll(node)));
  expect(shown.filter((job) => job === "j").length).toBe(1);
  const answers = await Promise.all(nodes.map((node) => shelby.ack(node, "j")));
  expect(answers.filter(({ status }) => status === 200).length).toBe(1);
  expect(answers.filter(({ status }) => status === 400).length).toBe(99);
});

test("100 nodes that poll and acknowledge at their own pace run each of 30 jobs once", async () => {
  await using shelby = await startShelby({ dialect: { offerMs: 50 } });
  const jobs = Array.from({ length: 30 }, (_, n) => `j${n}`);
  await Promise.all(jobs.map((job) => shelby.job(job)));
  const takenBy = new Map<string, string[]>();
  let ended = 0;
  const work = async (node: string) => {
    while (ended < jobs.length) {
      const job = await shelby.poll(node);
      // Some say nothing, as a node does that is switched off in this moment.
      if (job === null || Math.random() < 0.3) continue;
      if ((await shelby.ack(node, job)).status !== 200) continue;
      takenBy.set(job, [...(takenBy.get(job) ?? []), node]);
      expect((await shelby.finish(node, job)).status).toBe(200);
      ended++;
    }
  };
  await Promise.all(Array.from({ length: 100 }, (_, n) => work(`n${n}`)));
  expect([...takenBy.keys()].sort()).toEqual([...jobs].sort());
  expect([...takenBy.values()].every((nodes) => nodes.length === 1)).toBe(true);
});

test("nodes that poll together are shown different jobs, and none loses its acknowledgement", async () => {
  await using shelby = await startShelby();
  const jobs = Array.from({ length: 40 }, (_, n) => `j${n}`);
  for (const job of jobs) await shelby.job(job);
  const nodes = jobs.map((_, n) => `n${n}`);
  const answers = await Promise.all(
    nodes.map(async (node) => shelby.ack(node, (await shelby.poll(node)) ?? "none")),
  );
  expect(answers.map(({ status }) => status)).toEqual(nodes.map(() => 200));
});

test("a job shown to a node that does nothing with it is shown to the next that asks", async () => {
  await using shelby = await startShelby({ dialect: { offerMs: 60 } });
  await shelby.job("j");
  expect([await shelby.poll("a"), await shelby.poll("b")]).toEqual(["j", null]);
  const isTurnOfB = async () => {
    await shelby.poll("a");
    return (await shelby.poll("b")) === "j";
  };
  await until(isTurnOfB, "b is shown the job");
});

test("signatures: right ones pass, wrong ones do not, missing ones do unless they are required", async () => {
  const sign = (job: string, key: string) => createHmac("sha256", key).update(job).digest("hex");
  const invalid = { detail: "Invalid signature" };
  await using shelby = await startShelby();
  await shelby.post("/api/nodes/register", { nodeId: "n", specs: {}, handshakeKey: "secret" });
  for (const job of ["a", "b", "c", "d"]) await shelby.job(job);
  for (const signature of [sign("a", "other"), sign("b", "secret"), "zz", "0".repeat(64)]) {
    const answer = await shelby.ack("n", "a", { signature });
    expect([answer.status, answer.json]).toEqual([400, invalid]);
  }
  expect((await shelby.ack("n", "a", { signature: sign("a", "secret") })).status).toBe(200);
  expect((await shelby.ack("n", "b", { signature: sign("b", "secret").toUpperCase() })).status).toBe(200);
  expect((await shelby.ack("n", "c")).status).toBe(200);
  // Registered elsewhere, once in its life: there is no key here to check with.
  expect((await shelby.ack("stranger", "d", { signature: "ff" })).status).toBe(200);
  // The heartbeat of a registration that says no key keeps the key.
  await shelby.post("/api/nodes/register", { nodeId: "n", specs: {} });
  await shelby.job("e");
  expect((await shelby.ack("n", "e", { signature: sign("e", "other") })).json).toEqual(invalid);

  await using strict = await startShelby({ dialect: { requiresSignatures: true } });
  await strict.post("/api/nodes/register", { nodeId: "n", specs: {}, handshakeKey: "secret" });
  await strict.job("a");
  expect((await strict.ack("n", "a")).json).toEqual(invalid);
  expect((await strict.ack("stranger", "a", { signature: sign("a", "") })).json).toEqual(invalid);
  expect((await strict.ack("n", "a", { signature: sign("a", "secret") })).status).toBe(200);
});

test("fetch-script gives what was uploaded, or empty texts", async () => {
  await using shelby = await startShelby();
  await shelby.post("/api/jobs/create", { jobId: "bare", datasetName: "d" });
  const empty = { script: "", requirements: "", entrypoint: "train.py" };
  expect((await shelby.get("/api/jobs/fetch-script?jobId=bare")).json).toEqual(empty);
  const script = {
    script: "import torch\n# ü <b>\r\n",
    requirements: "torch>=1.9.0\n",
    entrypoint: "main.py",
  };
  const upload = await shelby.post("/api/jobs/upload-script", { jobId: "bare", ...script });
  const message = "Script uploaded successfully";
  expect([upload.status, upload.json]).toEqual([200, { status: "ok", message, jobId: "bare" }]);
  expect((await shelby.get("/api/jobs/fetch-script?jobId=bare")).json).toEqual(script);
  const missing = await shelby.get("/api/jobs/fetch-script?jobId=nope");
  expect([missing.status, missing.json]).toEqual([404, { detail: "Job not found" }]);
});

test("a script replaces the one before while the job is pending, and not any more", async () => {
  await using shelby = await startShelby();
  await shelby.job("j");
  await shelby.post("/api/jobs/upload-script", { jobId: "j", script: "two", requirements: "x" });
  await shelby.post("/api/jobs/upload-script", { jobId: "j", script: "three" });
  const three = { script: "three", requirements: "", entrypoint: "train.py" };
  expect((await shelby.get("/api/jobs/fetch-script?jobId=j")).json).toEqual(three);
  await shelby.ack("n", "j");
  const late = await shelby.post("/api/jobs/upload-script", { jobId: "j", script: "four" });
  expect([late.status, late.json]).toEqual([400, { detail: expect.stringContaining("pending") }]);
  expect((await shelby.get("/api/jobs/fetch-script?jobId=j")).json).toEqual(three);
});

test("a job without a script waits for it, a short time", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000, offerMs: 0 } });
  await shelby.post("/api/jobs/create", { jobId: "slow", datasetName: "d" });
  expect(await shelby.poll("n")).toBe(null);
  expect((await shelby.ack("n", "slow")).json).toEqual({ detail: "Job not available for assignment" });
  await shelby.post("/api/jobs/upload-script", { jobId: "slow", script: "x" });
  expect(await shelby.poll("n")).toBe("slow");

  await using quick = await startShelby({ dialect: { scriptGraceMs: 100 } });
  await quick.post("/api/jobs/create", { jobId: "j", datasetName: "d" });
  expect(await quick.poll("n")).toBe(null);
  await until(async () => (await quick.poll("n")) === "j", "the job without a script is offered");
});

test("a job that failed for want of a script waits for it again when it is restarted", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 300, offerMs: 0 } });
  await shelby.post("/api/jobs/create", { jobId: "j", datasetName: "d" });
  await until(async () => (await shelby.ack("n", "j")).status === 200, "it is offered without a script");
  await shelby.finish("n", "j", { metadata: { error: "no script" } });
  expect((await shelby.post("/api/frontend/jobs/j/restart")).status).toBe(200);
  expect(await shelby.poll("n")).toBe(null);
  expect(await shelby.statusOf("j")).toBe("pending");
  await shelby.post("/api/jobs/upload-script", { jobId: "j", script: "1" });
  expect(await shelby.poll("n")).toBe("j");
  // One that has a script is offered at once.
  await shelby.ack("n", "j");
  await shelby.finish("n", "j");
  await shelby.post("/api/frontend/jobs/j/restart");
  expect(await shelby.poll("n")).toBe("j");
});

test("a script uploaded first is bound to the job created under its id", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  const upload = await shelby.post("/api/jobs/upload-script", {
    jobId: "j",
    script: "early",
    requirements: "r",
  });
  expect(upload.status).toBe(200);
  await shelby.post("/api/jobs/create", { jobId: "j", datasetName: "d" });
  expect(await shelby.poll("n")).toBe("j");
  expect((await shelby.get("/api/jobs/fetch-script?jobId=j")).body.script).toBe("early");
  // It is this job's, and no other's under the same id.
  await shelby.delete("/api/frontend/jobs/j");
  await shelby.post("/api/jobs/create", { jobId: "j", datasetName: "d" });
  expect((await shelby.get("/api/jobs/fetch-script?jobId=j")).body.script).toBe("");
});

test("a script whose job does not come is forgotten after a time", async () => {
  await using shelby = await startShelby({ dialect: { scriptKeepMs: 300 }, engine: { maintenanceMs: 20 } });
  const waits = async (jobId: string) => (await shelby.engine.read.document("shelby.script", jobId)) !== null;
  await shelby.post("/api/jobs/upload-script", { jobId: "early", script: "1" });
  await shelby.post("/api/jobs/create", { jobId: "early", datasetName: "d" });
  expect(await waits("early")).toBe(false);
  for (const jobId of ["a", "b"]) await shelby.post("/api/jobs/upload-script", { jobId, script: "1" });
  expect(await waits("a")).toBe(true);
  await until(async () => !(await waits("a")) && !(await waits("b")), "the scripts are forgotten");
  await shelby.post("/api/jobs/create", { jobId: "a", datasetName: "d" });
  expect((await shelby.get("/api/jobs/fetch-script?jobId=a")).body.script).toBe("");
  // A job has its script for as long as it is there.
  expect((await shelby.get("/api/jobs/fetch-script?jobId=early")).body.script).toBe("1");
});

test("a script and its job that come at the same moment find each other", async () => {
  await using shelby = await startShelby({ dialect: { scriptGraceMs: 60_000 } });
  const ids = Array.from({ length: 30 }, (_, n) => `j${n}`);
  await Promise.all(
    ids.flatMap((jobId) => [
      shelby.post("/api/jobs/create", { jobId, datasetName: "d" }),
      shelby.post("/api/jobs/upload-script", { jobId, script: jobId }),
    ]),
  );
  const scripts = await Promise.all(
    ids.map(async (id) => (await shelby.get(`/api/jobs/fetch-script?jobId=${id}`)).body.script),
  );
  expect(scripts).toEqual(ids);
  const pending = await shelby.engine.read.jobs(
    { dialect: "shelby", states: ["ready"] },
    { order: "oldest", limit: 100, cursor: null },
  );
  expect(pending.items.length).toBe(30);
});

test("finish: with a model, without one, and with an error", async () => {
  await using shelby = await startShelby();
  for (const job of ["model", "bare", "failed"]) {
    await shelby.job(job);
    await shelby.ack("n", job);
  }
  const metadata = { accuracy: 0.9, nested: { html: "<b>" } };
  const done = await shelby.finish("n", "model", { metadata });
  expect([done.status, done.json]).toEqual([
    200,
    { status: "ok", jobId: "model", provenanceId: expect.stringMatching(/^[0-9a-f]{64}$/) },
  ]);
  const { body } = await shelby.get("/api/frontend/jobs/model");
  expect(body).toMatchObject({ status: "finished", modelHash: "abc123", metadata, assignedNode: "n" });
  const record = {
    jobId: "model",
    nodeId: "n",
    modelHash: "abc123",
    modelSizeBytes: 1_024,
    durationSeconds: 2.5,
  };
  expect(body.provenance).toEqual([{ record: { ...record, metadata, ts: SECONDS }, createdAt: SECONDS }]);
  expect(isRecentSeconds(body.provenance[0]?.record.ts)).toBe(true);
  expect(isRecentSeconds(body.provenance[0]?.createdAt)).toBe(true);
  const kept = await shelby.engine.read.records("model", { limit: 1, order: "newest" });
  expect(done.body.provenanceId).toBe(await recordHash(kept[0]?.data ?? {}));

  await shelby.finish("n", "bare", { modelHash: "", modelSizeBytes: 0 });
  expect((await shelby.get("/api/frontend/jobs/bare")).body).toMatchObject({
    status: "finished",
    modelHash: "",
  });
  await shelby.finish("n", "failed", {
    modelHash: "",
    modelSizeBytes: 0,
    metadata: { error: "out of memory" },
  });
  expect((await shelby.get("/api/frontend/jobs/failed")).body).toMatchObject({
    ...{ status: "failed", metadata: { error: "out of memory" } },
  });
});

test("finish again with another result is 400, and the first one stays", async () => {
  await using shelby = await startShelby();
  await shelby.job("j");
  await shelby.ack("n", "j");
  const said = { modelHash: "abc", modelSizeBytes: 3, durationSeconds: 1.5, metadata: { a: 1, b: [2] } };
  const first = await shelby.finish("n", "j", said);
  const others = [{ modelHash: "other" }, { modelSizeBytes: 4 }, { durationSeconds: 2 }, { metadata: {} }];
  for (const other of others) {
    const answer = await shelby.finish("n", "j", { ...said, ...other });
    expect([answer.status, answer.json]).toEqual([400, { detail: "Job has ended with another result" }]);
  }
  const { body } = await shelby.get("/api/frontend/jobs/j");
  expect([body.modelHash, body.provenance.length]).toEqual(["abc", 1]);
  const again = await shelby.finish("n", "j", { ...said, metadata: { b: [2], a: 1 } });
  expect([again.status, again.body.provenanceId]).toEqual([200, first.body.provenanceId]);
});

test("finish again, because the answer was lost, is the same answer and one record", async () => {
  await using shelby = await startShelby();
  await shelby.job("j");
  await shelby.ack("n", "j");
  const first = await shelby.finish("n", "j");
  const second = await shelby.finish("n", "j");
  expect([second.status, second.json]).toEqual([200, first.json]);
  expect((await shelby.get("/api/frontend/jobs/j")).body.provenance.length).toBe(1);
});

test("only the node that acknowledged the job may finish it or report on it", async () => {
  await using shelby = await startShelby();
  await shelby.job("j");
  const refused = { detail: "Job is not assigned to this node" };
  expect((await shelby.finish("n", "j")).json).toEqual(refused);
  await shelby.ack("n", "j");
  const other = await shelby.finish("other", "j");
  expect([other.status, other.json]).toEqual([400, refused]);
  const usage = { jobId: "j", cpu_percent: 1, ram_percent: 1, ts: 1 };
  expect((await shelby.post("/api/usage-report", { ...usage, nodeId: "other" })).json).toEqual(refused);
  expect((await shelby.post("/api/usage-report", { ...usage, nodeId: "n" })).json).toEqual({ status: "ok" });
  expect(await shelby.statusOf("j")).toBe("assigned");
});

test("usage reports become the job's metrics", async () => {
  await using shelby = await startShelby();
  await shelby.job("j");
  await shelby.ack("n", "j");
  const metrics = async () => (await shelby.get("/api/frontend/job-metrics/j")).json;
  const none = { duration: null, gpuUsage: [], cpuUsage: [], memoryUsage: [], timestamps: [] };
  expect(await metrics()).toEqual(none);
  const report = (cpu_percent: number, ts: number, more = {}) =>
    shelby.post("/api/usage-report", {
      nodeId: "n",
      jobId: "j",
      cpu_percent,
      ram_percent: 10.5,
      ts,
      ...more,
    });
  expect((await report(1.5, 1_643_723_400)).json).toEqual({ status: "ok" });
  await report(2, 1_643_723_405.7);
  expect(await metrics()).toEqual({
    ...none,
    ...{ cpuUsage: [1.5, 2], memoryUsage: [10.5, 10.5], timestamps: [1_643_723_400, 1_643_723_405] },
  });
  await report(3, 1_643_723_410, { gpu_percent: 50 });
  expect(await metrics()).toMatchObject({ gpuUsage: [null, null, 50] });
  await shelby.finish("n", "j");
  expect(await metrics()).toMatchObject({ duration: expect.any(Number) });
});

test("jobs of a node that falls silent go to another, three times, then fail", async () => {
  await using shelby = await startShelby({
    dialect: { nodeTimeoutMs: 150, offerMs: 0 },
    engine: { maintenanceMs: 20 },
  });
  await shelby.job("j");
  for (const node of ["a", "b", "c", "d"]) {
    await until(async () => (await shelby.ack(node, "j")).status === 200, `${node} gets the job`);
  }
  await until(async () => (await shelby.statusOf("j")) === "failed", "the job fails");
  const { body } = await shelby.get("/api/frontend/jobs/j");
  expect(body).toMatchObject({ metadata: { error: expect.stringContaining("d was not heard from") } });
  const nodes = (await shelby.get("/api/frontend/nodes")).body.nodes;
  expect(nodes.every(({ status }) => status === "inactive")).toBe(true);
  // The one that comes back from the dead changes nothing.
  expect((await shelby.finish("a", "j")).status).toBe(400);
});

test("heartbeats keep a node's jobs", async () => {
  await using shelby = await startShelby({
    dialect: { nodeTimeoutMs: 300, offerMs: 0 },
    engine: { maintenanceMs: 20 },
  });
  await shelby.job("j");
  await shelby.ack("n", "j");
  const end = performance.now() + 1_000;
  while (performance.now() < end) {
    await shelby.post("/api/nodes/heartbeat", { nodeId: "n" });
    await Bun.sleep(30);
  }
  expect((await shelby.get("/api/frontend/jobs/j")).body).toMatchObject({
    status: "assigned",
    assignedNode: "n",
  });
  expect((await shelby.finish("n", "j")).status).toBe(200);
});

test("a worker of another API is not a node by its id", async () => {
  await using shelby = await startShelby();
  await shelby.engine.registerWorker({
    ...{ id: "agent", name: "agent", address: null, labels: {}, details: {} },
    ...{ capacity: { cpu: 4, accelerators: 2, memoryMb: 2_048 }, queues: ["*"], kinds: ["script"] },
    dialect: "yardmaster",
  });
  for (const [path, body] of [
    ["/api/nodes/register", { nodeId: "agent", specs: {} }],
    ["/api/nodes/heartbeat", { nodeId: "agent" }],
  ] as const) {
    expect((await shelby.post(path, body)).status).toBe(400);
  }
  expect((await shelby.delete("/api/frontend/nodes/agent")).status).toBe(400);
  // It runs scripts: front ends see it among the nodes.
  expect((await shelby.get("/api/frontend/nodes")).json).toMatchObject({
    nodes: [{ nodeId: "agent", status: "active", specs: { totalRAM_GB: 2, gpuCount: 2, cpuUsage: null } }],
  });
  expect((await shelby.get("/api/frontend/node-stats")).json).toMatchObject({ totalGpus: 2 });
});

test("an agent of Yardmaster is a node with the specs of its machine", async () => {
  await using shelby = await startShelby();
  const gpus = [{ name: "NVIDIA <b>H200</b>", memoryMb: 143_771 }];
  await shelby.engine.registerWorker({
    ...{ id: "agent", name: "agent", address: null, labels: {}, dialect: "yardmaster" },
    ...{ capacity: { cpu: 4, accelerators: 1, memoryMb: 2_048 }, queues: ["*"], kinds: ["script"] },
    details: {
      machine: {
        ...{ os: "Linux", platform: "Ubuntu 20.04", processor: "Intel(R) Xeon(R) Processor" },
        ...{ cores: 16, memoryMb: 16_384, gpus },
      },
    },
  });
  expect((await shelby.get("/api/frontend/nodes")).body.nodes[0]?.specs).toEqual({
    ...{ cpuUsage: null, ramUsage: null, totalRAM_GB: 16, os: "Linux", platform: "Ubuntu 20.04" },
    ...{ processor: "Intel(R) Xeon(R) Processor", cpuCount: 16, gpuCount: 1, gpuUsage: null },
    gpuNames: ["NVIDIA <b>H200</b>"],
  });
  // It tells how busy it is from time to time.
  const load = { cpuPercent: 45.2, memoryPercent: 60.1, gpuPercent: 90 };
  await shelby.engine.describeWorker("agent", { load });
  expect((await shelby.get("/api/frontend/nodes")).body.nodes[0]?.specs).toMatchObject({
    ...{ cpuUsage: 45.2, ramUsage: 60.1, gpuUsage: 90, totalRAM_GB: 16 },
  });
  expect((await shelby.get("/api/frontend/system-stats")).json).toMatchObject({ gpuUtilization: 90 });
});

test("a job starts when an agent of Yardmaster has it, whatever comes before its script runs", async () => {
  await using shelby = await startShelby();
  await shelby.job("j");
  const capacity = { cpu: 1, accelerators: 0, memoryMb: 0 };
  const [job] = await shelby.engine.claim({
    ...{ workerId: "agent", queues: ["*"], kinds: ["script"], capacity, max: 1, waitMs: 0 },
    ...{ leaseMs: null, starts: false, registerAs: { dialect: "yardmaster", address: null } },
  });
  const assigned = (await shelby.get("/api/frontend/jobs/j")).body;
  expect([assigned.status, isRecentSeconds(assigned.startedAt)]).toEqual(["assigned", true]);
  const ended = { outcome: "failed", exitCode: null, error: "no", result: null } as const;
  const startedAt = Date.now() + 60_000;
  await shelby.engine.finish({
    workerId: "agent",
    results: [{ ...ended, id: job?.id ?? 0, attempt: 1, startedAt }],
  });
  const failed = (await shelby.get("/api/frontend/jobs/j")).body;
  expect([failed.startedAt, failed.duration]).toEqual([
    assigned.startedAt,
    Number(failed.finishedAt) - Number(assigned.startedAt),
  ]);
  // Nothing of it is left when it is pending again and was never taken since.
  await shelby.post("/api/frontend/jobs/j/restart");
  await shelby.engine.cancel(job?.id ?? 0, null);
  expect((await shelby.get("/api/frontend/jobs/j")).body).toMatchObject({ startedAt: null, duration: null });
});
