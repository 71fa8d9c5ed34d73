/** `yardmaster verify` as a user runs it, against a real server with its agent. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { type Job, YardmasterClient } from "@yardmaster/client";
import { Scratch } from "./yardmasterProcess.ts";

const scratch = new Scratch();
let url = "";
let job: Job;
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
  expect(stdout).toMatch(
    /record 1, attempt 1, node worker-\S+, model [0-9a-f]{12}…, signed by its node \(key [0-9a-f]{16}\)/,
  );
  expect(stdout).toContain("model: the server's file is the one recorded");
  expect(stdout).toContain("verified: 2 records, chain whole");
  const json = await verify("job-v", "--json");
  expect(JSON.parse(json.stdout)).toMatchObject({ jobId: "job-v", isVerified: true, faults: [] });

  const offline = await scratch.run(["verify", "--file", "saved.json", "--artifact", "model.bin"]);
  expect([offline.exitCode, offline.stderr]).toEqual([0, ""]);
  expect(offline.stdout).toContain("verified: 2 records, chain whole");
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
  expect(await tried(() => {}, "--public-key", stranger)).toContain("not signed with the key that is known");
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
  expect(read.stdout).toContain("unsigned");
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
});
