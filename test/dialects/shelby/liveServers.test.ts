/** Live streams of several servers on one PostgreSQL: what one does, the followers of the other hear. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Cluster } from "../../postgres/cluster.ts";
import { startLive } from "./liveServer.ts";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start();
});
afterAll(() => {
  cluster?.dispose();
});

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => `line ${from + n}`);

test("a log that is written through two servers is followed at both, whole and in order", async () => {
  const storeUrl = await cluster.newDatabase();
  await using here = await startLive({ storeUrl });
  await using there = await startLive({ storeUrl });
  await here.submit("j");
  await here.start("j");
  using atHere = here.listen("/ws/jobs/j/logs");
  using atThere = there.listen("/ws/jobs/j/logs");
  await Promise.all([atHere.first("snapshot"), atThere.first("snapshot")]);
  for (let at = 0; at < 2_000; at += 100)
    await (at % 200 === 0 ? here : there).log("j", ...numbered(at, at + 100));
  await there.finish("j");
  for (const listener of [atHere, atThere]) {
    expect((await listener.closed).code).toBe(1000);
    expect(listener.lines).toEqual(numbered(0, 2_000));
    expect(listener.messages.at(-1)?.type).toBe("end");
  }
  // A message has the same number at both, and who lost one server goes on at the other.
  const heard = atHere.messages.map(({ seq, data }) => [seq, data.line]);
  expect(atThere.messages.map(({ seq, data }) => [seq, data.line])).toEqual(heard);
  using again = there.listen(`/ws/jobs/j/logs?after=${atHere.messages[5]?.seq}`);
  await again.closed;
  expect(again.messages.map(({ seq, data }) => [seq, data.line])).toEqual(heard.slice(6));
  expect([...here.faults, ...there.faults]).toEqual([]);
});

test("who goes from server to server while several write hears every line once and in order", async () => {
  const storeUrl = await cluster.newDatabase();
  const live = { maxKeptMessages: 50, snapshotLines: 40 };
  await using here = await startLive({ storeUrl, live });
  await using there = await startLive({ storeUrl, live });
  const servers = [here, there];
  await here.submit("j");
  await here.start("j");
  using empty = here.listen("/ws/jobs/j/logs");
  const { seq: start } = await empty.first("snapshot");
  const total = 300;
  let isWritten = false;
  const writing = Promise.all(
    servers.map(async (server, writer) => {
      for (let n = 0; n < total; n++) {
        // Some calls bring several lines.
        const lines = Array.from({ length: (n % 7) + 1 }, (_, part) => `${writer} ${n} ${part}`);
        await server.log("j", lines.join("\n"));
      }
    }),
  ).then(() => {
    isWritten = true;
  });
  /** The lines from the first snapshot on. */
  const follow = async (reader: number): Promise<readonly string[]> => {
    const lines: string[] = [];
    let after: number | null = null;
    for (let round = reader; ; round++) {
      const server = servers[round % 2] ?? here;
      using listener = server.listen(`/ws/jobs/j/logs${after === null ? "" : `?after=${after}`}`);
      const isOver = () => listener.messages.at(-1)?.type === "end";
      const wanted = 1 + ((round * 37) % 150);
      await listener.until("more", (all) => isOver() || all.length >= wanted || isWritten);
      if (isWritten) await listener.closed;
      const heard = listener.messages.slice();
      expect(heard.findIndex(({ type }) => type === "snapshot")).toBe(after === null ? 0 : -1);
      for (const { seq, type, data } of heard) {
        expect(seq).toBeGreaterThan(after ?? 0);
        after = seq;
        if (type === "snapshot") lines.push(...data.logs.map(({ line }) => line));
        if (type === "log") lines.push(data.line);
        if (type === "end") return lines;
      }
      listener.socket.terminate();
    }
  };
  const readers = Array.from({ length: 8 }, (_, reader) => follow(reader));
  await writing;
  await there.finish("j");
  using whole = there.listen(`/ws/jobs/j/logs?after=${start}`);
  await whole.closed;
  const all = whole.lines;
  for (const lines of await Promise.all(readers)) expect(lines).toEqual(all.slice(-lines.length));
  for (const writer of [0, 1]) {
    const own = all.filter((line) => line.startsWith(`${writer} `));
    const written = Array.from({ length: total }, (_, n) =>
      Array.from({ length: (n % 7) + 1 }, (_, part) => `${writer} ${n} ${part}`),
    );
    expect(own).toEqual(written.flat());
  }
  expect([...here.faults, ...there.faults]).toEqual([]);
});

