/** Records over the API: what a worker keeps with the jobs it holds, and with its results. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { type NewJobRecord, YardmasterClient } from "../../clients/typescript/src/index.ts";
import { openEngine } from "../../src/engine/openEngine.ts";
import { startTestServer, startTestServerWith } from "./testServer.ts";

const KEY = `${"A".repeat(43)}=`;
const NEXT_KEY = `${"B".repeat(42)}A=`;
const capacity = { cpu: 1, accelerators: 0, memoryMb: 0 };

async function startReal() {
  const dataDir = await mkdtemp(join(tmpdir(), "yardmaster-records-"));
  const engine = await openEngine({ dataDir });
  const warnings: string[] = [];
  const logger = pino({ level: "warn" }, { write: (line: string) => void warnings.push(line) });
  const server = await startTestServerWith(engine, { logger });
  return {
    warnings,
    client: new YardmasterClient({ baseUrl: server.url }),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await engine.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

test("the holder of a job keeps records with it, others do not; a result brings its own", async () => {
  await using real = await startReal();
  const { client } = real;
  const worker = await client.registerWorker({ id: "w1", capacity, publicKey: KEY });
  expect(worker.publicKey).toBe(KEY);
  await client.registerWorker({ id: "w2", capacity });
  expect((await client.worker("w2")).publicKey).toBeNull();
  const job = await client.submit({ spec: { argv: ["true"] } });
  const record: NewJobRecord = { id: job.id, attempt: 1, kind: "usage", data: { cpu_percent: 12.5 } };
  expect(await client.sendRecords({ workerId: "w1", records: [record] })).toBe(0);

  const claim = { workerId: "w1", queues: ["*"], kinds: ["command" as const], capacity, max: 1, waitMs: 0 };
  expect(await client.claim(claim)).toHaveLength(1);
  expect(await client.sendRecords({ workerId: "w2", records: [record] })).toBe(0);
  expect(await client.sendRecords({ workerId: "w1", records: [{ ...record, attempt: 2 }] })).toBe(0);
  expect(await client.sendRecords({ workerId: "w1", records: [record, { ...record, id: 999 }] })).toBe(1);

  const provenance = { kind: "provenance", data: { jobId: job.key, nodeId: "w1", é: [1, { "": null }] } };
  const result = { id: job.id, attempt: 1, outcome: "succeeded" as const, records: [provenance] };
  const theirs = { ...provenance, data: { ...provenance.data, nodeId: "w2" } };
  const lost = await client.sendResults({ workerId: "w2", results: [{ ...result, records: [theirs] }] });
  expect(lost[0]?.accepted).toBe(false);
  for (let time = 0; time < 2; time++) {
    const answer = await client.sendResults({ workerId: "w1", results: [result] });
    expect(answer[0]?.accepted).toBe(true);
  }
  const all = await client.records(job.key);
  expect(all.map(({ kind }) => kind)).toEqual(["usage", "provenance"]);
  expect(all[1]?.data).toEqual(provenance.data);
  expect(await client.records(job.id, { kind: "usage" })).toHaveLength(1);
  expect((await client.records(job.id, { order: "newest", limit: 1 }))[0]?.kind).toBe("provenance");
});

test("a worker that registers with another key keeps those before, and the log tells of the change", async () => {
  await using real = await startReal();
  const { client, warnings } = real;
  await client.registerWorker({ id: "w1", capacity, publicKey: KEY });
  expect((await client.registerWorker({ id: "w1", capacity, publicKey: KEY })).earlierPublicKeys).toEqual([]);
  expect(warnings).toEqual([]);
  const renewed = await client.registerWorker({ id: "w1", capacity, publicKey: NEXT_KEY });
  const earlierPublicKeys = [{ publicKey: KEY, replacedAt: expect.stringMatching(/^20.*Z$/) }];
  expect(renewed).toMatchObject({ publicKey: NEXT_KEY, earlierPublicKeys });
  await client.registerWorker({ id: "w1", capacity });
  const bare = await client.worker("w1");
  expect([bare.publicKey, bare.earlierPublicKeys.map(({ publicKey }) => publicKey)]).toEqual([
    null,
    [NEXT_KEY, KEY],
  ]);
  expect(warnings.map((line) => JSON.parse(line))).toMatchObject([
    { workerId: "w1", replaced: KEY, publicKey: NEXT_KEY },
    { workerId: "w1", replaced: NEXT_KEY, publicKey: null },
  ]);
});

const provenanceResult = (data: unknown) => ({
  workerId: "w",
  results: [{ id: 1, attempt: 1, outcome: "succeeded", records: [{ kind: "provenance", data }] }],
});

test.each([
  [
    "POST",
    "/v1/records",
    { workerId: "w", records: [{ id: 1, attempt: 1, kind: "provenance", data: { nodeId: "w" } }] },
    "/records/0/kind",
  ],
  ["POST", "/v1/results", provenanceResult({ nodeId: "x" }), "/results/0/records/0/data/nodeId"],
  ["POST", "/v1/results", provenanceResult({ nodeId: 7 }), "/results/0/records/0/data/nodeId"],
  ["POST", "/v1/results", provenanceResult({}), "/results/0/records/0/data/nodeId"],
  ["POST", "/v1/results", provenanceResult(null), "/results/0/records/0/data"],
  ["POST", "/v1/results", provenanceResult(undefined), "/results/0/records/0/data"],
  ["POST", "/v1/results", { workerId: "w", results: [null] }, "/results/0"],
  ["POST", "/v1/records", { workerId: "w" }, "/records"],
  [
    "POST",
    "/v1/records",
    { workerId: "w", records: [{ id: 1, attempt: 1, kind: "", data: {} }] },
    "/records/0/kind",
  ],
  [
    "POST",
    "/v1/records",
    { workerId: "w", records: [{ id: 1, attempt: 1, kind: "a", data: [] }] },
    "/records/0/data",
  ],
  ["POST", "/v1/workers", { id: "w", capacity, publicKey: "short" }, "/publicKey"],
  ["POST", "/v1/workers", { id: "w", capacity, machine: { os: "Linux" } }, "/machine/platform"],
  ["POST", "/v1/workers/w/load", { cpuPercent: 100.1, memoryPercent: 1, gpuPercent: null }, "/cpuPercent"],
  ["POST", "/v1/workers/w/load", { cpuPercent: 1, memoryPercent: 1 }, "/gpuPercent"],
  ["GET", "/v1/jobs/1/records?limit=0", undefined, "limit"],
  ["GET", "/v1/jobs/1/records?kind=", undefined, "kind"],
  ["POST", "/v1/jobs", { kind: "script", spec: { script: { sha256: "x" } } }, "/spec/script/sha256"],
  ["POST", "/v1/jobs", { kind: "script", spec: { script: null, meta: 1 } }, "/spec/script"],
  [
    "POST",
    "/v1/jobs",
    { kind: "script", spec: { script: { sha256: "0".repeat(64) }, dataset: {} } },
    "/spec/dataset/name",
  ],
  ["POST", "/v1/jobs", { kind: "script" }, "/spec"],
] as const)("%s %s with a fault is refused: %j in %s", async (method, path, body, place) => {
  await using server = await startTestServer();
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const response = await fetch(`${server.url}${path}`, init);
  expect(response.status).toBe(422);
  expect(await response.text()).toContain(place);
  expect(server.engine.submitted).toEqual([]);
});
