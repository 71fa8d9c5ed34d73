/** The `script` runner with real Python, real downloads and a real server. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Job, JsonObject } from "@yardmaster/client";
import { ENVIRONMENTS_FOLDER } from "../../../src/agent/scripts/environments.ts";
import { checkChain } from "../../../src/domain/provenanceChain.ts";
import { until } from "../until.ts";
import { offlineRequirements, type ScriptYard, scriptYard, sha256, writeWheel } from "./scriptYard.ts";

const TRAIN = `
import os, sys, hashlib
data = open(os.environ["DATASET_PATH"], "rb").read()
print("rows", data.count(b"\\n"), os.environ["DATASET_NAME"], os.environ["JOB_ID"], flush=True)
print("a warning", file=sys.stderr)
os.makedirs(os.environ["OUTPUT_DIR"], exist_ok=True)
with open(os.path.join(os.environ["OUTPUT_DIR"], "model.bin"), "wb") as model:
    model.write(hashlib.sha256(data).digest() * 1000)
`;

function resultOf(job: Job): JsonObject {
  const { result } = job;
  if (typeof result !== "object" || result === null || Array.isArray(result)) throw new Error("no result");
  return result;
}

async function provenanceOf(yard: ScriptYard, job: Job): Promise<JsonObject[]> {
  return (await yard.client.records(job.id, { kind: "provenance" })).map(({ data }) => data);
}

function serveDataset(body: string): Disposable & { url: string; requests: number } {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => {
      served.requests += 1;
      return new URL(request.url).pathname === "/missing.csv"
        ? new Response("no", { status: 404 })
        : new Response(body);
    },
  });
  const served = {
    url: `http://user:pa55@127.0.0.1:${server.port}/sets/iris.csv?token=s3cret`,
    requests: 0,
    [Symbol.dispose]: () => void server.stop(true),
  };
  return served;
}

describe("a script", () => {
  test("gets its dataset, leaves a model that is stored, and signed provenance", async () => {
    await using yard = await scriptYard();
    const body = "a,b\n1,2\n3,4\n";
    using dataset = serveDataset(body);
    const agent = await yard.agent({ usageEveryMs: 200 });
    const spec = {
      dataset: { name: "Iris", url: dataset.url, hash: `sha256:${sha256(body).toUpperCase()}` },
    };
    const job = await yard.run(TRAIN, spec, { key: "job-abc" });
    const output = await yard.output(job);
    expect([job.state, job.error]).toEqual(["succeeded", null]);
    expect(output).toContain("rows 3 Iris job-abc\n");
    expect(output).toContain("a warning\n");
    expect(output).not.toMatch(/pa55|s3cret/);
    const model = new Bun.CryptoHasher("sha256").update(body).digest();
    const expected = sha256(Buffer.concat(Array<Uint8Array>(1000).fill(model)));
    const result = resultOf(job);
    expect(result).toMatchObject({ modelHash: expected, artifact: expected, modelSizeBytes: 32_000 });
    expect(result.metadata).toMatchObject({ exitCode: 0, modelFile: "model.bin" });
    const stored = new Uint8Array(await (await yard.client.getArtifact(expected)).arrayBuffer());
    expect(sha256(stored)).toBe(expected);

    const [record, ...more] = await provenanceOf(yard, job);
    expect(more).toEqual([]);
    expect(record).toMatchObject({
      ...{ jobId: "job-abc", nodeId: agent.workerId, modelHash: expected, modelSizeBytes: 32_000 },
      ...{ attempt: 1, outcome: "succeeded", exitCode: 0, previous: null, version: 1 },
      inputs: {
        script: { sha256: sha256(TRAIN), bytes: TRAIN.length, entrypoint: "train.py" },
        dataset: { name: "Iris", sha256: sha256(body), bytes: body.length, verified: true },
      },
    });
    expect(JSON.stringify(record)).not.toMatch(/pa55|s3cret/);
    const { publicKey } = await yard.client.worker(agent.workerId);
    const verdict = await checkChain(record === undefined ? [] : [record], {
      ...{ jobId: "job-abc", modelHash: expected, lastAttempt: 1 },
      nodeKeys: new Map([[agent.workerId, { current: publicKey, earlier: [] }]]),
      ...{ areNodeKeysConfirmed: true, pinnedKeys: null, requiresSignatures: false },
    });
    expect(verdict.faults).toEqual([]);
    expect(verdict.records[0]?.signature).toBe("signed");
    const key = statSync(join(yard.folder, "agent-1", "node-key"));
    expect(key.mode & 0o777).toBe(0o600);

    // A verified dataset is fetched once a machine; one whose hash nobody gave is fetched for each job.
    const again = await yard.run(TRAIN, spec);
    expect([again.state, dataset.requests]).toEqual(["succeeded", 1]);
    const unknown = await yard.run(TRAIN, { dataset: { ...spec.dataset, hash: "md5:abc" } });
    expect([unknown.state, dataset.requests]).toEqual(["succeeded", 2]);
    expect(await yard.output(unknown)).toContain('was not verified: the given hash "md5:abc" is no SHA-256');
    const [second] = await provenanceOf(yard, unknown);
    expect(second?.inputs).toMatchObject({ dataset: { verified: false, sha256: sha256(body) } });
  });

  test("that is run again adds to its chain, with the failure before it", async () => {
    await using yard = await scriptYard();
    const agent = await yard.agent();
    const job = await yard.run('import sys\nprint("loss 0.1")\nsys.exit("the loss is NaN")\n');
    expect(job.state).toBe("failed");
    expect(job.exitCode).toBe(1);
    expect(job.error).toBe("the program ended with exit code 1: the loss is NaN");
    expect(resultOf(job)).toMatchObject({ modelHash: "", modelSizeBytes: 0, artifact: null });
    expect(resultOf(job).metadata).toMatchObject({ error: job.error, exitCode: 1 });
    const odd = await yard.run('import sys\nsys.stderr.write("a\\0" + chr(0x1F600) * 2000)\nsys.exit(3)');
    expect(odd.error).toStartWith("the program ended with exit code 3: ");
    await yard.client.retry(job.id);
    await yard.client.wait(job.id, { timeoutMs: 20_000 });
    const records = await provenanceOf(yard, job);
    const { publicKey } = await yard.client.worker(agent.workerId);
    const verdict = await checkChain(records, {
      ...{ jobId: job.key, modelHash: "", lastAttempt: 2 },
      nodeKeys: new Map([[agent.workerId, { current: publicKey, earlier: [] }]]),
      ...{ areNodeKeysConfirmed: true, pinnedKeys: null, requiresSignatures: false },
    });
    expect(verdict.faults).toEqual([]);
    expect(verdict.records.map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  test("without a model has succeeded; of several files the one that looks like a model is it", async () => {
    await using yard = await scriptYard();
    await yard.agent();
    const none = await yard.run("print('nothing')");
    expect(none.state).toBe("succeeded");
    expect(resultOf(none)).toMatchObject({ modelHash: "", modelSizeBytes: 0, artifact: null });
    const several = await yard.run(`
import os
for name, size in [("log.txt", 9000), ("small.pt", 10), ("large.pt", 20), ("net.onnx", 500)]:
    open(os.path.join("output", name), "wb").write(b"x" * size)
os.symlink("/etc/hosts", "output/model.bin")
`);
    expect(resultOf(several)).toMatchObject({ modelSizeBytes: 20, modelHash: sha256("x".repeat(20)) });
    const largest = await yard.run(`
import os
os.makedirs("output/deep")
open("output/a.txt", "w").write("a")
open("output/deep/b.txt", "w").write("bb")
`);
    expect(resultOf(largest).metadata).toMatchObject({ modelFile: "deep/b.txt" });
  });

  test.each([
    ["../train.py", 'leaves the workspace by ".."'],
    ["a/../../x.py", 'leaves the workspace by ".."'],
    ["/etc/x.py", "is an absolute path"],
    ["-c", "begins with a dash"],
    ["requirements.txt", 'takes the place of "requirements.txt"'],
    ["output/model.bin", 'takes the place of "output"'],
    ["a//b.py", "is no plain path"],
    ["a\nb", "has a control character"],
    [`${"x".repeat(300)}.py`, "has a name of more than 255 bytes"],
  ])("whose entry point is %j is refused", async (entrypoint, reason) => {
    const { checkEntrypoint } = await import("../../../src/agent/scripts/entrypoint.ts");
    expect(() => checkEntrypoint(entrypoint)).toThrow(reason);
  });

  test("fails with what is wrong before it is started, and its record says so too", async () => {
    await using yard = await scriptYard();
    using dataset = serveDataset("a\n");
    const agent = await yard.agent({ maxModelBytes: 100 });
    const { origin } = new URL(dataset.url);
    const failing = async (spec: object, script = "print(1)") => {
      const job = await yard.run(script, spec);
      expect(job.state).toBe("failed");
      const [record] = await provenanceOf(yard, job);
      expect(record).toMatchObject({ outcome: "failed", error: job.error, nodeId: agent.workerId });
      expect(resultOf(job).metadata).toMatchObject({ error: job.error });
      return job.error;
    };
    expect(await failing({ entrypoint: "../../x.py" })).toContain("leaves the workspace");
    expect(await failing({ script: { sha256: "0".repeat(64) } })).toContain("the server has no script");
    const given = (url: string, hash: string | null = null) => ({ dataset: { name: "d", url, hash } });
    const reading = "import os\nopen(os.environ['DATASET_PATH'])";
    expect(await failing(given(`${origin}/missing.csv`), reading)).toContain("404 from");
    expect(await failing(given(`${origin}/missing.csv`, "0".repeat(64)))).toContain("404 from");
    expect(await failing(given("file:///etc/passwd"))).toContain("only http and https");
    expect(await failing(given("nonsense"))).toContain("is no URL");
    expect(await failing(given(dataset.url, "0".repeat(64)))).toContain("checksum mismatch");
    expect(await failing({}, "open('output/m.pt','wb').write(b'x'*101)")).toContain("more than the 100");
  });

  test("that does not read its dataset runs when that cannot be had, and its log says so", async () => {
    await using yard = await scriptYard();
    using dataset = serveDataset("a\n");
    await yard.agent();
    const url = `${new URL(dataset.url).origin}/missing.csv`;
    const job = await yard.run("print('hello')", { dataset: { name: "d", url, hash: null } });
    expect([job.state, job.error]).toEqual(["succeeded", null]);
    const output = await yard.output(job);
    expect(output).toContain(`404 from ${url}; the script does not speak of a dataset, and runs without it`);
    expect(output).toEndWith("hello\n");
    const [record] = await provenanceOf(yard, job);
    const none = { source: null, sha256: null, bytes: null, verified: false, fault: `404 from ${url}` };
    expect(record).toMatchObject({ outcome: "succeeded", inputs: { dataset: { name: "d", ...none } } });
  });

  test("without its dataset sees no piece of it; a server that answers and fails is no reason to do without", async () => {
    await using yard = await scriptYard();
    await yard.agent({ downloadFirstPauseMs: 1, downloadMaxTries: 2 });
    let answers = 0;
    using pieces = Bun.listen({
      ...{ hostname: "127.0.0.1", port: 0 },
      socket: {
        data(socket) {
          const isFirst = answers++ === 0;
          const head = isFirst ? "200 OK\r\ncontent-length: 1000" : "404 Not Found\r\ncontent-length: 0";
          socket.end(`HTTP/1.1 ${head}\r\n\r\n${isFirst ? "x".repeat(160) : ""}`);
        },
      },
    });
    const dataset = (port: number) => ({ name: "d", url: `http://127.0.0.1:${port}/iris.csv`, hash: null });
    const listing = "import os\nprint([file for _, _, files in os.walk('.') for file in files])";
    const job = await yard.run(listing, { dataset: dataset(pieces.port) });
    expect([job.state, job.error, answers]).toEqual(["succeeded", null, 2]);
    expect(await yard.output(job)).toEndWith("['train.py']\n");

    using busy = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response("", { status: 503 }),
    });
    const failed = await yard.run(listing, { dataset: dataset(busy.port ?? 0) });
    expect([failed.state, failed.error]).toEqual(["failed", expect.stringContaining("503 from")]);
  });

  test("sees nested entry points, its own folder, and none of the agent's secrets", async () => {
    await using yard = await scriptYard();
    await yard.agent({ apiKey: "yk_secret" });
    const job = await yard.run("import os, sys\nprint(sys.path[0], os.getcwd())\nprint(dict(os.environ))", {
      entrypoint: "src/deep/main.py",
    });
    const output = await yard.output(job);
    expect(job.error).toBeNull();
    expect(output).toMatch(/\/src\/deep \//);
    expect(output).not.toContain("yk_secret");
    expect(output).toContain("'DATASET_PATH': ''");
  });

  test("tells what it uses every few seconds", async () => {
    await using yard = await scriptYard();
    await yard.agent({ usageEveryMs: 100 });
    const job = await yard.submit(`
import subprocess, sys
keep = bytearray(30_000_000)
subprocess.run([sys.executable, "-c", "import time\\nkeep = bytearray(30_000_000)\\ntime.sleep(60)"])
`);
    const usage = () => yard.client.records(job.id, { kind: "usage" });
    const both = (data: JsonObject) => Number(data.memoryBytes) > 60_000_000 && Number(data.processes) >= 2;
    const deadline = Date.now() + 20_000;
    let records = await usage();
    while (records.length < 3 || !records.some(({ data }) => both(data))) {
      if (Date.now() > deadline) throw new Error(`no usage: ${JSON.stringify(records)}`);
      await Bun.sleep(50);
      records = await usage();
    }
    const [first] = records;
    expect(first?.data).toMatchObject({ jobId: job.key });
    for (const field of ["cpu_percent", "ram_percent", "ts"])
      expect(typeof first?.data[field]).toBe("number");
    await yard.client.cancel(job.id);
    await until(() => yard.log.lines.every((line) => !line.startsWith("error")), "no errors");
  });
});

describe("requirements", () => {
  test("are installed once for all jobs of a machine, and listed in the provenance", async () => {
    await using yard = await scriptYard();
    const wheels = await writeWheel(yard.folder, "tinylib", "1.2.3", "ANSWER = 42\n");
    const requirements = offlineRequirements(wheels, "tinylib  # the answer", "");
    // Where the machine isolates scripts, their installer sees no other folders.
    const options = { usesUv: false, bindReadOnly: [wheels] };
    await Promise.all([yard.agent(options), yard.agent(options)]);
    const script = 'import tinylib, sys\nprint("answer", tinylib.ANSWER, sys.prefix)\n';
    const jobs = await Promise.all([1, 2, 3].map(() => yard.run(script, { requirements })));
    expect(jobs.map(({ error }) => error)).toEqual([null, null, null]);
    const environments = join(yard.folder, "cache", ENVIRONMENTS_FOLDER);
    const built = readdirSync(environments, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(built).toHaveLength(1);
    const outputs = await Promise.all(jobs.map((job) => yard.output(job)));
    for (const output of outputs) expect(output).toContain(`answer 42 ${environments}`);
    expect(outputs.filter((output) => output.includes("Successfully installed tinylib-1.2.3"))).toHaveLength(
      1,
    );
    const [record] = await provenanceOf(yard, jobs[0] ?? (await yard.run("")));
    expect(JSON.stringify(record?.software)).toContain("tinylib==1.2.3");

    // An agent that is killed while it builds leaves an environment without its marker.
    const folder = join(environments, built[0]?.name ?? "");
    await Bun.file(`${folder}.json`).delete();
    const rebuilt = await yard.run(script, { requirements });
    expect(rebuilt.error).toBeNull();
    expect(await yard.output(rebuilt)).toContain("Successfully installed tinylib-1.2.3");

    const missing = await yard.run(script, {
      requirements: offlineRequirements(wheels, "no-such-package==9"),
    });
    expect(missing.state).toBe("failed");
    expect(missing.error).toContain("the requirements cannot be installed");
    expect(missing.error).toContain("No matching distribution found for no-such-package==9");
    expect(await yard.output(missing)).toContain("No matching distribution found");
    expect(existsSync(folder)).toBe(true);
    const left = readdirSync(environments, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(left).toHaveLength(1);
  });
});
