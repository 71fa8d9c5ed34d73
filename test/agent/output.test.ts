import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { TailRing } from "../../src/agent/tailRing.ts";
import { boundaryFrom, unfinishedLength } from "../../src/agent/utf8.ts";
import { testNeeding } from "../testNeeding.ts";
import { FakeServer } from "./fakeServer.ts";
import { agentProcess, temporaryDirectory, testAgent } from "./testAgent.ts";
import { until } from "./until.ts";

const sh = (script: string): string[] => ["sh", "-c", script];

test("text is never cut inside a character", () => {
  const bytes = new TextEncoder().encode("a€😀é");
  for (let cut = 0; cut <= bytes.length; cut++) {
    const head = bytes.subarray(0, cut);
    const whole = head.subarray(0, head.length - unfinishedLength(head));
    expect(new TextDecoder().decode(whole)).not.toContain("\ufffd");
    expect(new TextDecoder().decode(bytes.subarray(boundaryFrom(bytes, cut)))).not.toContain("\ufffd");
  }
  expect(unfinishedLength(new Uint8Array([0x80, 0x80, 0x80, 0x80]))).toBe(0);
  expect(unfinishedLength(new Uint8Array([0xff]))).toBe(0);
});

test("a ring keeps exactly the last bytes", () => {
  const ring = new TailRing(100_000);
  let all = "";
  for (let i = 0; i < 20_000; i++) {
    const line = `${i}\n`.repeat(1 + (i % 3));
    all += line;
    ring.push("stdout", new TextEncoder().encode(line), "");
  }
  const [block, ...more] = ring.drain();
  expect(more).toEqual([]);
  expect(new TextDecoder().decode(block?.bytes)).toBe(all.slice(-100_000));
  expect(ring.droppedBytes).toBe(all.length - 100_000);
});

test("characters that arrive in pieces come out whole", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server);
  const job = server.add(
    sh("for b in '\\342' '\\202' '\\254' '\\360' '\\237' '\\230' '\\200'; do printf $b; sleep 0.03; done"),
  );
  await server.finished(job);
  expect(server.output(job)).toBe("€😀");
});

test("bytes that are no text become replacement characters, and nothing breaks", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server);
  const job = server.add(sh("printf 'a\\377\\376b\\0c\\342'; head -c 300000 /dev/urandom"));
  expect(await server.finished(job)).toMatchObject({ outcome: "succeeded" });
  expect(server.output(job).startsWith("a\ufffd\ufffdb\0c")).toBe(true);
});

test("output over the cap is cut in the middle, with a marker, at the byte", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server, { maxLogBytes: 200_000, logTailBytes: 50_000 });
  const job = server.add(sh("seq 1 200000; echo last >&2"));
  expect(await server.finished(job)).toMatchObject({ outcome: "succeeded" });
  const all = Array.from({ length: 200_000 }, (_, i) => `${i + 1}\n`).join("");
  const output = server.output(job, "stdout");
  expect(output.startsWith(all.slice(0, 150_000))).toBe(true);
  expect(all.endsWith(output.slice(150_000))).toBe(true);
  expect(output.length + "last\n".length).toBe(200_000);
  expect(server.output(job, "stderr")).toBe("last\n");
  const left = all.length + "last\n".length - 200_000;
  expect(server.output(job, "system")).toBe(`[yardmaster: ${left} bytes of output left out here]\n`);
});

test("output at the cap is whole", async () => {
  await using server = new FakeServer();
  await using _ = await testAgent(server, { maxLogBytes: 100_000, logTailBytes: 50_000 });
  const job = server.add(sh("head -c 100000 /dev/zero | tr '\\0' x"));
  await server.finished(job);
  expect(server.output(job)).toBe("x".repeat(100_000));
});

test("output waits on disk while the server does not take it, and arrives whole", async () => {
  await using server = new FakeServer();
  server.refusing.add("/v1/logs");
  await using test = await testAgent(server, { maxBufferedLogBytes: 100_000 });
  const job = server.add(sh("seq 1 300000"));
  const spool = join(test.stateDir, "spool");
  await until(() => readdirSync(spool).length === 1, "output is on disk");
  expect(job.results).toEqual([]);
  server.refusing.clear();
  await server.finished(job);
  expect(server.output(job)).toBe(Array.from({ length: 300_000 }, (_, i) => `${i + 1}\n`).join(""));
  await until(() => readdirSync(spool).length === 0, "the spool is empty");
});

test("a spool that is full costs the middle of the output, not the job", async () => {
  await using server = new FakeServer();
  server.refusing.add("/v1/logs");
  await using test = await testAgent(server, {
    maxBufferedLogBytes: 100_000,
    maxSpoolBytes: 300_000,
    maxLogBytes: 5_000_000,
    logTailBytes: 50_000,
  });
  const job = server.add(sh("seq 1 300000"));
  await until(
    () => test.log.lines.some((line) => line.includes("cannot keep output on disk")),
    "the agent says so",
  );
  server.refusing.clear();
  expect(await server.finished(job)).toMatchObject({ outcome: "succeeded" });
  expect(server.output(job, "system")).toContain("bytes of output left out here");
  expect(server.output(job).startsWith("1\n2\n3\n")).toBe(true);
  expect(server.output(job).endsWith("299999\n300000\n")).toBe(true);
});

test("the first output of a fresh job is at the server within tens of milliseconds", async () => {
  await using server = new FakeServer();
  await using test = await testAgent(server);
  await test.agent.registered;
  await until(() => server.claims.length > 0, "the agent polls");
  const before = performance.now();
  const job = server.add(sh("echo hello; sleep 1"));
  await until(() => job.firstOutputMs !== null, "the first output");
  expect((job.firstOutputMs ?? 0) - before).toBeLessThan(150);
});

testNeeding(existsSync("/proc/self/status") ? null : "there is no /proc")(
  "a gibibyte of output, long lines and binary leave the agent small",
  async () => {
    await using server = new FakeServer();
    using directory = temporaryDirectory();
    const agent = agentProcess({
      serverUrl: server.url,
      stateDir: directory.path,
      cpu: 3,
      maxLogBytes: 8 * 1024 * 1024,
    });
    try {
      const jobs = [
        server.add(sh("head -c 1073741824 /dev/zero | tr '\\0' y")),
        server.add(sh("head -c 10485760 /dev/zero | tr '\\0' x; echo")),
        server.add(sh("head -c 20000000 /dev/urandom")),
      ];
      for (const job of jobs) expect(await server.finished(job)).toMatchObject({ outcome: "succeeded" });
      expect(server.output(jobs[0] ?? server.add([]), "system")).toContain(
        "1065353216 bytes of output left out",
      );
      const status = await Bun.file(`/proc/${agent.pid}/status`).text();
      const peakMb = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
      expect(peakMb).toBeLessThan(300);
    } finally {
      agent.kill("SIGKILL");
      await agent.exited;
    }
  },
  30_000,
);
