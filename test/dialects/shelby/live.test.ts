/** The live streams over real sockets. */
import { describe, expect, test } from "bun:test";
import { DashboardSource } from "../../../src/dialects/shelby/live/dashboardSource.ts";
import { DEFAULT_LIVE_LIMITS } from "../../../src/dialects/shelby/live/liveLimits.ts";
import { shelbyLive } from "../../../src/dialects/shelby/live/shelbyLive.ts";
import { ShelbyViews } from "../../../src/dialects/shelby/views.ts";
import type { SocketConnection } from "../../../src/dialects/socket.ts";
import type { EngineEvent } from "../../../src/engine/engine.ts";
import { aJob, fakeEngine } from "../../server/fakeEngine.ts";
import { type Listener, startLive, type Wire } from "./liveServer.ts";

/** Numbers go up by one from message to message. */
function expectNoGaps(messages: readonly Wire[]): void {
  const [first] = messages;
  expect(messages.map(({ seq }) => seq)).toEqual(messages.map((_, n) => (first?.seq ?? 0) + n));
}

/** Numbers of a log say where its lines stand: they grow, by no fixed step. */
function expectGrowing(messages: readonly Wire[]): void {
  for (const [n, { seq }] of messages.entries()) expect(seq).toBeGreaterThan(messages[n - 1]?.seq ?? 0);
}

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => `line ${from + n}`);

