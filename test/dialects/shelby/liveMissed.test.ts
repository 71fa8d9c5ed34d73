/** What the followers of dashboard and nodes are told of what no event says, or none that arrived. */
import { describe, expect, test } from "bun:test";
import { DashboardSource } from "../../../src/dialects/shelby/live/dashboardSource.ts";
import { HeardCounts } from "../../../src/dialects/shelby/live/heardCounts.ts";
import { DEFAULT_LIVE_LIMITS } from "../../../src/dialects/shelby/live/liveLimits.ts";
import type { NodeView } from "../../../src/dialects/shelby/live/liveViews.ts";
import { NodesSource } from "../../../src/dialects/shelby/live/nodesSource.ts";
import type { JobState } from "../../../src/domain/job.ts";
import type { EngineEvent, JobTally } from "../../../src/engine/engine.ts";
import { aJob } from "../../server/fakeEngine.ts";
import { startLive } from "./liveServer.ts";

type JobEvent = Extract<EngineEvent, { type: "job" }>;

const change = (from: JobState | null, to: JobState | null, id = 1): JobEvent => ({
  ...{ type: "job", id, key: `j${id}`, dialect: "shelby", kind: "script", queue: "shelby", projectId: null },
  ...{ from, to, attempt: 0, workerId: null, time: 0 },
});
const tallies = (counts: Partial<Record<JobState, number>>): JobTally[] =>
  Object.entries(counts).map(([state, count]) => ({
    ...{ queue: "shelby", kind: "script" as const, state: state as JobState, count },
  }));

describe("the numbers of jobs that were heard of", () => {
  test("fit what is counted, also when changes come while it is read", () => {
    const counts = new HeardCounts();
    counts.beginReading();
    expect(counts.endReading(tallies({ ready: 10 }))).toBe("fits");
    counts.hear(change("ready", "running"));
    counts.beginReading();
    counts.hear(change("ready", "running"));
    counts.hear(change("running", "succeeded"));
    // One of both in the counters, or none, or all.
    for (const read of [
      tallies({ ready: 9, running: 1 }),
      tallies({ ready: 8, running: 2 }),
      tallies({ ready: 8, running: 1, succeeded: 1 }),
    ]) {
      expect(counts.endReading(read)).toBe("fits");
      counts.forget();
      counts.beginReading();
      counts.endReading(tallies({ ready: 9, running: 1 }));
      counts.beginReading();
      counts.hear(change("ready", "running"));
      counts.hear(change("running", "succeeded"));
    }
  });

  test("do not fit when a change is missing, as three readings say", () => {
    const counts = new HeardCounts();
    const read = (counted: readonly JobTally[]) => {
      counts.beginReading();
      return counts.endReading(counted);
    };
    expect(read(tallies({ ready: 10 }))).toBe("fits");
    expect(read(tallies({ ready: 9, running: 1 }))).toBe("unsure");
    counts.hear(change("ready", "running"));
    expect(read(tallies({ ready: 9, running: 1 }))).toBe("fits");
    expect(read(tallies({ ready: 9, succeeded: 1 }))).toBe("unsure");
    expect(read(tallies({ ready: 9, succeeded: 1 }))).toBe("unsure");
    expect(read(tallies({ ready: 9, succeeded: 1 }))).toBe("missed");
    // Said once.
    expect(read(tallies({ ready: 9, succeeded: 1 }))).toBe("fits");
  });
});

