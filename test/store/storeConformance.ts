/**
 * What every store must do, written once. A store's own test file calls this with a way to open one.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Job } from "../../src/domain/job.ts";
import type { Shape } from "../../src/domain/shape.ts";
import type {
  JobInsert,
  JobUpdate,
  MentionPart,
  MentionPlace,
  Store,
  StoreReads,
  Transaction,
} from "../../src/store/store.ts";

export interface OpenStore {
  readonly store: Store;
  readonly reads: StoreReads;
  /** Opens the same data once more beside this one, as another server would; absent where only one may. */
  beside?(): Promise<OpenStore>;
  /** Closes it and opens the same data again, as a restarted server would. */
  reopen(): Promise<OpenStore>;
  /** Closes it and removes the data. */
  dispose(): Promise<void>;
}

const SHAPE: Shape = {
  queue: "default",
  kind: "command",
  resources: { cpu: 1, accelerators: 0, memoryMb: 0 },
  requires: {},
};

export function describeStore(name: string, open: () => Promise<OpenStore>): void {
  describe(`${name} as a store`, () => {
    let opened: OpenStore;
    beforeEach(async () => {
      opened = await open();
    });
    afterEach(async () => {
      await opened.dispose();
    });
    const commit = <T>(work: (tx: Transaction) => Promise<T>) => opened.store.transaction(work);

    /** Inserts jobs with these details and returns their ids. */
    async function insert(
      tx: Transaction,
      details: readonly Partial<JobInsert & { shape: Shape }>[],
    ): Promise<number[]> {
      const firstId = await tx.nextJobIds(details.length);
      const shapeIds = await tx.internShapes(details.map((detail) => detail.shape ?? SHAPE));
      const rows = details.map(({ shape: _, ...detail }, index): JobInsert => {
        const id = firstId + index;
        return {
          id,
          key: `key-${id}`,
          dialect: "yardmaster",
          shapeId: shapeIds[index] ?? 0,
          name: `job ${id}`,
          projectId: null,
          taskId: null,
          spec: { argv: ["true"] },
          priority: 0,
          labels: {},
          dependsOn: [],
          maxAttempts: 1,
          maxRecoveries: 0,
          timeoutMs: null,
          backoffMs: null,
          runAt: null,
          state: "ready",
          unmet: 0,
          doomed: 0,
          createdAt: 1_000,
          readyAt: 1_000,
          ...detail,
        };
      });
      await tx.insertJobs(rows);
      return rows.map((row) => row.id);
    }

    async function update(
      tx: Transaction,
      id: number,
      change: Partial<JobUpdate["control"]>,
      result?: Job["result"],
    ) {
      const [control] = await tx.loadControls([id]);
      if (control === undefined) throw new Error(`no job ${id}`);
      const from = control.state;
      Object.assign(control, change);
      const events =
        from === control.state
          ? []
          : [{ time: 2_000, from, to: control.state, attempt: control.attempt, reason: 'a test, "said"\n' }];
      await tx.updateJobs([result === undefined ? { control, events } : { control, events, result }]);
    }

    describe("jobs", () => {
      test("come back as they were put in", async () => {
        const [first, second] = await commit((tx) =>
          insert(tx, [
            {
              key: "own",
              name: "näme \u0001 ✓",
              spec: {
                argv: ["a", "\ud83d\ude00", ""],
                env: { A: "1" },
                deep: { list: [1, null, true, "x"] },
              },
              labels: { team: "ml", "a b": "c:d" },
              priority: -7,
              projectId: null,
              timeoutMs: 5_000,
              runAt: 9_000_000_000_000,
              state: "waiting",
              readyAt: null,
              shape: {
                ...SHAPE,
                queue: "gpu",
                resources: { cpu: 4, accelerators: 2, memoryMb: 512 },
                requires: { zone: "a" },
              },
            },
            { key: null, dependsOn: [1], unmet: 1, state: "waiting", readyAt: null },
          ]),
        );
        const job = await opened.reads.findJob("own");
        expect(await opened.reads.findJob("own", "yardmaster")).toEqual(job);
        expect(await opened.reads.findJob("own", "executr")).toBeNull();
        expect(await opened.reads.findJob(first as number, "executr")).toBeNull();
        expect(job).toEqual({
          id: first as number,
          key: "own",
          dialect: "yardmaster",
          kind: "command",
          queue: "gpu",
          name: "näme \u0001 ✓",
          projectId: null,
          taskId: null,
          spec: { argv: ["a", "\ud83d\ude00", ""], env: { A: "1" }, deep: { list: [1, null, true, "x"] } },
          priority: -7,
          resources: { cpu: 4, accelerators: 2, memoryMb: 512 },
          labels: { team: "ml", "a b": "c:d" },
          requires: { zone: "a" },
          dependsOn: [],
          maxAttempts: 1,
          maxRecoveries: 0,
          timeoutMs: 5_000,
          runAt: 9_000_000_000_000,
          state: "waiting",
          attempt: 0,
          progress: null,
          result: null,
          exitCode: null,
          error: null,
          workerId: null,
          createdAt: 1_000,
          readyAt: null,
          leasedAt: null,
          startedAt: null,
          finishedAt: null,
          updatedAt: 1_000,
        });
        const keyless = await opened.reads.findJob(second as number);
        expect(keyless?.key).toBe(String(second));
        expect(keyless?.dependsOn).toEqual([1]);
        expect(await commit(async (tx) => tx.loadJobs([second as number, 999, first as number]))).toEqual([
          keyless as Job,
          job as Job,
        ]);
      });

      test("are read whole and with their record in one go, as they are read apart", async () => {
        await commit((tx) =>
          insert(tx, [{ labels: { a: "b" } }, { dependsOn: [1], unmet: 1, state: "waiting", readyAt: null }]),
        );
        await commit((tx) => update(tx, 1, { state: "leased", workerId: "w", attempt: 1 }));
        await commit(async (tx) => {
          const both = await tx.loadBoth([2, 77, 1]);
          expect(both.map(({ job }) => job)).toEqual([...(await tx.loadJobs([2, 1]))]);
          expect(both.map(({ control }) => control)).toEqual([...(await tx.loadControls([2, 1]))]);
        });
      });

      test("are found by id and by key, in a dialect or in any", async () => {
        await commit((tx) => insert(tx, [{ key: "a" }, { key: "a", dialect: "executr" }]));
        const found = await commit(async (tx) =>
          tx.findJobs([
            { dialect: null, ref: 1 },
            { dialect: "executr", ref: "a" },
            { dialect: "yardmaster", ref: "a" },
            { dialect: "executr", ref: 1 },
            { dialect: null, ref: "b" },
            { dialect: null, ref: 77 },
          ]),
        );
        expect(found).toEqual([1, 2, 1, null, null, null]);
      });

      test("refuse a key that is taken in their dialect", async () => {
        await commit((tx) => insert(tx, [{ key: "a" }]));
        await expect(commit((tx) => insert(tx, [{ key: "a" }]))).rejects.toThrow();
        expect(
          (await opened.reads.listJobs({}, { order: "oldest", limit: 10, cursor: null })).items,
        ).toHaveLength(1);
      });

      test("are written back whole, with their history", async () => {
        await commit((tx) => insert(tx, [{}]));
        const change = {
          state: "leased",
          priority: 3,
          attempt: 2,
          spent: 1,
          recoveries: 1,
          unmet: 1,
          doomed: 1,
          runAt: 5,
          workerId: "w",
          leaseMs: 7,
          leasedAt: 8,
          startedAt: 9,
          finishedAt: 10,
          readyAt: 11,
          updatedAt: 12,
          progress: 0.25,
          exitCode: -1,
          error: "e",
        } as const;
        await commit((tx) => update(tx, 1, change, { metrics: [1, 2] }));
        const [control] = await commit(async (tx) => tx.loadControls([1, 2]));
        expect(control).toMatchObject(change);
        expect((await opened.reads.findJob(1))?.result).toEqual({ metrics: [1, 2] });
        await commit((tx) => update(tx, 1, { state: "succeeded" }));
        expect((await opened.reads.findJob(1))?.result).toEqual({ metrics: [1, 2] });
        expect(await opened.reads.events(1)).toEqual([
          { seq: 1, time: 1_000, from: null, to: "ready", attempt: 0, reason: "submitted" },
          { seq: 2, time: 2_000, from: "ready", to: "leased", attempt: 2, reason: 'a test, "said"\n' },
          { seq: 3, time: 2_000, from: "leased", to: "succeeded", attempt: 2, reason: 'a test, "said"\n' },
        ]);
      });

      test("never share an id, also after the last was deleted and the store opened again", async () => {
        await commit((tx) => insert(tx, [{}, {}, {}]));
        await commit(async (tx) => tx.deleteJobs([2, 3]));
        opened = await opened.reopen();
        expect(await commit((tx) => insert(tx, [{}]))).toEqual([4]);
      });

      test("go with everything that is theirs, and leave the edges that point to them", async () => {
        await commit(async (tx) => {
          await insert(tx, [{}, { dependsOn: [1], state: "waiting", unmet: 1 }]);
          await tx.insertLogChunks([{ jobId: 1, attempt: 1, seq: 1, time: 1, stream: "stdout", text: "x" }]);
          await tx.insertAttempts([
            {
              jobId: 1,
              number: 1,
              workerId: "w",
              workerAddress: null,
              startedAt: 1,
              endedAt: 2,
              outcome: "failed",
              exitCode: 1,
              error: "x",
            },
          ]);
        });
        await commit(async (tx) => tx.deleteJobs([1]));
        expect(await opened.reads.findJob(1)).toBeNull();
        expect(await opened.reads.attempts(1)).toEqual([]);
        expect(await commit(async (tx) => tx.attemptsOf([1]))).toEqual([]);
        expect((await opened.reads.findJob(2))?.dependsOn).toEqual([1]);
        expect(await opened.reads.dependencies(2)).toEqual([]);
      });
    });

    describe("a transaction", () => {
      test("that throws leaves nothing, in the store or in what it keeps in memory", async () => {
        await commit((tx) => insert(tx, [{}]));
        const failing = commit(async (tx) => {
          await insert(tx, [{ shape: { ...SHAPE, queue: "new" } }]);
          await update(tx, 1, { state: "leased", workerId: "w" });
          await tx.putLeases([{ jobId: 1, workerId: "w", attempt: 1, expiresAt: 5, deadlineAt: null }]);
          await tx.addTallies([
            {
              dialect: "yardmaster",
              queue: "q",
              kind: "command",
              projectId: null,
              state: "ready",
              change: 1,
            },
          ]);
          throw new Error("no");
        });
        await expect(failing).rejects.toThrow("no");
        expect((await opened.reads.findJob(1))?.state).toBe("ready");
        expect(await opened.reads.findJob(2)).toBeNull();
        expect(await opened.reads.tallies()).toEqual([]);
        await commit(async (tx) => {
          expect(await tx.overdueLeases(10, 10)).toEqual([]);
          expect(await tx.heldJobs(["w"], 9)).toEqual([{ workerId: "w", count: 0, jobIds: [] }]);
          const shapes = await tx.readyShapes();
          expect(shapes.map((shape) => shape.queue)).toEqual(["default"]);
          expect(await tx.readyHeads(shapes[0]?.shapeId ?? 0, null, 10)).toEqual([{ id: 1, priority: 0 }]);
          // The name that the failed one gave to its shape is not there: it is given anew.
          const [id] = await tx.internShapes([{ ...SHAPE, queue: "new" }]);
          expect((await tx.shapes([id ?? 0]))[0]?.queue).toBe("new");
        });
      });

      test("runs alone: of two that read and write the same, one comes after the other", async () => {
        await commit((tx) => insert(tx, [{}]));
        const raise = () =>
          commit(async (tx) => {
            const [job] = await tx.loadControls([1]);
            const priority = (job?.priority ?? 0) + 1;
            await new Promise((resolve) => setImmediate(resolve));
            await update(tx, 1, { priority });
          });
        await Promise.all(Array.from({ length: 10 }, raise));
        expect((await opened.reads.findJob(1))?.priority).toBe(10);
      });
    });

    describe("ready lines", () => {
      test("give the jobs of a shape by priority, then age, page after page", async () => {
        await commit((tx) =>
          insert(
            tx,
            [0, 5, -1, 5, 0, 0].map((priority) => ({ priority })),
          ),
        );
        await commit(async (tx) => {
          const [shape] = await tx.readyShapes();
          const shapeId = shape?.shapeId ?? 0;
          const order = [2, 4, 1, 5, 6, 3];
          expect((await tx.readyHeads(shapeId, null, 10)).map((head) => head.id)).toEqual(order);
          const first = await tx.readyHeads(shapeId, null, 3);
          const second = await tx.readyHeads(shapeId, first.at(-1) ?? null, 3);
          expect([...first, ...second].map((head) => head.id)).toEqual(order);
          expect(await tx.readyHeads(shapeId, second.at(-1) ?? null, 3)).toEqual([]);
        });
      });

      test("hold jobs only while they are ready, and name only shapes that have some", async () => {
        const other = { ...SHAPE, queue: "other" };
        await commit((tx) =>
          insert(tx, [
            {},
            { shape: other },
            { state: "waiting", readyAt: null, shape: { ...SHAPE, queue: "idle" } },
          ]),
        );
        const queues = () =>
          commit(async (tx) => (await tx.readyShapes()).map((shape) => shape.queue).sort());
        expect(await queues()).toEqual(["default", "other"]);
        await commit((tx) => update(tx, 2, { state: "leased" }));
        expect(await queues()).toEqual(["default"]);
        await commit((tx) => update(tx, 2, { state: "ready" }));
        await commit(async (tx) => tx.deleteJobs([1]));
        expect(await queues()).toEqual(["other"]);
        opened = await opened.reopen();
        expect(await queues()).toEqual(["other"]);
      });
    });

    describe("leases", () => {
      test("are granted, renewed, dropped and found when they are over", async () => {
        const lease = { workerId: "w", attempt: 1, deadlineAt: null };
        await commit((tx) => insert(tx, [{}, {}, {}]));
        await commit(async (tx) => {
          for (const id of [1, 2, 3])
            await update(tx, id, { state: "leased", workerId: "w", attempt: 1, leaseMs: 10 });
          await tx.putLeases([
            { ...lease, jobId: 1, expiresAt: 100 },
            { ...lease, jobId: 2, expiresAt: 200 },
            { ...lease, jobId: 3, expiresAt: 900, deadlineAt: 150 },
          ]);
        });
        await commit(async (tx) => {
          expect((await tx.overdueLeases(99, 10)).map((one) => one.jobId)).toEqual([]);
          expect((await tx.overdueLeases(100, 10)).map((one) => one.jobId)).toEqual([1]);
          expect((await tx.overdueLeases(300, 10)).map((one) => one.jobId).sort()).toEqual([1, 2, 3]);
          expect(await tx.overdueLeases(300, 2)).toHaveLength(2);
          expect(await tx.heldJobs(["w", "x"], 9)).toEqual([
            { workerId: "w", count: 3, jobIds: [1, 2, 3] },
            { workerId: "x", count: 0, jobIds: [] },
          ]);
          expect((await tx.heldJobs(["w"], 2))[0]).toMatchObject({ count: 3, jobIds: { length: 2 } });
          await tx.putLeases([{ ...lease, jobId: 1, expiresAt: 500 }]);
          await tx.dropLeases([2, 77]);
          await update(tx, 2, { state: "ready" });
          expect((await tx.overdueLeases(499, 10)).map((one) => one.jobId)).toEqual([3]);
          expect((await tx.leases([1, 2]))[0]?.expiresAt).toBe(500);
          expect((await tx.heldJobs(["w"], 9))[0]?.jobIds).toEqual([1, 3]);
        });
      });

      test("may all be made to last, with their deadlines", async () => {
        const lease = { workerId: "w", attempt: 1 };
        await commit((tx) => insert(tx, [{}, {}]));
        await commit(async (tx) => {
          for (const id of [1, 2])
            await update(tx, id, { state: "leased", workerId: "w", attempt: 1, leaseMs: 10 });
          await tx.putLeases([
            { ...lease, jobId: 1, expiresAt: 100, deadlineAt: 150 },
            { ...lease, jobId: 2, expiresAt: 900, deadlineAt: null },
          ]);
          await tx.graceLeases(500);
        });
        await commit(async (tx) => {
          expect(await tx.overdueLeases(499, 10)).toEqual([]);
          expect((await tx.overdueLeases(500, 10)).map((one) => one.jobId)).toEqual([1]);
          expect((await tx.overdueLeases(899, 10)).map((one) => one.jobId)).toEqual([1]);
        });
      });

      test("are told of as missing after a restart that lost them, and only then", async () => {
        await commit((tx) => insert(tx, [{}, {}]));
        await commit(async (tx) => {
          await update(tx, 1, { state: "running", workerId: "w", attempt: 1 });
          await tx.putLeases([
            { jobId: 1, workerId: "w", attempt: 1, expiresAt: 9_999_999_999_999, deadlineAt: null },
          ]);
        });
        expect(await commit(async (tx) => tx.unleasedJobs(10))).toEqual([]);
        opened = await opened.reopen();
        const missing = await commit(async (tx) => tx.unleasedJobs(10));
        const kept = await commit(async (tx) => tx.leases([1]));
        expect([...missing, ...kept.map((lease) => lease.jobId)]).toEqual([1]);
      });
    });

    describe("schedules and retention", () => {
      test("name the jobs whose time has come, soonest first", async () => {
        const waiting = { state: "waiting", readyAt: null } as const;
        await commit((tx) =>
          insert(tx, [
            { ...waiting, runAt: 300 },
            { ...waiting, runAt: 100 },
            { ...waiting, runAt: 50, unmet: 1 },
            { ...waiting, unmet: 1 },
            {},
          ]),
        );
        await commit(async (tx) => {
          expect(await tx.nextDueAt()).toBe(100);
          expect(await tx.dueJobs(99, 10)).toEqual([]);
          expect(await tx.dueJobs(300, 10)).toEqual([2, 1]);
          expect(await tx.dueJobs(300, 1)).toEqual([2]);
        });
      });

      test("name the jobs that ended before a time, by final state", async () => {
        await commit((tx) => insert(tx, [{}, {}, {}]));
        await commit(async (tx) => {
          await update(tx, 1, { state: "succeeded", finishedAt: 200 });
          await update(tx, 2, { state: "succeeded", finishedAt: 100 });
          await update(tx, 3, { state: "failed", finishedAt: 100 });
          expect(await tx.finishedBefore("succeeded", 201, 10)).toEqual([2, 1]);
          expect(await tx.finishedBefore("succeeded", 200, 10)).toEqual([2]);
          expect(await tx.finishedBefore("failed", 200, 10)).toEqual([3]);
        });
      });

      test("give jobs that ended with their records, to be changed or deleted in the same commit", async () => {
        await commit((tx) => insert(tx, [{}, {}, {}]));
        await commit(async (tx) => {
          for (const id of [1, 2]) await update(tx, id, { state: "cancelled", finishedAt: 100 });
          await update(tx, 3, { state: "failed", finishedAt: 100 });
        });
        await commit(async (tx) => {
          const found = await tx.finishedBefore("cancelled", 200, 10);
          expect(found).toEqual([1, 2]);
          const records = await tx.loadControls(found);
          expect(records.map(({ id, state, finishedAt }) => ({ id, state, finishedAt }))).toEqual(
            found.map((id) => ({ id, state: "cancelled", finishedAt: 100 })),
          );
          await update(tx, 1, { state: "ready", finishedAt: null, readyAt: 300 });
          expect((await tx.loadControls([1]))[0]).toMatchObject({ state: "ready", finishedAt: null });
          await tx.deleteJobs([2]);
          expect(await tx.finishedBefore("cancelled", 200, 10)).toEqual([]);
        });
        await commit(async (tx) => {
          expect((await tx.loadControls([1, 2, 3])).map(({ id, state }) => [id, state])).toEqual([
            [1, "ready"],
            [3, "failed"],
          ]);
          expect(await tx.finishedBefore("cancelled", 200, 10)).toEqual([]);
          expect(await tx.finishedBefore("failed", 200, 10)).toEqual([3]);
        });
      });

      test("name more jobs that ended than one answer holds, oldest first, until none is left", async () => {
        const ids = await commit((tx) =>
          insert(
            tx,
            Array.from({ length: 250 }, () => ({})),
          ),
        );
        await commit(async (tx) => {
          for (const id of ids) await update(tx, id, { state: "succeeded", finishedAt: 1_000 - id });
        });
        const gone: number[] = [];
        for (let left = ids.length; left > 0; left -= 100) {
          await commit(async (tx) => {
            const found = await tx.finishedBefore("succeeded", 1_000, 100);
            await tx.deleteJobs(found);
            gone.push(...found);
          });
        }
        expect(gone).toEqual(ids.toReversed());
        expect(await commit(async (tx) => tx.finishedBefore("succeeded", 1_000, 100))).toEqual([]);
      });

      test("forget idempotency keys past their age", async () => {
        await commit(async (tx) => {
          await tx.insertIdempotencies([
            { key: "old", fingerprint: "f", jobIds: [1, 2], createdAt: 10 },
            { key: "new", fingerprint: "g", jobIds: [3], createdAt: 20 },
          ]);
        });
        expect(await commit(async (tx) => tx.findIdempotencies(["old", "unknown"]))).toEqual([
          { key: "old", fingerprint: "f", jobIds: [1, 2] },
        ]);
        await commit(async (tx) => tx.pruneIdempotency(20, 10));
        expect(await commit(async (tx) => tx.findIdempotencies(["old"]))).toEqual([]);
        expect(await commit(async (tx) => tx.findIdempotencies(["old", "new"]))).toHaveLength(1);
      });
    });

    describe("dependencies", () => {
      test("name the jobs that depend directly, also on several", async () => {
        await commit((tx) =>
          insert(tx, [
            {},
            {},
            { dependsOn: [1, 2], unmet: 2, state: "waiting" },
            { dependsOn: [3], unmet: 1, state: "waiting" },
          ]),
        );
        const edges = await commit(async (tx) => tx.dependents([1, 2, 4]));
        expect([...edges].sort((a, b) => a.dependsOn - b.dependsOn)).toEqual([
          { jobId: 3, dependsOn: 1 },
          { jobId: 3, dependsOn: 2 },
        ]);
        expect(
          (await opened.reads.dependencies(3)).map(({ id, name, state }) => ({ id, name, state })),
        ).toEqual([
          { id: 1, name: "job 1", state: "ready" },
          { id: 2, name: "job 2", state: "ready" },
        ]);
      });
    });

    describe("logs", () => {
      const chunk = (attempt: number, seq: number, text: string, stream: "stdout" | "stderr" = "stdout") => ({
        jobId: 1,
        attempt,
        seq,
        time: seq,
        stream,
        text,
      });
      const all: Parameters<StoreReads["logChunks"]>[1] = {
        fromAttempt: 1,
        toAttempt: 9,
        stream: null,
        after: { attempt: 0, seq: 0 },
        maxBytes: 1_000_000,
      };

      test("keep a chunk once, in order of attempt and seq, whatever characters it holds", async () => {
        const strange = "a\u0000b\ufffd\n\ud83d\ude00";
        expect(
          await commit(async (tx) =>
            tx.insertLogChunks([chunk(1, 2, "two"), chunk(1, 1, strange), chunk(2, 1, "later")]),
          ),
        ).toBe(3);
        expect(
          await commit(async (tx) =>
            tx.insertLogChunks([chunk(1, 2, "again"), chunk(1, 3, "err", "stderr")]),
          ),
        ).toBe(1);
        const page = await opened.reads.logChunks(1, all);
        expect(page.items.map((item) => [item.attempt, item.seq, item.stream, item.text])).toEqual([
          [1, 1, "stdout", strange],
          [1, 2, "stdout", "two"],
          [1, 3, "stderr", "err"],
          [2, 1, "stdout", "later"],
        ]);
        expect(page.isEnd).toBe(true);
      });

      test("are read by attempt, by stream, from a place on, and in pages", async () => {
        await commit(async (tx) =>
          tx.insertLogChunks([
            chunk(1, 1, "aaaa"),
            chunk(1, 2, "bbbb", "stderr"),
            chunk(1, 3, "cccc"),
            chunk(2, 1, "dddd"),
          ]),
        );
        const texts = async (query: Partial<typeof all>) =>
          (await opened.reads.logChunks(1, { ...all, ...query })).items.map((item) => item.text);
        expect(await texts({ toAttempt: 1 })).toEqual(["aaaa", "bbbb", "cccc"]);
        expect(await texts({ fromAttempt: 2 })).toEqual(["dddd"]);
        expect(await texts({ stream: "stderr" })).toEqual(["bbbb"]);
        expect(await texts({ after: { attempt: 1, seq: 2 } })).toEqual(["cccc", "dddd"]);
        expect(await texts({ maxBytes: 8 })).toEqual(["aaaa", "bbbb"]);
        expect(await texts({ maxBytes: 1 })).toEqual(["aaaa"]);
        expect((await opened.reads.logChunks(1, { ...all, maxBytes: 8 })).isEnd).toBe(false);
        // Readers may ask for what follows a place that no chunk ever had.
        expect(await texts({ after: { attempt: 1, seq: 2 ** 32 - 1 } })).toEqual(
          await texts({ after: { attempt: 1, seq: 2 ** 31 - 1 } }),
        );
      });

      test("tell where their last lines begin, across chunks", async () => {
        await commit(async (tx) =>
          tx.insertLogChunks([chunk(1, 1, "one\ntw"), chunk(1, 2, "o\nthree\n"), chunk(1, 3, "four")]),
        );
        const tail = (lines: number) => opened.reads.logTail(1, 1, null, lines);
        expect(await tail(1)).toEqual({ seq: 2, skipCharacters: 8 });
        expect(await tail(2)).toEqual({ seq: 2, skipCharacters: 2 });
        expect(await tail(3)).toEqual({ seq: 1, skipCharacters: 4 });
        expect(await tail(4)).toBeNull();
      });
    });

    describe("records and documents", () => {
      test("are kept with their jobs, read in order by kind, and go with them", async () => {
        const record = { attempt: 1, time: 5 };
        await commit(async (tx) => {
          await insert(tx, [{}, {}]);
          await tx.insertRecords([
            { ...record, jobId: 1, kind: "usage", data: { n: 1 } },
            { ...record, jobId: 2, kind: "usage", data: { n: 2 } },
            { ...record, jobId: 1, kind: "provenance", data: { text: "é", list: [1, null] } },
            { ...record, jobId: 1, kind: "usage", data: { n: 3 }, attempt: 2 },
          ]);
        });
        const read = async (kind: string | null, order: "oldest" | "newest", limit = 10) =>
          (await opened.reads.records(1, { kind, order, limit })).map(({ data }) => data);
        expect(await read("usage", "oldest")).toEqual([{ n: 1 }, { n: 3 }]);
        expect(await read("usage", "newest", 1)).toEqual([{ n: 3 }]);
        expect(await read("provenance", "oldest")).toEqual([{ text: "é", list: [1, null] }]);
        expect((await read(null, "oldest")).length).toBe(3);
        const [first] = await opened.reads.records(1, { kind: "usage", order: "oldest", limit: 1 });
        expect(first).toMatchObject({ attempt: 1, time: 5, kind: "usage" });
        await commit(async (tx) => tx.deleteJobs([1]));
        expect(await read(null, "oldest")).toEqual([]);
      });

      test("documents are put, replaced and forgotten", async () => {
        const put = (value: { [key: string]: number } | null) =>
          commit(async (tx) => tx.putDocuments([{ collection: "c", key: "k", value }]));
        expect(await opened.reads.findDocument("c", "k")).toBeNull();
        await put({ a: 1 });
        await put({ b: 2 });
        expect(await opened.reads.findDocument("c", "k")).toEqual({ b: 2 });
        expect(await opened.reads.findDocument("d", "k")).toBeNull();
        await put(null);
        await put(null);
        expect(await opened.reads.findDocument("c", "k")).toBeNull();
      });

      test("documents that expire are pruned in their order, the others stay", async () => {
        const put = (key: string, expiresAt?: number | null) =>
          commit(async (tx) =>
            tx.putDocuments([
              { collection: "c", key, value: { key }, ...(expiresAt === undefined ? {} : { expiresAt }) },
            ]),
          );
        const prune = (before: number, limit: number) =>
          commit(async (tx) => tx.pruneDocuments(before, limit));
        const left = async () => {
          const found = await Promise.all(
            ["later", "sooner", "never", "kept"].map(async (key) =>
              (await opened.reads.findDocument("c", key)) === null ? [] : [key],
            ),
          );
          return found.flat();
        };
        await put("later", 200);
        await put("sooner", 100);
        await put("never");
        // Put again without: it stays.
        await put("kept", 50);
        await put("kept", null);
        await prune(100, 10);
        expect(await left()).toEqual(["later", "sooner", "never", "kept"]);
        await prune(1_000, 1);
        expect(await left()).toEqual(["later", "never", "kept"]);
        await prune(1_000, 1);
        await prune(1_000, 10);
        expect(await left()).toEqual(["never", "kept"]);
      });

      test("blobs that they, tasks, jobs and results name are found, page after page", async () => {
        const sha = (digit: string) => digit.repeat(64);
        const read = async (part: MentionPart, after: MentionPlace | null = null) => {
          const found: string[] = [];
          let pages = 0;
          let place = after;
          for (;;) {
            const page = await opened.reads.mentions(part, place);
            found.push(...page.sha256s);
            if (page.place === null) return { found: [...new Set(found)].sort(), pages, place };
            place = page.place;
            pages++;
          }
        };
        for (const part of ["documents", "tasks", "records", "jobs"] as const)
          expect(await read(part)).toEqual({ found: [], pages: 0, place: null });
        const task = { projectId: null, resources: SHAPE.resources, createdAt: 1, updatedAt: 1 };
        const ids = await commit(async (tx) => {
          await tx.putDocuments([
            { collection: "a", key: "z", value: { sha256: sha("1") } },
            { collection: "b", key: 'ü, "1"', value: { deep: [`url/v1/artifacts/${sha("2")}`] } },
            { collection: "b", key: "y", value: { none: "ABC", short: sha("A").slice(1) } },
          ]);
          await tx.insertTask({
            ...task,
            name: "with",
            commandTemplate: `run /v1/artifacts/${sha("3")} {x}`,
          });
          await tx.insertTask({ ...task, name: "without", commandTemplate: null });
          const made = await insert(tx, [
            { spec: { script: sha("4"), both: `${sha("5")} ${sha("4")}` } },
            { name: `of ${sha("b")}`, labels: { made: sha("c").toUpperCase() }, key: sha("d") },
            // What stands before a name may look like a part of it.
            { spec: { argv: [`/data/cache${sha("e")}`, `\b${sha("0")}`] } },
            ...Array.from({ length: 2_500 }, () => ({})),
            { spec: { argv: ["x".repeat(3_000_000)] } },
            { spec: { argv: ["x".repeat(3_000_000), sha("6")] } },
          ]);
          await tx.insertRecords([
            { jobId: made[0] ?? 0, attempt: 1, time: 1, kind: "k", data: { modelHash: sha("7") } },
            { jobId: made[0] ?? 0, attempt: 1, time: 1, kind: "k", data: { modelHash: null } },
          ]);
          await update(tx, made[1] ?? 0, { state: "succeeded", finishedAt: 5 }, [{ model: sha("8") }]);
          return made;
        });
        const last = ids.at(-1) ?? 0;
        const jobs = await read("jobs");
        expect(jobs).toMatchObject({ place: last });
        const named = ["0", "4", "5", "6", "8", "b", "c", "d", "e"].map(sha);
        expect(jobs.found).toEqual(expect.arrayContaining(named));
        expect(jobs.pages).toBeGreaterThanOrEqual(3);
        expect((await read("jobs", last - 1)).found).toEqual([sha("6")]);
        expect(await read("jobs", last)).toMatchObject({ found: [], place: last });
        expect((await read("tasks")).found).toEqual([sha("3")]);
        expect((await read("records")).found).toEqual([sha("7")]);
        expect((await read("documents")).found).toEqual([sha("1"), sha("2")]);
        const [added = 0] = await commit((tx) => insert(tx, [{ spec: { script: sha("9") } }]));
        expect(await read("jobs", last)).toMatchObject({ found: [sha("9")], place: added });
      });

      test("the newest output of an API is read across its jobs", async () => {
        const at = { attempt: 1, time: 7, stream: "stdout" as const };
        await commit(async (tx) => {
          await insert(tx, [{ dialect: "shelby" }, { dialect: "shelby" }, {}]);
          expect(await tx.lastLogSeqs([{ jobId: 1, attempt: 1 }])).toEqual([0]);
          await tx.insertLogChunks([
            { ...at, jobId: 1, seq: 1, text: "a" },
            { ...at, jobId: 2, seq: 1, text: "b" },
            { ...at, jobId: 3, seq: 1, text: "c" },
            { ...at, jobId: 1, seq: 2, text: "d" },
          ]);
          expect(await tx.lastLogSeqs([1, 2].map((jobId) => ({ jobId, attempt: 1 })))).toEqual([2, 1]);
        });
        const recent = await opened.reads.recentLogChunks("shelby", 2);
        expect(recent.map(({ jobKey, text }) => `${jobKey} ${text}`)).toEqual(["key-1 d", "key-2 b"]);
      });
    });

    describe("lists", () => {
      test("filter, page both ways and count", async () => {
        await commit(async (tx) => {
          await insert(tx, [
            { name: "alpha", labels: { team: "ml" } },
            { name: "beta", shape: { ...SHAPE, queue: "gpu_1" }, labels: { team: "ops" } },
            { name: "100%", dialect: "executr" },
            { name: "gamma", state: "waiting", readyAt: null, unmet: 1 },
          ]);
          const tally = {
            dialect: "yardmaster",
            queue: "default",
            kind: "command",
            projectId: null,
          } as const;
          await tx.addTallies([
            { ...tally, state: "ready", change: 1 },
            { ...tally, queue: "gpu_1", state: "ready", change: 1 },
            { ...tally, dialect: "executr", state: "ready", change: 1 },
            { ...tally, state: "waiting", change: 1 },
          ]);
        });
        const list = async (
          query: Parameters<StoreReads["listJobs"]>[0],
          page: Partial<Parameters<StoreReads["listJobs"]>[1]> = {},
        ) => {
          const { items, total, nextCursor } = await opened.reads.listJobs(query, {
            order: "newest",
            limit: 100,
            cursor: null,
            ...page,
          });
          return [items.map((job) => job.id), total, nextCursor] as const;
        };
        expect(await list({})).toEqual([[4, 3, 2, 1], 4, null]);
        await commit(async (tx) => {
          await update(tx, 1, { priority: 1 }, { text: "x".repeat(16_000) });
          await update(tx, 2, { priority: 1 }, { text: "x".repeat(17_000) });
        });
        const listed = await opened.reads.listJobs({}, { order: "oldest", limit: 2, cursor: null });
        expect(listed.items.map((job) => job.result !== null)).toEqual([true, false]);
        expect((await opened.reads.findJob(2))?.result).not.toBeNull();
        expect(await list({}, { order: "oldest", limit: 3 })).toEqual([[1, 2, 3], 4, 3]);
        expect(await list({}, { order: "oldest", limit: 3, cursor: 3 })).toEqual([[4], 4, null]);
        expect(await list({}, { limit: 2, cursor: 3 })).toEqual([[2, 1], 4, null]);
        expect(await list({ states: ["ready"] })).toEqual([[3, 2, 1], 3, null]);
        expect(await list({ states: ["waiting", "failed"] })).toEqual([[4], 1, null]);
        expect(await list({ queue: "gpu_1" })).toEqual([[2], 1, null]);
        expect(await list({ dialect: "executr" })).toEqual([[3], 1, null]);
        expect(await list({ kind: "binary" })).toEqual([[], 0, null]);
        expect(await list({ label: { key: "team", value: "ml" } })).toEqual([[1], 1, null]);
        expect(await list({ text: "ALPH" })).toEqual([[1], 1, null]);
        expect(await list({ text: "0%" })).toEqual([[3], 1, null]);
        expect(await list({ text: "u_1" })).toEqual([[2], 1, null]);
        expect(await list({ states: ["waiting", "ready"] }, { limit: 2, skip: 1 })).toEqual([[3, 2], 4, 2]);
        expect(await list({ states: ["ready", "waiting"] }, { order: "oldest", cursor: 1 })).toEqual([
          [2, 3, 4],
          4,
          null,
        ]);
        expect(await list({ name: "alpha" })).toEqual([[1], 1, null]);
        expect(await list({ dialect: "executr", name: "100%", states: ["ready", "failed"] })).toEqual([
          [3],
          1,
          null,
        ]);
        expect(await list({ dialect: "executr", name: "100" })).toEqual([[], 0, null]);
        expect(await list({ dialect: "executr", states: ["ready"], queue: "gpu_1" })).toEqual([[], 0, null]);
        expect(await list({ name: "alpha" }, { wantsTotal: false })).toEqual([[1], null, null]);
      });
    });

    describe("ids", () => {
      test("are taken in rows by several servers at one time, none twice", async () => {
        const other = await opened.beside?.();
        const stores = other === undefined ? [opened.store] : [opened.store, other.store];
        try {
          const blocks = await Promise.all(
            Array.from({ length: 40 }, (_, index) =>
              (stores[index % stores.length] ?? opened.store).transaction(async (tx) => tx.nextJobIds(1_000)),
            ),
          );
          const firsts = blocks.toSorted((a, b) => a - b);
          for (const [index, first] of firsts.entries()) {
            if (index > 0) expect(first - (firsts[index - 1] ?? 0)).toBeGreaterThanOrEqual(1_000);
          }
        } finally {
          await other?.dispose();
        }
      });
    });

    describe("upkeep", () => {
      test("is told when it was done last", async () => {
        expect(await commit(async (tx) => tx.beginUpkeep(5_000))).toMatchObject({ isMine: true });
        expect(await commit(async (tx) => tx.beginUpkeep(6_000))).toEqual({ isMine: true, lastAt: 5_000 });
        expect(await commit(async (tx) => tx.beginUpkeep(7_000))).toEqual({ isMine: true, lastAt: 6_000 });
      });

      test("is one server's at a time, and any server's the next moment", async () => {
        const other = await opened.beside?.();
        if (other === undefined) return;
        try {
          await commit(async (tx) => {
            expect(await tx.beginUpkeep(5_000)).toMatchObject({ isMine: true });
            const theirs = await other.store.transaction(async (tx2) => tx2.beginUpkeep(5_001));
            expect(theirs.isMine).toBe(false);
          });
          const theirs = await other.store.transaction(async (tx) => tx.beginUpkeep(6_000));
          expect(theirs).toEqual({ isMine: true, lastAt: 5_000 });
        } finally {
          await other.dispose();
        }
      });
    });

    describe("announcements", () => {
      test("reach the other servers once they are committed, and never if they are not", async () => {
        const other = await opened.beside?.();
        expect(opened.store.isShared).toBe(other !== undefined);
        await commit(async (tx) => tx.announce("nobody need hear"));
        if (other === undefined) return;
        try {
          const heard: string[] = [];
          const { promise, resolve } = Promise.withResolvers<void>();
          const stop = other.store.listen((news) => {
            if (news.type === "announced") heard.push(news.text);
            if (heard.at(-1) === "end") resolve();
          });
          await commit(async (tx) => tx.announce("é".repeat(3_900)));
          const failed = commit(async (tx) => {
            await tx.announce("not so");
            throw new Error("on purpose");
          });
          await expect(failed).rejects.toThrow("on purpose");
          await commit(async (tx) => tx.announce("end"));
          await promise;
          stop();
          expect(heard).toContain("é".repeat(3_900));
          expect(heard).not.toContain("not so");
        } finally {
          await other.dispose();
        }
      });
    });

    describe("tallies", () => {
      test("add up by group, and groups that are empty are not told of", async () => {
        const group = { dialect: "ai", queue: "q", kind: "training", projectId: 3, state: "ready" } as const;
        await commit(async (tx) =>
          tx.addTallies([
            { ...group, change: 3 },
            { ...group, state: "failed", change: 1 },
          ]),
        );
        await commit(async (tx) =>
          tx.addTallies([
            { ...group, change: -1 },
            { ...group, state: "failed", change: -1 },
          ]),
        );
        expect(await opened.reads.tallies()).toEqual([{ ...group, count: 2 }]);
      });
    });

    describe("workers", () => {
      const worker = {
        id: "w1",
        name: "one",
        address: "host",
        capacity: { cpu: 2, accelerators: 1, memoryMb: 100 },
        labels: { zone: "a" },
        queues: ["*"],
        kinds: ["command"] as const,
        dialect: "whatsnext" as const,
        details: { entity: "ml", note: null },
        isImplicit: false,
      };

      test("register, register again, are seen, counted, drained and deleted", async () => {
        await commit(async (tx) => {
          await tx.upsertWorkers([{ ...worker, now: 10 }]);
          await tx.touchWorkers([
            { id: "w1", lastSeenAt: 50 },
            { id: "unknown", lastSeenAt: 50 },
          ]);
          await tx.touchWorkers([{ id: "w1", lastSeenAt: 40 }]);
          await tx.countWorkerResults([{ id: "w1", succeeded: 2, failed: 1 }]);
          await tx.setDraining("w1", true);
          await tx.describeWorker("w1", { load: { cpuPercent: 12.5 } });
          await tx.describeWorker("unknown", {});
        });
        const load = () => commit(async (tx) => tx.workers(null));
        expect(await load()).toEqual([
          {
            ...worker,
            kinds: ["command"],
            details: { load: { cpuPercent: 12.5 } },
            isDraining: true,
            registeredAt: 10,
            lastSeenAt: 50,
            succeeded: 2,
            failed: 1,
          },
        ]);
        await commit(async (tx) => tx.upsertWorkers([{ ...worker, name: "renamed", now: 90 }]));
        expect((await load())[0]).toMatchObject({
          name: "renamed",
          isDraining: false,
          registeredAt: 10,
          lastSeenAt: 90,
          succeeded: 2,
        });
        expect(await commit(async (tx) => tx.workers(["w1", "nobody"]))).toHaveLength(1);
        expect(await opened.reads.dialectOfWorker("w1")).toBe("whatsnext");
        expect(await opened.reads.dialectOfWorker("nobody")).toBeNull();
        await commit(async (tx) => tx.deleteWorkers(["w1"]));
        expect(await load()).toEqual([]);
      });
    });

    describe("workers that never registered", () => {
      test("are found when nothing was heard of them for long, unless they hold something", async () => {
        const base = {
          name: "w",
          address: null,
          capacity: SHAPE.resources,
          labels: {},
          queues: [],
          kinds: [],
        };
        const worker = { ...base, dialect: "executr" as const, details: {}, isImplicit: true };
        await commit(async (tx) => {
          await tx.upsertWorkers([
            { ...worker, id: "old", now: 10 },
            { ...worker, id: "older", now: 5 },
            { ...worker, id: "holds", now: 5 },
            { ...worker, id: "new", now: 90 },
            { ...worker, id: "registered", now: 5, isImplicit: false },
          ]);
          await insert(tx, [{}]);
          await update(tx, 1, { state: "leased", workerId: "holds", attempt: 1, leaseMs: 10 });
          await tx.putLeases([{ jobId: 1, workerId: "holds", attempt: 1, expiresAt: 900, deadlineAt: null }]);
        });
        await commit(async (tx) => {
          expect(await tx.forgottenWorkers(50, 9)).toEqual(["older", "old"]);
          expect(await tx.forgottenWorkers(5, 9)).toEqual([]);
        });
      });
    });

    describe("projects and tasks", () => {
      test("are kept, changed, found and deleted", async () => {
        const project = {
          name: "p",
          description: null,
          status: "ACTIVE",
          createdAt: 1,
          updatedAt: 1,
        } as const;
        const made = await commit(async (tx) => tx.insertProject(project));
        expect(made).toEqual({ id: 1, ...project });
        const task = await commit(async (tx) =>
          tx.insertTask({
            projectId: 1,
            name: "t",
            commandTemplate: "run {x}",
            resources: { cpu: 2, accelerators: 0, memoryMb: 5 },
            createdAt: 1,
            updatedAt: 1,
          }),
        );
        await commit(async (tx) => {
          await tx.updateProject({ ...made, name: "q", status: "ARCHIVED", updatedAt: 2 });
          await tx.updateTask({ ...task, commandTemplate: null, updatedAt: 2 });
          expect(await tx.findProject({ name: "p" })).toBeNull();
          expect((await tx.findProject({ name: "q" }))?.status).toBe("ARCHIVED");
          expect(await tx.findTasks([1, 5])).toEqual([{ ...task, commandTemplate: null, updatedAt: 2 }]);
          expect(await tx.tasksOfProject(1)).toHaveLength(1);
          await insert(tx, [{ projectId: 1, taskId: 1 }, {}]);
          expect(await tx.jobsOfProject(1, 10)).toEqual([1]);
          expect(await tx.jobsOfTask(1, 10)).toEqual([1]);
        });
        expect(await opened.reads.listProjects({ status: "ACTIVE", limit: 10, offset: 0 })).toEqual([]);
        expect(await opened.reads.listProjects({ name: "q", limit: 10, offset: 0 })).toHaveLength(1);
        expect(await opened.reads.listTasks({ projectId: 1, limit: 10, offset: 0 })).toHaveLength(1);
        expect(await opened.reads.listTasks({ limit: 10, offset: 1 })).toEqual([]);
        await commit(async (tx) => {
          await tx.deleteTask(1);
          await tx.deleteProject(1);
        });
        expect(await opened.reads.findProject(1)).toBeNull();
        expect(await opened.reads.findTask(1)).toBeNull();
        expect((await commit(async (tx) => tx.insertProject(project))).id).toBe(2);
      });
    });
  });
}
