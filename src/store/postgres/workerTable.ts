/** Workers as they registered, and what they have done. */
import type { JsonObject } from "../../domain/job.ts";
import type { WorkerRegistration } from "../../domain/worker.ts";
import { dialectCode } from "../codes.ts";
import { toWorker, type WorkerRow } from "../rows.ts";
import type { StoredWorker } from "../store.ts";
import type { Statements } from "./statements.ts";
import { numbers, texts } from "./text.ts";

/** Columns of a worker, with the results that are not yet added to its row. */
const SELECT = `
  SELECT workers.id, name, address, capacity, labels, queues, kinds, dialect, details, is_implicit, is_draining,
    registered_at, last_seen_at, workers.succeeded + new.succeeded AS succeeded,
    workers.failed + new.failed AS failed
  FROM workers CROSS JOIN LATERAL (
    SELECT coalesce(sum(worker_results.succeeded), 0)::bigint AS succeeded,
      coalesce(sum(worker_results.failed), 0)::bigint AS failed
    FROM worker_results WHERE worker_results.worker_id = workers.id
  ) AS new (succeeded, failed)`;

export class WorkerTable {
  readonly #statements: Statements;

  constructor(statements: Statements) {
    this.#statements = statements;
  }

  upsert(
    workers: readonly (WorkerRegistration & { readonly isImplicit: boolean; readonly now: number })[],
  ): void {
    for (const worker of workers) {
      this.#statements.write(
        `INSERT INTO workers
           (id, name, address, capacity, labels, queues, kinds, dialect, details, is_implicit, registered_at, last_seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
         ON CONFLICT (id) DO UPDATE SET
           name = excluded.name, address = excluded.address, capacity = excluded.capacity,
           labels = excluded.labels, queues = excluded.queues, kinds = excluded.kinds, dialect = excluded.dialect,
           details = excluded.details, is_implicit = excluded.is_implicit, is_draining = 0,
           last_seen_at = excluded.last_seen_at`,
        [
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
        ],
      );
    }
  }

  /** Rows are taken in the order of their ids by all servers, so that none waits for another in a circle. */
  touch(seen: readonly { readonly id: string; readonly lastSeenAt: number }[]): void {
    if (seen.length === 0) return;
    this.#statements.write(
      `WITH seen AS (
         SELECT workers.id, max(new.last_seen_at) AS last_seen_at
         FROM unnest($1::text[], $2::bigint[]) AS new (id, last_seen_at) JOIN workers ON workers.id = new.id
         GROUP BY workers.id
       ), held AS (
         SELECT id FROM workers WHERE id IN (SELECT id FROM seen) ORDER BY id FOR NO KEY UPDATE
       )
       UPDATE workers SET last_seen_at = greatest(workers.last_seen_at, seen.last_seen_at)
       FROM seen JOIN held ON held.id = seen.id WHERE workers.id = seen.id`,
      [texts(seen.map(({ id }) => id)), numbers(seen.map(({ lastSeenAt }) => lastSeenAt))],
    );
  }

  countResults(
    counts: readonly { readonly id: string; readonly succeeded: number; readonly failed: number }[],
  ): void {
    if (counts.length === 0) return;
    this.#statements.write(
      `INSERT INTO worker_results (worker_id, succeeded, failed)
       SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])`,
      [
        texts(counts.map(({ id }) => id)),
        numbers(counts.map(({ succeeded }) => succeeded)),
        numbers(counts.map(({ failed }) => failed)),
      ],
    );
  }

  describe(id: string, details: JsonObject): void {
    this.#statements.write("UPDATE workers SET details = $2 WHERE id = $1", [id, JSON.stringify(details)]);
  }

  setDraining(id: string, isDraining: boolean): void {
    this.#statements.write("UPDATE workers SET is_draining = $2 WHERE id = $1", [id, isDraining ? 1 : 0]);
  }

  async list(ids: readonly string[] | null): Promise<StoredWorker[]> {
    if (ids === null) {
      return (await this.#statements.read<WorkerRow>(`${SELECT} ORDER BY workers.id`)).map(toWorker);
    }
    if (ids.length === 0) return [];
    const rows = await this.#statements.read<WorkerRow>(`${SELECT} WHERE workers.id = ANY($1::text[])`, [
      texts(ids),
    ]);
    const byId = new Map(rows.map((row) => [row.id, toWorker(row)]));
    return ids.flatMap((id) => byId.get(id) ?? []);
  }

  /** Those that never registered, hold nothing and were not heard from since `before`, oldest first. */
  async forgotten(before: number, limit: number): Promise<string[]> {
    const rows = await this.#statements.read<{ id: string }>(
      `SELECT id FROM workers WHERE is_implicit = 1 AND last_seen_at < $1
         AND NOT EXISTS (SELECT FROM leases WHERE leases.worker_id = ANY (ARRAY[workers.id]))
       ORDER BY last_seen_at, id LIMIT $2`,
      [before, limit],
    );
    return rows.map((row) => row.id);
  }

  delete(ids: readonly string[]): void {
    if (ids.length === 0) return;
    this.#statements.write("DELETE FROM workers WHERE id = ANY($1::text[])", [texts(ids)]);
    this.#statements.write("DELETE FROM worker_results WHERE worker_id = ANY($1::text[])", [texts(ids)]);
  }
}