describe("/ws/dashboard", () => {
  /** A dashboard over jobs that change without a word. */
  function dashboard() {
    let state: JobState = "ready";
    const job = () => aJob({ id: 1, key: "j1", dialect: "shelby", state });
    const source = new DashboardSource({
      read: {
        job: async () => job(),
        jobs: async () => ({ items: [job()], nextCursor: null, total: null }),
        tallies: async () => tallies({ [state]: 1 }),
      },
      views: { job: ({ key, state: as }) => ({ key, as }), dashboard: async () => ({ state }) },
      limits: { ...DEFAULT_LIVE_LIMITS, dashboardPauseMs: 0, hearingMs: 0 },
    });
    const set = (to: JobState) => {
      state = to;
    };
    return { source, set };
  }

  test("finds out by the counters that a change was missed, tells the jobs that it finds and begins anew", async () => {
    const { source, set } = dashboard();
    await source.snapshot();
    expect(await source.changes(false)).toEqual([]);
    set("succeeded");
    const told = [];
    for (let poll = 0; poll < 8; poll++) told.push(...(await source.changes(true)));
    expect(told.filter(({ type }) => type !== "dashboard")).toEqual([
      { type: "job", data: { key: "j1", as: "succeeded" } },
      { type: "snapshot", data: { state: "succeeded" } },
    ]);
  });

  test("does not begin anew as long as everything is heard", async () => {
    const { source, set } = dashboard();
    await source.snapshot();
    const told = [];
    for (const [from, to] of [
      ["ready", "running"],
      ["running", "succeeded"],
      ["succeeded", "ready"],
    ] as const) {
      set(to);
      source.hear([change(from, to)]);
      for (let poll = 0; poll < 4; poll++) told.push(...(await source.changes(true)));
    }
    expect(told.filter(({ type }) => type === "job").length).toBe(3);
    expect(told.filter(({ type }) => type === "snapshot")).toEqual([]);
  });

  test("begins anew when a job was deleted", async () => {
    await using server = await startLive();
    await server.submit("a", "b");
    using listener = server.listen("/ws/dashboard");
    await listener.first("snapshot");
    await server.engine.remove("a");
    const again = await listener.nth("snapshot", 2);
    expect(again.data.jobStats).toMatchObject({ total: 1 });
    expect(again.data.recentJobs.map(({ jobId }) => jobId)).toEqual(["b"]);
    expect(server.faults).toEqual([]);
  });

  test("tells that a node fell silent", async () => {
    await using server = await startLive({ nodeTimeoutMs: 1_500 });
    await server.register("n");
    using listener = server.listen("/ws/dashboard");
    expect((await listener.first("snapshot")).data.activeNodes).toBe(1);
    const silentAt = Date.now() + 1_500;
    await listener.until("its silence", (all) => all.at(-1)?.data.activeNodes === 0);
    expect(Date.now() - silentAt).toBeLessThan(3_000);
  });
});

describe("/ws/nodes", () => {
  test("tells in time that a node fell silent and that it is back", async () => {
    await using server = await startLive({ nodeTimeoutMs: 1_500 });
    await server.register("n");
    using listener = server.listen("/ws/nodes");
    await listener.first("snapshot");
    const told = async (status: string, after: number) => {
      await listener.until(status, (all) => all.slice(after).some(({ data }) => data.status === status));
      return listener.messages.length;
    };
    const silentAt = Date.now() + 1_500;
    const after = await told("inactive", 1);
    expect(Date.now() - silentAt).toBeLessThan(3_000);
    const backAt = Date.now();
    await server.engine.heartbeatWorker("n");
    await told("active", after);
    expect(Date.now() - backAt).toBeLessThan(3_000);
    expect(server.faults).toEqual([]);
  });

  /** Followed nodes that are all heard from between two looks. */
  async function heartbeats(nodes: number, looks: number, maxSeenPerSecond: number) {
    let lastSeen = 0;
    const views = {
      nodes: async (): Promise<readonly NodeView[]> =>
        Array.from({ length: nodes }, (_, n) => ({ nodeId: `n${n}`, lastSeen, lastSeenAgo: 0 })),
    };
    const source = new NodesSource(views, { ...DEFAULT_LIVE_LIMITS, maxSeenPerSecond });
    await source.snapshot();
    const rounds: string[][] = [];
    for (let look = 0; look < looks; look++) {
      lastSeen++;
      rounds.push((await source.changes()).map(({ data }) => (data as NodeView).nodeId));
    }
    return rounds;
  }

  test("tells of each heartbeat of some nodes", async () => {
    const rounds = await heartbeats(3, 4, 100);
    expect(rounds.map((round) => round.length)).toEqual([3, 3, 3, 3]);
  });

  test("tells of heartbeats of many nodes in turn, no faster than it may", async () => {
    const startedAt = performance.now();
    const told = (await heartbeats(1_000, 40, 100)).flat();
    // What was saved up, and what came since.
    expect(told.length).toBeLessThanOrEqual(500 + ((performance.now() - startedAt) / 1_000) * 100 + 1);
    expect(told.length).toBeGreaterThanOrEqual(400);
    // Nobody a second time before all had their turn.
    expect(new Set(told).size).toBe(Math.min(told.length, 1_000));
  });
});
