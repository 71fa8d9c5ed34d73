import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { AgentOptions } from "../../src/agent/agentOptions.ts";
import { maxOutputBytes } from "../../src/domain/outputCut.ts";
import { testNeeding } from "../testNeeding.ts";
import { FileHost, head } from "./binaries/fileHost.ts";
import { sha256 } from "./binaries/testCache.ts";
import { type FakeJob, FakeServer } from "./fakeServer.ts";
import { isAlive } from "./isAlive.ts";
import { agentProcess, temporaryDirectory, testAgent } from "./testAgent.ts";
import { until } from "./until.ts";

let host: FileHost;
let server: FakeServer;
const cache = temporaryDirectory();
beforeAll(async () => {
  host = await FileHost.start();
  server = new FakeServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await host[Symbol.asyncDispose]();
  cache[Symbol.dispose]();
});

/** Whatever the machine can isolate, these tests look at processes from outside. */
const PLAIN: AgentOptions = { isolation: "off", cacheDir: cache.path, downloadFirstPauseMs: 10 };

function script(text: string, name = crypto.randomUUID()): { url: string; sha256: string } {
  const bytes = Buffer.from(`#!/bin/sh\n${text}\n`);
  return { url: host.file(`/${name}`, bytes), sha256: sha256(bytes) };
}

function add(spec: FakeJob["spec"], more: Partial<FakeJob> = {}): FakeJob {
  return server.add([], { kind: "binary", spec, ...more });
}

/** An address whose answer never ends. */
function stalled(): { url: string; closed: Promise<void> } {
  const gone = Promise.withResolvers<void>();
  const url = host.on(`/${crypto.randomUUID()}`, (socket) => {
    socket.write(head(200, { "content-length": "1000" }));
    socket.on("close", () => gone.resolve());
  });
  return { url, closed: gone.promise };
}

const anySum = "ab".repeat(32);