test("jobs and nodes that change at one server are told at the other", async () => {
  const storeUrl = await cluster.newDatabase();
  await using here = await startLive({ storeUrl, live: { dashboardPauseMs: 100 } });
  await using there = await startLive({ storeUrl, live: { dashboardPauseMs: 100 } });
  using dashboard = there.listen("/ws/dashboard");
  using nodes = there.listen("/ws/nodes");
  await Promise.all([dashboard.first("snapshot"), nodes.first("snapshot")]);
  await here.submit("j");
  await here.start("j", "n1");
  await nodes.until("the node", (all) => all.some(({ data }) => data.nodeId === "n1"));
  await here.finish("j");
  await dashboard.until("the end of the job", (all) =>
    all.some(({ type, data }) => type === "job" && data.jobId === "j" && data.status === "finished"),
  );
  await dashboard.until("the figures", (all) =>
    all.some(({ type, data }) => type === "dashboard" && data.jobStats.finished === 1),
  );
  expect([...here.faults, ...there.faults]).toEqual([]);
});

test("a thousand jobs that begin and end in one commit each are told at the other server, all of them", async () => {
  const storeUrl = await cluster.newDatabase();
  await using here = await startLive({ storeUrl });
  await using there = await startLive({ storeUrl });
  const keys = Array.from({ length: 1_000 }, (_, n) => `job-${String(n).padStart(36, "0")}`);
  using dashboard = there.listen("/ws/dashboard");
  await dashboard.first("snapshot");
  const told = (status: string) =>
    new Set(
      dashboard.messages.flatMap(({ type, data }) =>
        type === "job" && data.status === status ? [data.jobId] : [],
      ),
    ).size;
  await here.submit(...keys);
  await dashboard.until("all that are there", () => told("pending") === keys.length);
  await here.register("n1");
  const jobs = await here.engine.claim({
    ...{ workerId: "n1", queues: ["shelby"], kinds: ["script"], max: 1_000, waitMs: 0, leaseMs: null },
    capacity: { cpu: 1_000, accelerators: 0, memoryMb: 0 },
    starts: true,
  });
  expect(jobs.length).toBe(keys.length);
  await dashboard.until("all that run", () => told("assigned") === keys.length);
  await here.engine.finish({
    workerId: "n1",
    results: jobs.map(({ id, attempt }) => ({
      ...{ id, attempt, outcome: "succeeded" as const },
      ...{ exitCode: null, error: null, result: {}, startedAt: null },
    })),
  });
  await dashboard.until("all that ended", () => told("finished") === keys.length);
  // Nothing was missed: nobody had to begin anew.
  expect(dashboard.messages.filter(({ type }) => type === "snapshot").length).toBe(1);
});

test("followers begin anew when their server did not hear the others for a while", async () => {
  const storeUrl = await cluster.newDatabase();
  const database = new URL(storeUrl).pathname.slice(1);
  await using here = await startLive({ storeUrl });
  await using there = await startLive({ storeUrl });
  const keys = Array.from({ length: 300 }, (_, n) => `old-${n}`);
  await here.submit(...keys);
  using dashboard = there.listen("/ws/dashboard");
  await dashboard.first("snapshot");
  await cluster.ask(
    database,
    `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock'`,
  );
  await here.start("old-0");
  await here.finish("old-0");
  const again = await dashboard.nth("snapshot", 2);
  expect(again.data.jobStats).toMatchObject({ finished: 1, pending: 299 });
});

test("what a server that closes did last is told at the others", async () => {
  const storeUrl = await cluster.newDatabase();
  await using there = await startLive({ storeUrl });
  using dashboard = there.listen("/ws/dashboard");
  await dashboard.first("snapshot");
  {
    await using here = await startLive({ storeUrl });
    await here.submit(...Array.from({ length: 900 }, (_, n) => `last-${n}`));
  }
  await dashboard.until(
    "the last job",
    (all) => all.some(({ type, data }) => type === "job" && data.jobId === "last-0"),
    3_000,
  );
});
