/** `yardmaster verify` as a user runs it, against a real server with its agent. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { type Job, type JsonObject, YardmasterClient } from "@yardmaster/client";
import { makeNodeKey, type NodeKey, recordHash, signRecord } from "../../src/domain/provenance.ts";
import { Scratch } from "./yardmasterProcess.ts";

const scratch = new Scratch();
let url = "";
let job: Job;
/** Of the node that ran the job. */
let nodeKey = "";
/** For jobs that nobody runs. */
const NO_SCRIPT = { script: { sha256: "0".repeat(64) } };
const MODEL = "weights".repeat(100);

beforeAll(async () => {
  ({ url } = await scratch.start(["up", "--data", "data"]));
  const client = new YardmasterClient({ baseUrl: url });
  const script = `import os
if not os.path.exists("/nonexistent"): open("output/model.bin", "w").write("weights" * 100)`;
  const sha256 = new Bun.CryptoHasher("sha256").update(script).digest("hex");
  await client.putArtifact(sha256, script);
  const submitted = await client.submit({ kind: "script", key: "job-v", spec: { script: { sha256 } } });
  await client.wait(submitted.id, { timeoutMs: 30_000 });
  await client.retry(submitted.id);
  job = await client.wait(submitted.id, { timeoutMs: 30_000 });
  const [worker] = await client.workers();
  nodeKey = worker?.publicKey ?? "";
  await Bun.write(join(scratch.folder, "model.bin"), MODEL);
}, 60_000);
afterAll(() => scratch.dispose());

function verify(...argv: string[]) {
  return scratch.run(["verify", ...argv, "--server", url]);
}

test("says what it checked, and ends with 0 where all holds", async () => {
  expect(job.state).toBe("succeeded");
  const { exitCode, stdout, stderr } = await verify("job-v", "--save", "saved.json");
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout).toStartWith(`job "job-v", id ${job.id}\n`);
  expect(stdout).toMatch(
    /record 1, attempt 1, node worker-\S+, model [0-9a-f]{12}…, signed by its node \(key [0-9a-f]{16}\)/,
  );
  expect(stdout).toContain("model: the server's file is the one recorded");
  expect(stdout).toContain("verified: 2 records, chain whole");
  const json = await verify("job-v", "--json");
  const told = { jobId: "job-v", id: job.id, outcome: "verified", isVerified: true, faults: [] };
  expect(JSON.parse(json.stdout)).toMatchObject(told);

  const file = ["verify", "--file", "saved.json", "--artifact", "model.bin"];
  const offline = await scratch.run([...file, "--public-key", nodeKey]);
  expect([offline.exitCode, offline.stderr]).toEqual([0, ""]);
  expect(offline.stdout).toContain("verified: 2 records, chain whole");
  expect(offline.stdout).toContain("signed with a given key");
});

