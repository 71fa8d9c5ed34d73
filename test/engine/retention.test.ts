/** Deletions that take long, as those of jobs with much output do, and everyone else's commits. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_ENGINE_SETTINGS } from "../../src/engine/engine.ts";
import { LocalEngine } from "../../src/engine/localEngine.ts";
import { SqliteReads } from "../../src/store/sqlite/sqliteReads.ts";
import { SqliteStore } from "../../src/store/sqlite/sqliteStore.ts";
import type { Store, Transaction } from "../../src/store/store.ts";
import { newJob } from "./testEngine.ts";

const JOBS = 1_200;

/** An engine that keeps cancelled jobs for a second only, on a store that can be slow. */
async function open() {
  const dataDir = mkdtempSync(join(tmpdir(), "yardmaster-retention-"));
  const clock = { now: 1_000_000 };
  const opened = () => {
    const store = new SlowStore(new SqliteStore({ dataDir }));
    const engine = new LocalEngine({
      store,
      reads: new SqliteReads(dataDir),
      settings: { ...DEFAULT_ENGINE_SETTINGS, maintenanceMs: 3_600_000, retainCancelledMs: 1_000 },
      clock: () => clock.now,
    });
    return { store, engine };
  };
  const yard = {
    ...opened(),
    /** Makes jobs that are past their keep. */
    async makeOld(count: number) {
      await yard.engine.submit({ jobs: Array.from({ length: count }, () => newJob()), idempotency: null });
      await Promise.all(Array.from({ length: count }, (_, index) => yard.engine.cancel(index + 1, null)));
      clock.now += 1_001;
    },
    async restart() {
      await yard.engine.close();
      Object.assign(yard, opened());
      await yard.engine.start();
    },
    async [Symbol.asyncDispose]() {
      await yard.engine.close();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
  await yard.engine.start();
  return yard;
}

test("deletions that take long are spread over many commits", async () => {
  await using yard = await open();
  await yard.makeOld(JOBS);
  yard.store.deletionMs = 150;
  await yard.engine.maintainNow();
  expect(await yard.engine.read.count({})).toBe(0);
  const deletions = yard.store.deletedByCommit.filter((count) => count > 0);
  expect(deletions.reduce((sum, count) => sum + count)).toBe(JOBS);
  // A slice of 100 and one of 200, then the time is over.
  expect(Math.max(...deletions)).toBe(300);
});

test("jobs of one state that take long to look for, where there are none, hold up those of no other", async () => {
  await using yard = await open();
  await yard.makeOld(1);
  yard.store.searchMs = { succeeded: 250, failed: 250 };
  await yard.engine.maintainNow();
  expect(await yard.engine.read.count({})).toBe(0);
});

test("a server that starts does not wait until all is deleted that is past its keep", async () => {
  await using yard = await open();
  await yard.makeOld(JOBS);
  await yard.restart();
  expect(await yard.engine.read.count({})).toBe(JOBS);
  await yard.engine.maintainNow();
  expect(await yard.engine.read.count({})).toBe(0);
});

/** A store whose deletions and searches take their time. */
class SlowStore implements Store {
  readonly isShared = false;
  readonly deletedByCommit: number[] = [];
  deletionMs = 0;
  /** By state: how long it takes to look for jobs past their keep. */
  searchMs: Readonly<Record<string, number>> = {};
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#store.transaction((tx) => {
      const commit = this.deletedByCommit.push(0) - 1;
      const deleteJobs = async (ids: readonly number[]) => {
        this.deletedByCommit[commit] = (this.deletedByCommit[commit] ?? 0) + ids.length;
        await Bun.sleep(this.deletionMs);
        await tx.deleteJobs(ids);
      };
      const finishedBefore: Transaction["finishedBefore"] = async (state, before, limit) => {
        await Bun.sleep(this.searchMs[state] ?? 0);
        return tx.finishedBefore(state, before, limit);
      };
      return work(
        new Proxy(tx, {
          get: (target, name) => {
            if (name === "deleteJobs") return deleteJobs;
            if (name === "finishedBefore") return finishedBefore;
            const value: unknown = Reflect.get(target, name);
            return typeof value === "function" ? value.bind(target) : value;
          },
        }),
      );
    });
  }

  clock(): number {
    return this.#store.clock();
  }

  listen(listener: Parameters<Store["listen"]>[0]): () => void {
    return this.#store.listen(listener);
  }

  sizeBytes(): Promise<number> {
    return this.#store.sizeBytes();
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}