test("a binary gets exactly its arguments and environment, and a folder of its own", async () => {
  await using _agent = await testAgent(server, PLAIN);
  const { url, sha256 } = script(
    'for a in "$@"; do echo "[$a]"; done; cat /proc/$$/environ | tr "\\0" "\\n"; ls -a; cat',
  );
  const job = add({ url, sha256, args: ["one", "two words", "", "$HOME"], env: { A: "b=c" } });
  expect(await server.finished(job)).toMatchObject({ outcome: "succeeded", exitCode: 0 });
  const lines = server.output(job, "stdout").trim().split("\n");
  expect(lines.slice(0, 4)).toEqual(["[one]", "[two words]", "[]", "[$HOME]"]);
  expect(lines.slice(4).sort()).toEqual(
    [".", "..", "A=b=c", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"].sort(),
  );
  expect(server.output(job, "system")).toContain("downloading http://127.0.0.1");
});

test("a cached binary runs without a word, and how it ends is told", async () => {
  await using _agent = await testAgent(server, PLAIN);
  const { url, sha256 } = script('[ "$1" = kill ] && kill -9 $$; exit "$1"');
  await server.finished(add({ url, sha256, args: ["0"] }));
  const failing = add({ url, sha256, args: ["7"] });
  const killed = add({ url, sha256, args: ["kill"] });
  expect(await server.finished(failing)).toMatchObject({ outcome: "failed", exitCode: 7 });
  expect(await server.finished(killed)).toMatchObject({
    outcome: "failed",
    exitCode: 137,
    error: "the program was ended by signal SIGKILL",
  });
  expect(server.output(failing)).toBe("");
});

test("a signal ends a job of Executr's API with -1, as its own executors report it", async () => {
  await using _agent = await testAgent(server, PLAIN);
  const killed = add(script("kill -TERM $$"), { dialect: "executr" });
  const failing = add(script("exit 143"), { dialect: "executr" });
  expect(await server.finished(killed)).toMatchObject({
    outcome: "failed",
    exitCode: -1,
    error: "the program was ended by signal SIGTERM",
  });
  expect(await server.finished(failing)).toMatchObject({ outcome: "failed", exitCode: 143 });
});

test("what is no program fails with a reason", async () => {
  await using _agent = await testAgent(server, PLAIN);
  const bytes = Buffer.from([1, 2, 3, 4]);
  const url = host.file("/no-program", bytes);
  const result = await server.finished(add({ url, sha256: sha256(bytes) }));
  expect(result).toMatchObject({ outcome: "failed", exitCode: 126 });
  expect(result.error).toContain("neither a binary for this machine nor begins with #!");
});

test.each([
  [{ url: "http://x/", sha256: "../../../etc/passwd" }, "spec.sha256 must be 64 hexadecimal digits"],
  [{ url: "http://x/" }, "spec.sha256 must be 64 hexadecimal digits"],
  [{ sha256: anySum }, "spec.url must be the address"],
  [{ url: "file:///bin/true", sha256: anySum }, "only http and https"],
  [{ url: "http://169.254.169.254/", sha256: anySum }, "link-local or metadata"],
  [{ url: "http://x/", sha256: anySum, args: "a" }, "spec.args must be a list"],
  [{ url: "http://x/", sha256: anySum, env: { "A=": "b" } }, "is no name"],
])("a spec that is none fails with a reason: %j", async (spec, reason) => {
  await using _agent = await testAgent(server, PLAIN);
  const result = await server.finished(add(spec));
  expect(result.outcome).toBe("failed");
  expect(result.error).toContain(reason);
});

test("downloads hold up no other job, also on a machine with one slot", async () => {
  await using _agent = await testAgent(server, { ...PLAIN, cpu: 1 });
  const { url, closed } = stalled();
  const slow = add({ url, sha256: anySum });
  await until(() => server.output(slow).includes("downloading"), "it downloads");
  for (let round = 0; round < 3; round++) {
    expect(await server.finished(server.add(["true"]))).toMatchObject({ outcome: "succeeded" });
  }
  slow.verdict = "cancelled";
  await closed;
  await until(() => slow.state === "cancelled", "it is cancelled");
  expect(slow.results).toEqual([]);
});

test("a time limit ends a download", async () => {
  await using _agent = await testAgent(server, PLAIN);
  const { url, closed } = stalled();
  const job = add({ url, sha256: anySum }, { timeoutMs: 150 });
  expect(await server.finished(job)).toMatchObject({
    outcome: "failed",
    error: "time limit of 150 ms reached",
  });
  await closed;
});

test("a lost lease ends a download, and an agent that stops gives its job back", async () => {
  const first = await testAgent(server, PLAIN);
  const lost = stalled();
  const left = stalled();
  add({ url: lost.url, sha256: anySum }, { verdict: "lost" });
  await lost.closed;
  const job = add({ url: left.url, sha256: "cd".repeat(32) });
  await until(() => server.output(job).includes("downloading"), "it downloads");
  await first[Symbol.asyncDispose]();
  expect(job.results).toMatchObject([{ outcome: "released" }]);
  await left.closed;
  // Nobody takes it any more.
  server.cancelReady(job);
});

test("an output over 1 MiB comes cut with the result, and whole in the log", async () => {
  await using _agent = await testAgent(server, PLAIN);
  const { url, sha256 } = script("seq 1 400000; echo short >&2; exit 3");
  const result = await server.finished(add({ url, sha256 }));
  const job = server.jobs[result.id - 1];
  const { stdout, stderr } = Object.assign({ stdout: "", stderr: "" }, result.result);
  expect(result).toMatchObject({ outcome: "failed", exitCode: 3 });
  expect(stderr).toBe("");
  expect(Buffer.byteLength(stdout)).toBeLessThanOrEqual(maxOutputBytes);
  const lines = stdout.split("\n");
  expect(lines[499]).toBe("500");
  expect(lines[500]).toBe("[output cut: 2688895 bytes, 400000 lines in all; what stood here is left out]");
  expect(lines.at(-2)).toBe("400000");
  expect(job === undefined ? "" : server.output(job, "stdout").length).toBe(2_688_895);
});

test("a binary that prints without end costs little memory", async () => {
  await using _agent = await testAgent(server, { ...PLAIN, maxLogBytes: 1024 * 1024 });
  const { url, sha256 } = script("head -c 300000000 /dev/zero | tr '\\0' 'x'; echo; echo end");
  const beforeBytes = process.memoryUsage.rss();
  const result = await server.finished(add({ url, sha256 }));
  expect(result.outcome).toBe("succeeded");
  expect(Object.assign({ stdout: "" }, result.result).stdout.slice(-5)).toBe("\nend\n");
  expect(process.memoryUsage.rss() - beforeBytes).toBeLessThan(150_000_000);
});

test("children of a binary end with it, though they ignore SIGTERM", async () => {
  await using _agent = await testAgent(server, PLAIN);
  const { url, sha256 } = script(
    'trap "" TERM; sh -c \'trap "" TERM; while :; do sleep 1; done\' & echo $!; wait',
  );
  const job = add({ url, sha256 }, { timeoutMs: 400 });
  expect(await server.finished(job)).toMatchObject({
    outcome: "failed",
    error: "time limit of 400 ms reached",
  });
  const child = Number(server.output(job, "stdout"));
  expect(child).toBeGreaterThan(0);
  await until(() => !isAlive(child), "the child is gone");
});

test("kill -9 of an agent ends its binaries, and another agent runs the job anew", async () => {
  using folder = temporaryDirectory();
  using second = temporaryDirectory();
  const { url, sha256 } = script('[ "$1" = x ] && echo $$ && exec sleep 60');
  const options = { ...PLAIN, serverUrl: server.url };
  const child = agentProcess({ ...options, stateDir: folder.path });
  const job = add({ url, sha256, args: ["x"] });
  await until(() => /^\d+\n/m.test(server.output(job, "stdout")), "it runs");
  const pid = Number(server.output(job, "stdout").trim());
  child.kill("SIGKILL");
  await child.exited;
  await until(() => !isAlive(pid), "the binary is ended");
  // The next run of the agent tells that it was cut short.
  const again = agentProcess({ ...options, stateDir: folder.path, queues: ["another"] });
  expect(await server.finished(job)).toMatchObject({ outcome: "lost" });
  again.kill("SIGKILL");
  await again.exited;
  expect(existsSync(second.path)).toBe(true);
  server.cancelReady(job);
});

test("agents that share a cache too small for their jobs run all of them", async () => {
  using small = temporaryDirectory();
  const options = { ...PLAIN, cacheDir: small.path, cacheBytes: 60_000, cpu: 4 };
  await using _first = await testAgent(server, options);
  await using _second = await testAgent(server, options);
  const binaries = Array.from({ length: 12 }, (_, at) => script(`# ${"x".repeat(10_000)}\nexit ${at}`));
  const jobs = Array.from({ length: 120 }, (_, at) => add({ ...binaries[at % 12], args: [] }));
  for (const [at, job] of jobs.entries()) {
    expect(await server.finished(job)).toMatchObject({ exitCode: at % 12 });
  }
  const sizes = [...new Bun.Glob("**/*").scanSync(small.path)].map(
    (name) => statSync(join(small.path, name)).size,
  );
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(60_000);
});

testNeeding(process.getuid?.() === 0 ? null : "only root can mount a small disk")(
  "a binary that fills the disk of its folder fails alone",
  async () => {
    using disk = temporaryDirectory();
    const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "none", disk.path]);
    if (mounted.exitCode !== 0) return;
    try {
      await using _agent = await testAgent(server, { ...PLAIN, stateDir: disk.path });
      const { url, sha256 } = script("cat /dev/zero > full 2>/dev/null; echo left; exit 9");
      const job = add({ url, sha256 });
      expect(await server.finished(job)).toMatchObject({ outcome: "failed", exitCode: 9 });
      expect(server.output(job, "stdout")).toBe("left\n");
      expect(await server.finished(server.add(["true"]))).toMatchObject({ outcome: "succeeded" });
    } finally {
      Bun.spawnSync(["umount", "-l", disk.path]);
    }
  },
);

test("the cache holds binaries by their checksums alone, for their owner to read and run", () => {
  for (const prefix of readdirSync(join(cache.path, "sha256"))) {
    for (const name of readdirSync(join(cache.path, "sha256", prefix))) {
      if (!/^[0-9a-f]{64}$/.test(name)) continue;
      const path = join(cache.path, "sha256", prefix, name);
      expect(statSync(path).mode & 0o777).toBe(0o500);
      expect(sha256(readFileSync(path))).toBe(name);
    }
  }
});
