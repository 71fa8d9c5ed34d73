/** Leases, which all servers of a store share, and whose turn it is to look after them. */
import { stateCode } from "../codes.ts";
import type { Lease } from "../store.ts";
import { ADVISORY_LOCKS } from "./layout.ts";
import type { Statements } from "./statements.ts";
import { numbers, readNumbers, texts } from "./text.ts";

interface LeaseRow {
  job_id: number;
  worker_id: string;
  attempt: number;
  expires_at: number;
  deadline_at: number | null;
}

const COLUMNS = "leases.job_id, leases.worker_id, leases.attempt, leases.expires_at, leases.deadline_at";
const LEASED = stateCode.encode("leased");
const RUNNING = stateCode.encode("running");
const MAX_INT = 2_147_483_647;
/** Where the search for held jobs without a lease goes on; one for all transactions of a store. */
export interface GraceSearch {
  afterId: number;
}

export class LeaseTable {
  readonly #statements: Statements;
  readonly #search: GraceSearch;

  constructor(statements: Statements, search: GraceSearch) {
    this.#statements = statements;
    this.#search = search;
  }

  /** The upkeep is this transaction's until it ends, unless another one has it. */
  async beginUpkeep(now: number): Promise<{ isMine: boolean; lastAt: number | null }> {
    const [lock] = await this.#statements.lock<{ is_mine: boolean }>(
      "SELECT pg_try_advisory_xact_lock($1) AS is_mine",
      [ADVISORY_LOCKS.upkeep],
    );
    if (lock?.is_mine !== true) return { isMine: false, lastAt: null };
    const [last] = await this.#statements.read<{ done_at: number }>("SELECT done_at FROM upkeep");
    this.#statements.write(
      `INSERT INTO upkeep (one, done_at) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET done_at = excluded.done_at`,
      [now],
    );
    return { isMine: true, lastAt: last?.done_at ?? null };
  }

  grace(until: number): void {
    this.#statements.write(
      `UPDATE leases SET expires_at = greatest(expires_at, $1), deadline_at = greatest(deadline_at, $1)
       WHERE expires_at < $1 OR deadline_at < $1`,
      [until],
    );
  }

  put(leases: readonly Lease[]): void {
    if (leases.length === 0) return;
    // The last of several for one job counts; one statement may not write a row twice.
    const byJob = [...new Map(leases.map((lease) => [lease.jobId, lease])).values()];
    this.#statements.write(
      `INSERT INTO leases (job_id, worker_id, attempt, expires_at, deadline_at)
       SELECT * FROM unnest($1::bigint[], $2::text[], $3::int[], $4::bigint[], $5::bigint[])
       ON CONFLICT (job_id) DO UPDATE SET
         worker_id = excluded.worker_id, attempt = excluded.attempt,
         expires_at = excluded.expires_at, deadline_at = excluded.deadline_at`,
      [
        numbers(byJob.map(({ jobId }) => jobId)),
        texts(byJob.map(({ workerId }) => workerId)),
        numbers(byJob.map(({ attempt }) => attempt)),
        numbers(byJob.map(({ expiresAt }) => expiresAt)),
        numbers(byJob.map(({ deadlineAt }) => deadlineAt)),
      ],
    );
  }

  drop(jobIds: readonly number[]): void {
    if (jobIds.length === 0) return;
    this.#statements.write("DELETE FROM leases WHERE job_id = ANY($1::bigint[])", [numbers(jobIds)]);
  }

  async find(jobIds: readonly number[]): Promise<Lease[]> {
    if (jobIds.length === 0) return [];
    const rows = await this.#statements.read<LeaseRow>(
      `SELECT ${COLUMNS} FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (id, place)
       JOIN leases ON leases.job_id = ANY (ARRAY[wanted.id]) ORDER BY wanted.place`,
      [numbers(jobIds)],
    );
    return rows.map(toLease);
  }

  /**
   * Reads all leases, of which there are no more than jobs under way; an index on times would have to follow each
   * heartbeat. The lease is read again once its job is held, since a heartbeat may have come meanwhile.
   */
  async overdue(now: number, limit: number): Promise<Lease[]> {
    const rows = await this.#statements.lock<LeaseRow>(
      `SELECT ${COLUMNS} FROM (
         SELECT job_id FROM leases WHERE expires_at <= $1 OR deadline_at <= $1 LIMIT $2
       ) AS late CROSS JOIN LATERAL (
         SELECT jobs.id FROM jobs WHERE jobs.id = late.job_id FOR UPDATE SKIP LOCKED
       ) AS held CROSS JOIN LATERAL (
         SELECT * FROM leases WHERE leases.job_id = held.id AND (expires_at <= $1 OR deadline_at <= $1)
         FOR UPDATE SKIP LOCKED
       ) AS leases`,
      [now, limit],
    );
    return rows.map(toLease);
  }

  async heldBy(workerIds: readonly string[], limit: number) {
    if (workerIds.length === 0) return [];
    const rows = await this.#statements.read<{ worker_id: string; count: number; job_ids: string | null }>(
      `SELECT wanted.id AS worker_id, held.count::int AS count, held.job_ids
       FROM unnest($1::text[]) WITH ORDINALITY AS wanted (id, place)
       CROSS JOIN LATERAL (
         SELECT count(*) AS count, (array_agg(job_id ORDER BY job_id))[1:$2]::text AS job_ids
         FROM leases WHERE leases.worker_id = wanted.id
       ) AS held
       ORDER BY wanted.place`,
      [texts(workerIds), Math.min(limit, MAX_INT)],
    );
    return rows.map(({ worker_id, count, job_ids }) => ({
      workerId: worker_id,
      count,
      jobIds: readNumbers(job_ids),
    }));
  }

  /**
   * Held jobs without a lease: a crash of the database and a change to its standby take the leases away. It is noted
   * when all have one again, so that this costs a look at one row at other times. Where the search goes on is not undone
   * with a transaction, so only a search from the beginning can tell that all have one.
   */
  async unleased(limit: number): Promise<number[]> {
    const known = await this.#statements.read<{ one: number }>("SELECT one FROM leases_known");
    if (known.length > 0) {
      this.#search.afterId = 0;
      return [];
    }
    const rows = await this.#statements.read<{ id: number }>(
      `SELECT jobs.id FROM jobs WHERE jobs.id > $1 AND jobs.state IN (${LEASED}, ${RUNNING})
         AND NOT EXISTS (SELECT FROM leases WHERE leases.job_id = jobs.id)
       ORDER BY jobs.id LIMIT $2`,
      [this.#search.afterId, limit],
    );
    const isWhole = this.#search.afterId === 0;
    const isEnd = rows.length < limit;
    this.#search.afterId = isEnd ? 0 : (rows.at(-1)?.id ?? 0);
    if (isWhole && isEnd) {
      this.#statements.write("INSERT INTO leases_known (one) VALUES (1) ON CONFLICT DO NOTHING", []);
    }
    return rows.map((row) => row.id);
  }
}

/** Takes all leases away, outside of a transaction: the next upkeep grants each held job one anew. */
export const FORGET_LEASES = "BEGIN; DELETE FROM leases; DELETE FROM leases_known; COMMIT";

function toLease(row: LeaseRow): Lease {
  return {
    jobId: row.job_id,
    workerId: row.worker_id,
    attempt: row.attempt,
    expiresAt: row.expires_at,
    deadlineAt: row.deadline_at,
  };
}