describe("/ws/jobs/{job_id}/logs", () => {
  test("begins with what is there, goes on with each line, ends with the job", async () => {
    await using server = await startLive();
    await server.submit("j");
    await server.start("j");
    await server.log("j", "one", "two");
    using listener = server.listen("/ws/jobs/j/logs");
    const snapshot = await listener.first("snapshot");
    const now = Math.floor(Date.now() / 1_000);
    expect(snapshot.data).toEqual({
      jobId: "j",
      logs: [
        { line: "one", timestamp: expect.any(Number) },
        { line: "two", timestamp: expect.any(Number) },
      ],
    } as never);
    expect(Math.abs(snapshot.time - now)).toBeLessThan(5);
    await server.log("j", "three");
    const log = await listener.first("log");
    expect(Object.keys(log)).toEqual(["type", "seq", "time", "data"]);
    expect(log.data as unknown).toEqual({ line: "three", timestamp: expect.any(Number) });
    expect(Math.abs(log.data.timestamp - now)).toBeLessThan(5);
    await server.finish("j");
    const end = await listener.first("end");
    expect(end.data as unknown).toEqual({ status: "finished" });
    expect(await listener.closed).toEqual({ code: 1000, reason: "the job has ended" });
    expectGrowing(listener.messages);
    expect(listener.messages.map(({ type }) => type)).toEqual(["snapshot", "log", "end"]);
    expect(server.faults).toEqual([]);
  });

  test("of a job that has ended gives what it wrote and the end", async () => {
    await using server = await startLive();
    await server.submit("j");
    await server.start("j");
    await server.log("j", "one");
    await server.finish("j", "failed");
    for (let n = 0; n < 2; n++) {
      using listener = server.listen("/ws/jobs/j/logs");
      expect((await listener.closed).code).toBe(1000);
      expect(listener.lines).toEqual(["one"]);
      expect(listener.messages.at(-1)?.data as unknown).toEqual({ status: "failed" });
    }
  });

  test("begins with the last 1,000 lines of all attempts", async () => {
    await using server = await startLive();
    await server.submit("j");
    await server.start("j");
    await server.log("j", ...numbered(0, 1_500));
    using first = server.listen("/ws/jobs/j/logs");
    expect((await first.first("snapshot")).data.logs.map(({ line }) => line)).toEqual(numbered(500, 1_500));
    await server.finish("j", "failed");
    await first.closed;
    await server.engine.retry("j");
    await server.start("j");
    await server.log("j", "again");
    using second = server.listen("/ws/jobs/j/logs");
    const { logs } = (await second.first("snapshot")).data;
    expect(logs.map(({ line }) => line)).toEqual([...numbered(501, 1_500), "again"]);
  });

  test("goes on from attempt to attempt while it is followed", async () => {
    await using server = await startLive();
    await server.submit("j");
    await server.start("j");
    using listener = server.listen("/ws/jobs/j/logs");
    await listener.first("snapshot");
    await server.log("j", "first run");
    const { id, attempt } = await server.engine.read.job("j");
    const released = {
      outcome: "released",
      exitCode: null,
      error: null,
      result: null,
      startedAt: null,
    } as const;
    await server.engine.finish({ workerId: "node-1", results: [{ id, attempt, ...released }] });
    await server.start("j", "node-2");
    await server.log("j", "second run");
    await listener.nth("log", 2);
    expect(listener.lines).toEqual(["first run", "second run"]);
    expectGrowing(listener.messages);
  });

  test("many who come at once get the same", async () => {
    await using server = await startLive();
    await server.submit("j");
    await server.start("j");
    await server.log("j", "one");
    const listeners = Array.from({ length: 50 }, () => server.listen("/ws/jobs/j/logs"));
    await Promise.all(listeners.map((listener) => listener.first("snapshot")));
    await server.log("j", "two");
    await server.finish("j");
    await Promise.all(listeners.map((listener) => listener.closed));
    const [first] = listeners;
    for (const listener of listeners) expect(listener.messages).toEqual(first?.messages ?? []);
    expect(first?.lines).toEqual(["one", "two"]);
  });

  test("markup is data, and so is every character", async () => {
    await using server = await startLive();
    await server.submit("j");
    await server.start("j");
    const lines = ["<script>alert(1)</script>", '"}{"', "\u0000\u0007\u001b[31m", "😀 ünï\u2028x", "", "   "];
    using listener = server.listen("/ws/jobs/j/logs");
    await listener.first("snapshot");
    await server.log("j", ...lines);
    await listener.nth("log", lines.length);
    expect(listener.lines).toEqual(lines);
    using later = server.listen("/ws/jobs/j/logs");
    await later.first("snapshot");
    expect(later.lines).toEqual(lines);
  });

  test("a line in several pieces is one line; what has no end comes with the end", async () => {
    await using server = await startLive();
    await server.submit("j");
    await server.start("j");
    using listener = server.listen("/ws/jobs/j/logs");
    await listener.first("snapshot");
    const { id, attempt } = await server.engine.read.job("j");
    const chunk = (seq: number, text: string) => ({
      id,
      attempt,
      seq,
      time: Date.now(),
      stream: "stdout" as const,
      text,
    });
    const append = (...chunks: ReturnType<typeof chunk>[]) =>
      server.engine.appendLog({ workerId: "node-1", chunks });
    await append(chunk(1, "a\nb"));
    await append(chunk(2, "c"));
    await append(chunk(3, "d\r\nrest"));
    await server.finish("j");
    await listener.closed;
    expect(listener.lines).toEqual(["a", "bcd", "rest"]);
  });

  test("lines of 1 MiB arrive whole", async () => {
    await using server = await startLive();
    await server.submit("j");
    await server.start("j");
    using listener = server.listen("/ws/jobs/j/logs");
    await listener.first("snapshot");
    const line = "x".repeat(1024 * 1024);
    for (let n = 0; n < 4; n++) await server.log("j", `${n}${line}`);
    await listener.nth("log", 4);
    expect(listener.lines).toEqual([0, 1, 2, 3].map((n) => `${n}${line}`));
    // What a new reader begins with is bounded.
    using later = server.listen("/ws/jobs/j/logs");
    const { logs } = (await later.first("snapshot")).data;
    expect(logs.map((entry) => entry.line)).toEqual([1, 2, 3].map((n) => `${n}${line}`));
  });

  test.each([
    [500 * 1024, 20, 8],
    [50 * 1024, 300, 81],
    [2 * 1024 * 1024 - 1, 3, 1],
  ])("begins with as many lines of %i characters as there is room for", async (length, count, shown) => {
    await using server = await startLive();
    await server.submit("j");
    await server.start("j");
    for (let n = 0; n < count - 1; n++) await server.log("j", "x".repeat(length));
    await server.log("j", "short");
    using listener = server.listen("/ws/jobs/j/logs");
    const { logs } = (await listener.first("snapshot")).data;
    const lengths = logs.map(({ line }) => line.length);
    expect(lengths.at(-1)).toBe(5);
    expect([lengths.length - 1, new Set(lengths.slice(0, -1))]).toEqual([shown, new Set([length])]);
    // The live lines go on from there.
    await server.log("j", "more");
    expect((await listener.first("log")).data.line).toBe("more");
  });

  test("an unknown job closes with 4404, also one of another API", async () => {
    await using server = await startLive();
    const spec = { argv: ["true"] };
    await fetch(`${server.url}/v1/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ spec }),
    });
    for (const id of ["nothing", "1", "..%2f..", "%00", "%F0%28"]) {
      using listener = server.listen(`/ws/jobs/${id}/logs`);
      expect([id, (await listener.closed).code]).toEqual([id, 4404]);
      expect(listener.messages).toEqual([]);
    }
    expect(server.faults).toEqual([]);
    expect(server.errors).toEqual([]);
  });

  test("a job that is deleted closes with 4404", async () => {
    await using server = await startLive({ live: { safetyPollMs: 100 } });
    await server.submit("j");
    using listener = server.listen("/ws/jobs/j/logs");
    await listener.first("snapshot");
    await server.engine.remove("j");
    expect(await listener.closed).toEqual({ code: 4404, reason: "the job was deleted" });
  });
});

describe("coming back", () => {
  test("after a message goes on with the next, nothing twice and nothing missing", async () => {
    await using server = await startLive();
    await server.submit("j");
    await server.start("j");
    const heard: Wire[] = [];
    let after: number | null = null;
    let written = 0;
    for (let round = 0; round < 5; round++) {
      using listener: Listener = server.listen(`/ws/jobs/j/logs${after === null ? "" : `?after=${after}`}`);
      if (round > 0) await listener.until("what was written meanwhile", (messages) => messages.length >= 20);
      else await listener.first("snapshot");
      await server.log("j", ...numbered(written, written + 10));
      written += 10;
      const wanted = round === 0 ? 11 : 30;
      await listener.until("the new lines", (messages) => messages.length >= wanted);
      heard.push(...listener.messages);
      after = heard.at(-1)?.seq ?? null;
      // Cut off, without a word.
      listener.socket.terminate();
      await listener.closed;
      await server.log("j", ...numbered(written, written + 20));
      written += 20;
    }
    expectGrowing(heard);
    expect(heard.filter(({ type }) => type === "log").map(({ data }) => data.line)).toEqual(numbered(0, 130));
  });

  test("gets the end that came meanwhile, and is told once more when it has all", async () => {
    await using server = await startLive();
    await server.submit("j");
    await server.start("j");
    using first = server.listen("/ws/jobs/j/logs");
    const { seq } = await first.first("snapshot");
    first.socket.terminate();
    await first.closed;
    await server.log("j", "last words");
    await server.finish("j");
    using second = server.listen(`/ws/jobs/j/logs?after=${seq}`);
    expect((await second.closed).code).toBe(1000);
    expect(second.messages.map(({ type }) => type)).toEqual(["log", "end"]);
    using third = server.listen(`/ws/jobs/j/logs?after=${second.messages[0]?.seq}`);
    expect((await third.closed).code).toBe(1000);
    expect(third.messages.map(({ type }) => type)).toEqual(["end"]);
    // Who has the end asks whether there is more: the job could have been started again.
    using fourth = server.listen(`/ws/jobs/j/logs?after=${second.messages[1]?.seq}`);
    expect((await fourth.closed).code).toBe(1000);
    expect(fourth.messages.map(({ type }) => type)).toEqual(["snapshot", "end"]);
  });

  test("goes on exactly from a message that is no longer kept, and anew from what is none of this log's", async () => {
    await using server = await startLive({ live: { maxKeptMessages: 5 } });
    await server.submit("j");
    await server.start("j");
    using listener = server.listen("/ws/jobs/j/logs");
    const { seq } = await listener.first("snapshot");
    await server.log("j", ...numbered(0, 20));
    await listener.nth("log", 20);
    const heard = listener.messages.map((message) => message.seq);
    for (const at of [0, 3, 17, 19]) {
      using again = server.listen(`/ws/jobs/j/logs?after=${heard[at]}`);
      await again.nth("log", 20 - at);
      expect(again.messages).toEqual(listener.messages.slice(at + 1));
    }
    for (const after of [0, 7, seq + 1, seq + 1_000_000, Number.MAX_SAFE_INTEGER]) {
      using again = server.listen(`/ws/jobs/j/logs?after=${after}`);
      const snapshot = await again.first("snapshot");
      expect(snapshot.data.logs.map(({ line }) => line)).toEqual(numbered(0, 20));
      expect(snapshot.seq).toBe(heard.at(-1) ?? 0);
    }
  });

  test.each(["x", "-1", "1.5", "99999999999999999"])("?after=%s closes with 4400", async (after) => {
    await using server = await startLive();
    await server.submit("j");
    for (const path of ["/ws/jobs/j/logs", "/ws/dashboard", "/ws/nodes"]) {
      using listener = server.listen(`${path}?after=${after}`);
      const { code, reason } = await listener.closed;
      expect([path, code, reason]).toEqual([path, 4400, expect.stringContaining("after: must be the seq")]);
    }
  });
});

describe("/ws/dashboard", () => {
  test("begins with the dashboard, tells every job that changes, and the dashboard at most once a second", async () => {
    await using server = await startLive({ live: { dashboardPauseMs: 300 } });
    await server.submit("a");
    using listener = server.listen("/ws/dashboard");
    const snapshot = await listener.first("snapshot");
    expect(snapshot.data.jobStats).toMatchObject({ pending: 1, total: 1 });
    expect(snapshot.data.recentJobs.map(({ jobId }) => jobId)).toEqual(["a"]);
    await server.start("a");
    await listener.until("a runs", (all) =>
      all.some(({ type, data }) => type === "job" && data.status === "assigned"),
    );
    await server.finish("a");
    await listener.until("a is done", (all) =>
      all.some(({ type, data }) => type === "job" && data.status === "finished"),
    );
    await server.submit("b", "c");
    await listener.until("b and c", (all) =>
      ["b", "c"].every((id) => all.some(({ type, data }) => type === "job" && data.jobId === id)),
    );
    await listener.until("the dashboard", (all) =>
      all.some(
        ({ type, data }) => type === "dashboard" && data.jobStats.total === 3 && data.jobStats.finished === 1,
      ),
    );
    expectNoGaps(listener.messages);
    const told = listener.messages.filter(({ type }) => type === "dashboard");
    expect(told.length).toBeLessThan(6);
    expect(server.faults).toEqual([]);
  });

  test("tells a job with a long result whole, and once when it has to look for what changed", async () => {
    await using live = await startLive({ live: { dashboardPauseMs: 20 } });
    const metadata = { losses: Array.from({ length: 10_000 }, (_, epoch) => epoch / 7) };
    using socket = live.listen("/ws/dashboard");
    await socket.first("snapshot");
    await live.submit("long");
    await live.start("long");
    const { id, attempt } = await live.engine.read.job("long");
    const result = { modelHash: "abc", modelSizeBytes: 1, metadata, durationSeconds: 1, artifact: null };
    await live.engine.finish({
      workerId: "node-1",
      results: [{ id, attempt, outcome: "succeeded", exitCode: null, error: null, result, startedAt: null }],
    });
    const isWhole = expect.objectContaining({ jobId: "long", modelHash: "abc", metadata });
    await socket.until("the job's end", (all) =>
      all.some(({ type, data }) => type === "job" && data.status === "finished"),
    );
    expect(socket.messages.findLast(({ type }) => type === "job")?.data).toEqual(isWhole);
    await socket.until("a dashboard with it", (all) =>
      all.some(({ type, data }) => type === "dashboard" && data.jobStats.finished === 1),
    );
    const dashboard = socket.messages.findLast(({ type }) => type === "dashboard");
    expect(dashboard?.data.recentJobs).toEqual([isWhole]);

    const strays = { borrower: async () => null };
    const views = new ShelbyViews({ engine: live.engine, strays, nodeTimeoutMs: 60_000 });
    const limits = { ...DEFAULT_LIVE_LIMITS, dashboardPauseMs: 0 };
    const source = new DashboardSource({ read: live.engine.read, views, limits });
    await source.snapshot();
    const job = await live.engine.read.job(id);
    source.hear([
      {
        ...{ type: "job", id, key: job.key, dialect: "shelby", kind: "script", queue: job.queue },
        ...{ projectId: null, from: "running", to: "succeeded", attempt, workerId: null, time: 0 },
      },
    ]);
    expect(await source.changes(false)).toContainEqual({ type: "job", data: isWhole });
    source.hear([{ type: "resync" }]);
    expect(await source.changes(false)).not.toContainEqual(expect.objectContaining({ type: "job" }));
  });

  test("goes on after a lost connection with what changed meanwhile", async () => {
    await using server = await startLive();
    using first = server.listen("/ws/dashboard");
    const { seq } = await first.first("snapshot");
    first.socket.terminate();
    await first.closed;
    await server.submit("meanwhile");
    using second = server.listen(`/ws/dashboard?after=${seq}`);
    const job = await second.first("job");
    expect(job.data).toMatchObject({ jobId: "meanwhile", status: "pending" });
    expect(second.messages[0]?.seq).toBe(seq + 1);
  });

  test("does not tell of the jobs of other APIs", async () => {
    await using server = await startLive({ live: { dashboardPauseMs: 1 } });
    using listener = server.listen("/ws/dashboard");
    await listener.first("snapshot");
    await fetch(`${server.url}/v1/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ spec: { argv: ["true"] } }),
    });
    await server.submit("ours");
    await listener.first("job");
    expect(listener.messages.filter(({ type }) => type === "job").map(({ data }) => data.jobId)).toEqual([
      "ours",
    ]);
  });
});

