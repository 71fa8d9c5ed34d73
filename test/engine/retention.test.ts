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
const DELETION_MS = 150;

test("deletions that take long are spread over many commits", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "yardmaster-retention-"));
  const store = new SlowStore(new SqliteStore({ dataDir }));
  let now = 1_000_000;
  const engine = new LocalEngine({
    store,
    reads: new SqliteReads(dataDir),
    settings: { ...DEFAULT_ENGINE_SETTINGS, maintenanceMs: 3_600_000, retainCancelledMs: 1_000 },
    clock: () => now,
  });
  try {
    await engine.start();
    await engine.submit({ jobs: Array.from({ length: JOBS }, () => newJob()), idempotency: null });
    await Promise.all(Array.from({ length: JOBS }, (_, index) => engine.cancel(index + 1, null)));
    now += 1_001;
    await engine.maintainNow();
    expect(await engine.read.count({})).toBe(0);
    const deletions = store.deletedByCommit.filter((count) => count > 0);
    expect(deletions.reduce((sum, count) => sum + count)).toBe(JOBS);
    // A slice of 100 and one of 200, then the time is over.
    expect(Math.max(...deletions)).toBe(300);
  } finally {
    await engine.close();
    rmSync(dataDir, { recursive: true, force: true });
  }
});

/** A store whose deletions take their time. */
class SlowStore implements Store {
  readonly isShared = false;
  readonly deletedByCommit: number[] = [];
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.#store.transaction((tx) => {
      const commit = this.deletedByCommit.push(0) - 1;
      const deleteJobs = async (ids: readonly number[]) => {
        this.deletedByCommit[commit] = (this.deletedByCommit[commit] ?? 0) + ids.length;
        await Bun.sleep(DELETION_MS);
        await tx.deleteJobs(ids);
      };
      return work(
        new Proxy(tx, {
          get: (target, name) => {
            if (name === "deleteJobs") return deleteJobs;
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