test("says that the keys of a file are unconfirmed: whoever writes it can sign all of it anew", async () => {
  await verify("job-v", "--save", "saved.json");
  const saved: { records: JsonObject[]; publicKeys: Record<string, string> } = await Bun.file(
    join(scratch.folder, "saved.json"),
  ).json();
  const own = await makeNodeKey();
  const records: JsonObject[] = [];
  for (const record of saved.records) {
    const before = records.at(-1);
    const { signature: _, publicKey: __, ...rest } = record;
    const previous = before === undefined ? null : await recordHash(before);
    records.push(await signRecord({ ...rest, modelHash: "0".repeat(64), previous }, own));
  }
  const publicKeys = Object.fromEntries(Object.keys(saved.publicKeys).map((node) => [node, own.publicKey]));
  await Bun.write(join(scratch.folder, "resigned.json"), JSON.stringify({ ...saved, records, publicKeys }));
  for (const file of ["saved.json", "resigned.json"]) {
    const { exitCode, stdout } = await scratch.run(["verify", "--file", file]);
    expect([exitCode, stdout.includes("signed by its node"), stdout.includes("verified:")]).toEqual([
      ...[0, false, false],
    ]);
    expect(stdout).toStartWith('job "job-v", as the file says\n');
    expect(stdout).toContain("unconfirmed: 2 records, chain whole");
    expect(stdout).toContain("the keys are taken from the file");
    const json = await scratch.run(["verify", "--file", file, "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject({ outcome: "unconfirmed", isVerified: false });
  }
  const refused = await scratch.run(["verify", "--file", "resigned.json", "--public-key", nodeKey]);
  expect([refused.exitCode, refused.stderr]).toEqual([
    1,
    expect.stringContaining("not signed with a key that"),
  ]);
});

test("writes the keys that the server has to a file, whatever keys were given", async () => {
  const given = (await makeNodeKey()).publicKey;
  const { exitCode } = await verify("job-v", "--public-key", given, "--save", "given.json");
  expect(exitCode).toBe(1);
  const text = await Bun.file(join(scratch.folder, "given.json")).text();
  expect([text.includes(given), text.includes(nodeKey)]).toEqual([false, true]);
});

test("refuses records whose proof was taken away, in one or all of them", async () => {
  await verify("job-v", "--save", "saved.json");
  const saved: { records: JsonObject[] } = await Bun.file(join(scratch.folder, "saved.json")).json();
  const strip = ({ signature: _, publicKey: __, previous: ___, version: ____, ...rest }: JsonObject) => ({
    ...rest,
    modelHash: "0".repeat(64),
  });
  const tried = async (records: readonly JsonObject[], ...flags: readonly string[]) => {
    await Bun.write(join(scratch.folder, "stripped.json"), JSON.stringify({ ...saved, records }));
    const { exitCode, stderr } = await scratch.run(["verify", "--file", "stripped.json", ...flags]);
    expect(exitCode).toBe(1);
    return stderr;
  };
  const newest = saved.records.map((record, index) => (index === 1 ? strip(record) : record));
  const all = saved.records.map(strip);
  expect(await tried(newest)).toContain("record 2: nobody signed it, though its node");
  expect(await tried(newest, "--public-key", nodeKey)).toContain("record 2: nobody signed it");
  expect(await tried(all)).toContain("record 1: nobody signed it");
  expect(await tried(all, "--public-key", nodeKey)).toContain("record 1: nobody signed it");
});

/** A worker of this test, which runs nothing and brings a record of each attempt. */
class FakeNode {
  readonly #client = new YardmasterClient({ baseUrl: url });
  readonly #id: string;

  constructor(id: string) {
    this.#id = id;
  }

  /** A job that no agent takes. */
  submit(key: string): Promise<Job> {
    return this.#client.submit({ kind: "script", key, requires: { node: this.#id }, spec: NO_SCRIPT });
  }

  /** One attempt at the job, signed with the key; null signs nothing. */
  async attempt(signer: NodeKey | null, registered: NodeKey): Promise<void> {
    const [client, id] = [this.#client, this.#id];
    const capacity = { cpu: 1, accelerators: 0, memoryMb: 0 };
    const kinds = ["script" as const];
    const { publicKey } = registered;
    await client.registerWorker({ id, capacity, labels: { node: id }, queues: ["*"], kinds, publicKey });
    const [claimed] = await client.claim({ workerId: id, queues: ["*"], kinds, capacity, max: 1, waitMs: 0 });
    if (claimed === undefined) throw new Error("nothing was claimed");
    const [before] = await client.records(claimed.id, { kind: "provenance", order: "newest", limit: 1 });
    const record = { jobId: claimed.key, nodeId: id, modelHash: "", modelSizeBytes: 0, metadata: {}, ts: 1 };
    const chained = {
      ...{ version: 1, attempt: claimed.attempt },
      previous: before === undefined ? null : await recordHash(before.data),
    };
    const data = signer === null ? record : await signRecord({ ...record, ...chained }, signer);
    const result = { modelHash: "", modelSizeBytes: 0, metadata: {}, durationSeconds: 1, artifact: null };
    const sent = { id: claimed.id, attempt: claimed.attempt, outcome: "succeeded" as const, result };
    const records = [{ kind: "provenance", data }];
    const [answer] = await client.sendResults({ workerId: id, results: [{ ...sent, records }] });
    expect(answer).toMatchObject({ accepted: true });
  }
}

test("goes on with a node that has a new key, and takes several keys", async () => {
  const node = new FakeNode("renewed");
  const client = new YardmasterClient({ baseUrl: url });
  const [first, second] = [await makeNodeKey(), await makeNodeKey()];
  const { id } = await node.submit("job-renewed");
  await node.attempt(first, first);
  await client.retry(id);
  await node.attempt(second, second);
  const { exitCode, stdout, stderr } = await verify("job-renewed", "--save", "renewed.json");
  expect([exitCode, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/record 1, .* signed by an earlier key of this node/);
  expect(stdout).toMatch(/record 2, .* signed by its node/);
  expect(stdout).toContain("verified: 2 records, chain whole, 1 signed by earlier keys");
  const offline = (...keys: readonly string[]) =>
    scratch.run(["verify", "--file", "renewed.json", ...keys.flatMap((key) => ["--public-key", key])]);
  expect((await offline()).stdout).toContain("unconfirmed: 2 records");
  expect((await offline(first.publicKey, second.publicKey)).stdout).toContain("verified: 2 records");
  expect((await offline(second.publicKey)).exitCode).toBe(1);
});

test("refuses what a node with a key did not sign, also from its server", async () => {
  const node = new FakeNode("silent");
  const key = await makeNodeKey();
  await node.submit("job-silent");
  await node.attempt(null, key);
  const { exitCode, stdout, stderr } = await verify("job-silent");
  expect([exitCode, stderr]).toEqual([
    1,
    expect.stringContaining('nobody signed it, though its node "silent"'),
  ]);
  expect(stdout).not.toContain("verified");
});

test("ends with 1 and the reason where a record, its place or the model is another", async () => {
  await verify("job-v", "--save", "saved.json");
  const path = join(scratch.folder, "saved.json");
  const saved: { records: { modelHash: string }[] } = await Bun.file(path).json();
  const tried = async (change: (copy: typeof saved) => void, ...flags: string[]) => {
    const copy = structuredClone(saved);
    change(copy);
    await Bun.write(join(scratch.folder, "changed.json"), JSON.stringify(copy));
    const { exitCode, stderr } = await scratch.run(["verify", "--file", "changed.json", ...flags]);
    expect(exitCode).toBe(1);
    return stderr;
  };
  const forge = (at: number) => (copy: typeof saved) => {
    const record = copy.records[at];
    if (record !== undefined) record.modelHash = "0".repeat(64);
  };
  expect(await tried(forge(0))).toContain("record 1: its signature does not fit");
  expect(await tried((copy) => copy.records.shift())).toContain("records before it are missing");
  expect(await tried((copy) => copy.records.reverse())).toContain("not verified");
  await Bun.write(join(scratch.folder, "other.bin"), "other");
  expect(await tried(() => {}, "--artifact", "other.bin")).toContain("the model is another one");
  const stranger = `${"A".repeat(43)}=`;
  expect(await tried(() => {}, "--public-key", stranger)).toContain("not signed with a key that was given");
});

test("reads unsigned records of other agents, from the detail of a ShelbyCompute job too", async () => {
  const record = {
    jobId: "j",
    nodeId: "n",
    modelHash: "abc",
    modelSizeBytes: 3,
    durationSeconds: 1,
    metadata: {},
    ts: 1,
  };
  await Bun.write(
    join(scratch.folder, "shelby.json"),
    JSON.stringify({ jobId: "j", provenance: [{ record, createdAt: 1 }] }),
  );
  const read = await scratch.run(["verify", "--file", "shelby.json"]);
  expect(read.exitCode).toBe(0);
  expect(read.stdout).toContain("not signed: 1 record");
  expect(read.stdout).not.toContain("verified");
  const pinned = await scratch.run(["verify", "--file", "shelby.json", "--public-key", nodeKey]);
  expect([pinned.exitCode, pinned.stderr]).toEqual([
    1,
    expect.stringContaining("record 1: nobody signed it"),
  ]);
  const strict = await scratch.run(["verify", "--file", "shelby.json", "--require-signatures"]);
  expect(strict.exitCode).toBe(1);
  expect(strict.stderr).toContain("record 1: nobody signed it");
});

test("tells wrong usage, unknown jobs and jobs without provenance apart", async () => {
  expect((await verify()).exitCode).toBe(2);
  expect((await verify("job-v", "--file", "x.json")).exitCode).toBe(2);
  expect((await verify("--file", "missing.json")).exitCode).toBe(2);
  await Bun.write(join(scratch.folder, "bad.json"), '{"a": 1}');
  expect((await verify("--file", "bad.json")).stderr).toContain("holds no provenance records");
  expect((await verify("job-v", "--public-key", "x")).exitCode).toBe(2);
  expect((await verify("no-such-job")).exitCode).toBe(1);
  const client = new YardmasterClient({ baseUrl: url });
  const plain = await client.submit({ spec: { argv: ["true"] } });
  const none = await verify(String(plain.id));
  expect([none.exitCode, none.stderr]).toEqual([1, expect.stringContaining("no provenance records")]);
  expect(none.stderr).toContain("the job is of the kind command");
  const script = await client.submit({ kind: "script", requires: { node: "none" }, spec: NO_SCRIPT });
  await client.cancel(script.id);
  const cancelled = await verify(String(script.id));
  expect([cancelled.exitCode, cancelled.stderr]).toEqual([
    1,
    expect.stringContaining("a run that is cancelled leaves none"),
  ]);
});
