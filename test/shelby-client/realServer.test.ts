/** The front-end example of the ShelbyCompute document, by the client, against the real server and its agent. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ShelbyClient, ShelbyError } from "@yardmaster/client/shelby";
import { Scratch } from "../cli/yardmasterProcess.ts";

const scratch = new Scratch();
const datasets = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("a,b\n1,2\n") });
let client = new ShelbyClient();
beforeAll(async () => {
  const { url } = await scratch.start(["up", "--data", "data"]);
  client = new ShelbyClient({ baseUrl: url });
});
afterAll(async () => {
  await scratch.dispose();
  await datasets.stop(true);
});

const SCRIPT = `
import os
print("Hello from custom training script!")
print("<b>" + open(os.environ["DATASET_PATH"]).readline().strip() + "</b>")
open(os.path.join(os.environ["OUTPUT_DIR"], "model.pt"), "w").write("weights")
`;

test("a front end creates a job, uploads its script, follows its log, and sees its end", async () => {
  const dashboard = await client.dashboard();
  expect(dashboard.jobStats.total).toBe(0);
  const { jobId } = await client.createJob({
    datasetName: "My Dataset",
    datasetUrl: `http://127.0.0.1:${datasets.port}/data.csv`,
    meta: { description: "Custom training job" },
  });
  await client.uploadScript({ jobId, script: SCRIPT });
  const lines: string[] = [];
  const log = client.followLog(jobId);
  let next = await log.next();
  for (; !next.done; next = await log.next()) lines.push(next.value.line);
  expect(next.value).toBe("finished");
  expect(lines).toContain("Hello from custom training script!");
  expect(lines).toContain("<b>a,b</b>");

  const job = await client.wait(jobId, { timeoutMs: 10_000 });
  const modelHash = new Bun.CryptoHasher("sha256").update("weights").digest("hex");
  expect(job).toMatchObject({ status: "finished", modelHash, datasetName: "My Dataset" });
  expect(job.provenance[0]?.record).toMatchObject({ jobId, modelHash, modelSizeBytes: 7, attempt: 1 });
  expect((await client.logs(jobId)).map(({ line }) => line)).toEqual(lines);
  expect((await client.jobs({ status: "finished" })).jobs.map((one) => one.jobId)).toEqual([jobId]);
  expect((await client.dashboard()).jobStats.finished).toBe(1);
  expect((await client.health()).status).toBe("healthy");
}, 60_000);

test("lines of 1 MiB that a script prints come whole, live and afterwards", async () => {
  const script = "for letter in 'abc': print(letter * (1024 * 1024))\nprint('<i>\u2028</i>', end='')";
  const { jobId } = await client.run({ datasetName: "Long lines" }, { script });
  const lines: string[] = [];
  for await (const { line } of client.followLog(jobId)) lines.push(line);
  const expected = [...["a", "b", "c"].map((letter) => letter.repeat(1024 * 1024)), "<i>\u2028</i>"];
  expect(lines.slice(-4)).toEqual(expected);
  expect((await client.logs(jobId)).slice(-4).map(({ line }) => line)).toEqual(expected);
  expect((await client.job(jobId)).logs.slice(-4).map(({ line }) => line)).toEqual(expected);
}, 60_000);

test("a script that fails, and jobs that are not there, say why", async () => {
  const { jobId } = await client.run({ datasetName: "None" }, { script: "raise ValueError('no data')" });
  const job = await client.wait(jobId, { timeoutMs: 30_000 });
  expect(job).toMatchObject({ status: "failed", modelHash: "" });
  expect(String(job.metadata?.error)).toEndWith("ValueError: no data");
  await client.restartJob(jobId);
  await client.wait(jobId, { timeoutMs: 30_000 });
  expect((await client.job(jobId)).provenance).toHaveLength(2);
  await client.deleteJob(jobId);
  const gone = await client.job(jobId).catch((error: unknown) => error);
  expect(gone).toBeInstanceOf(ShelbyError);
  const missing = await client
    .followLog("no-such-job")
    .next()
    .catch((error: unknown) => error);
  expect(missing).toMatchObject({ name: "ShelbyError", status: 404 });
}, 60_000);

test("an agent of one's own takes a job from its registration to its end", async () => {
  await client.register({ nodeId: "node-1", specs: { os: "Linux" }, handshakeKey: "secret" });
  await client.heartbeat("node-1");
  const first = await client.nodes();
  expect(first.nodes.find(({ nodeId }) => nodeId === "node-1")).toMatchObject({ status: "active" });
  expect(await client.poll("node-1")).toBeNull();
  expect((await client.nodeStats()).total).toBeGreaterThanOrEqual(2);
}, 30_000);
