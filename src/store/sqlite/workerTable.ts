/**
 * Workers as they registered, and what they have done. There are few and every claim asks for one, so those
 * asked for are kept in memory; this store is the only one that changes them.
 */
import type { Database, Statement } from "bun:sqlite";
import type { JsonObject } from "../../domain/job.ts";
import type { WorkerRegistration } from "../../domain/worker.ts";
import { dialectCode } from "../codes.ts";
import { toWorker, type WorkerRow } from "../rows.ts";
import type { StoredWorker } from "../store.ts";

/** Workers kept in memory at the most. */
const MAX_KNOWN = 10_000;

export class WorkerTable {
  readonly #upsert: Statement<unknown, (string | number | null)[]>;
  readonly #touch: Statement<unknown, [number, string]>;
  readonly #countResults: Statement<unknown, [number, number, string]>;
  readonly #describe: Statement<unknown, [string, string]>;
  readonly #setDraining: Statement<unknown, [number, string]>;
  readonly #unseen: Statement<{ id: string }, [number, number]>;
  readonly #all: Statement<WorkerRow, []>;
  readonly #one: Statement<WorkerRow, [string]>;
  readonly #delete: Statement<unknown, [string]>;
  readonly #known = new Map<string, StoredWorker>();

  constructor(db: Database) {
    this.#upsert = db.prepare(`
      INSERT INTO workers
        (id, name, address, capacity, labels, queues, kinds, dialect, details, is_implicit, registered_at, last_seen_at)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)
      ON CONFLICT (id) DO UPDATE SET
        name = excluded.name, address = excluded.address, capacity = excluded.capacity,
        labels = excluded.labels, queues = excluded.queues, kinds = excluded.kinds, dialect = excluded.dialect,
        details = excluded.details, is_implicit = excluded.is_implicit, is_draining = 0,
        last_seen_at = excluded.last_seen_at`);
    this.#touch = db.prepare("UPDATE workers SET last_seen_at = max(last_seen_at, ?) WHERE id = ?");
    this.#countResults = db.prepare(
      "UPDATE workers SET succeeded = succeeded + ?, failed = failed + ? WHERE id = ?",
    );
    this.#describe = db.prepare("UPDATE workers SET details = ? WHERE id = ?");
    this.#setDraining = db.prepare("UPDATE workers SET is_draining = ? WHERE id = ?");
    this.#unseen = db.prepare(
      "SELECT id FROM workers WHERE is_implicit = 1 AND last_seen_at < ? ORDER BY last_seen_at LIMIT ?",
    );
    this.#all = db.prepare("SELECT * FROM workers ORDER BY id");
    this.#one = db.prepare("SELECT * FROM workers WHERE id = ?");
    this.#delete = db.prepare("DELETE FROM workers WHERE id = ?");
  }

  upsert(
    workers: readonly (WorkerRegistration & { readonly isImplicit: boolean; readonly now: number })[],
  ): void {
    for (const worker of workers) {
      this.#known.delete(worker.id);
      this.#upsert.run(
        worker.id,
        worker.name,
        worker.address,
        JSON.stringify(worker.capacity),
        JSON.stringify(worker.labels),
        JSON.stringify(worker.queues),
        JSON.stringify(worker.kinds),
        dialectCode.encode(worker.dialect),
        JSON.stringify(worker.details),
        worker.isImplicit ? 1 : 0,
        worker.now,
      );
    }
  }

  touch(seen: readonly { readonly id: string; readonly lastSeenAt: number }[]): void {
    for (const { id, lastSeenAt } of seen) {
      this.#known.delete(id);
      this.#touch.run(lastSeenAt, id);
    }
  }

  countResults(
    counts: readonly { readonly id: string; readonly succeeded: number; readonly failed: number }[],
  ): void {
    for (const { id, succeeded, failed } of counts) {
      this.#countResults.run(succeeded, failed, id);
      const known = this.#known.get(id);
      if (known === undefined) continue;
      const sums = { succeeded: known.succeeded + succeeded, failed: known.failed + failed };
      this.#known.set(id, { ...known, ...sums });
    }
  }

  describe(id: string, details: JsonObject): void {
    this.#known.delete(id);
    this.#describe.run(JSON.stringify(details), id);
  }

  setDraining(id: string, isDraining: boolean): void {
    this.#known.delete(id);
    this.#setDraining.run(isDraining ? 1 : 0, id);
  }

  /** Those that never registered and were not heard from since. */
  unseen(before: number, limit: number): string[] {
    return this.#unseen.all(before, limit).map((row) => row.id);
  }

  list(ids: readonly string[] | null): StoredWorker[] {
    if (ids === null) return this.#all.all().map(toWorker);
    return ids.flatMap((id) => this.#find(id) ?? []);
  }

  #find(id: string): StoredWorker | undefined {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    const row = this.#one.get(id);
    if (row === null) return undefined;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    const worker = toWorker(row);
    this.#known.set(id, worker);
    return worker;
  }

  /** What was read in a transaction that failed may not be so. */
  forget(): void {
    this.#known.clear();
  }

  delete(ids: readonly string[]): void {
    for (const id of ids) {
      this.#known.delete(id);
      this.#delete.run(id);
    }
  }
}