describe("/ws/nodes", () => {
  test("begins with all nodes, then tells each that comes, changes or goes", async () => {
    await using server = await startLive({ live: { nodesPauseMs: 10 } });
    await server.register("n1", { os: "Linux" });
    using listener = server.listen("/ws/nodes");
    const snapshot = await listener.first("snapshot");
    expect(snapshot.data.count).toBe(1);
    expect(snapshot.data.nodes[0]).toMatchObject({ nodeId: "n1", status: "active", specs: { os: "Linux" } });
    await server.register("n2");
    expect((await listener.nth("node", 1)).data).toMatchObject({ nodeId: "n2", status: "active" });
    await server.register("n1", { os: "<b>BSD</b>" });
    expect((await listener.nth("node", 2)).data).toMatchObject({ nodeId: "n1", specs: { os: "<b>BSD</b>" } });
    await server.engine.deleteWorker("n2");
    const whole = await listener.nth("snapshot", 2);
    expect(whole.data.nodes.map(({ nodeId }) => nodeId)).toEqual(["n1"]);
    expectNoGaps(listener.messages);
    expect(server.faults).toEqual([]);
  });
});

test("what happened on other servers is found by looking, and told once", async () => {
  const listeners = new Set<(events: readonly EngineEvent[]) => void>();
  const changed = { at: 0 };
  const reads = { dashboards: 0, nodes: 0 };
  const job = (id: number) =>
    aJob({ id, key: `job-${id}`, dialect: "shelby", updatedAt: id === 7 ? changed.at : 0 });
  const jobs = async () => ({
    items: Array.from({ length: 10 }, (_, n) => job(n + 1)),
    nextCursor: null,
    total: null,
  });
  const engine = fakeEngine({
    read: { jobs, job: async (ref) => job(Number(ref)), tallies: async () => [] },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  });
  const nodes = [{ nodeId: "n", lastSeen: 0, lastSeenAgo: 0, status: "active" }];
  const live = shelbyLive({
    engine,
    limits: { dashboardPauseMs: 20, nodesPauseMs: 5 },
    views: {
      findJob: async () => job(1),
      job: ({ key, updatedAt }) => ({ jobId: key, updatedAt }),
      status: () => "pending",
      dashboard: async () => ({ reads: ++reads.dashboards }),
      nodes: async () => {
        reads.nodes++;
        return nodes;
      },
    },
  });
  const heard: Wire[] = [];
  const connection = (): SocketConnection => ({
    ...{ params: {}, query: new URLSearchParams(), role: "anonymous", onRoom: null, onEnd: null },
    send: (messages) => {
      heard.push(...messages.map((text) => JSON.parse(text)));
      return messages.length;
    },
    close: () => {},
  });
  const until = async (what: string, isSo: () => boolean) => {
    const deadline = Date.now() + 10_000;
    while (!isSo()) {
      if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
      await Bun.sleep(2);
    }
  };
  for (const { path, open } of live.sockets) if (path !== "/ws/jobs/{job_id}/logs") await open(connection());
  await until("both snapshots", () => heard.filter(({ type }) => type === "snapshot").length === 2);
  const publish = () => {
    for (const listener of listeners) listener([{ type: "resync" }]);
  };
  changed.at = 1;
  nodes[0] = { nodeId: "n", lastSeen: 0, lastSeenAgo: 0, status: "inactive" };
  publish();
  await until("job and node", () =>
    ["job", "node"].every((type) => heard.some((message) => message.type === type)),
  );
  for (let n = 0; n < 100; n++) {
    publish();
    await Bun.sleep(1);
  }
  expect(heard.filter(({ type }) => type === "job").map(({ data }) => data.jobId)).toEqual(["job-7"]);
  expect(heard.filter(({ type }) => type === "node").length).toBe(1);
  live.close();
});
