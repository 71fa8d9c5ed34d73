/**
 * What never changes of jobs, kept in memory: a job that was claimed through this server is asked for again to be
 * renewed and finished, and then its own row alone has to be read. Ids are never given twice.
 */
import type { ControlRow } from "../rows.ts";

/** Columns of `job_details` that control records hold. A name is told as it was when it was first read. */
export const FACT_COLUMNS =
  "key, dialect, name, project_id, max_attempts, max_recoveries, timeout_ms, backoff_ms, created_at";

export type JobFacts = Pick<
  ControlRow,
  | "key"
  | "dialect"
  | "name"
  | "project_id"
  | "max_attempts"
  | "max_recoveries"
  | "timeout_ms"
  | "backoff_ms"
  | "created_at"
>;

/** Columns of `jobs` that control records hold. */
export const HOT_COLUMNS = `
  id, shape_id, priority, state, unmet, doomed, attempt, spent, recoveries, run_at, worker_id, lease_ms, leased_at,
  started_at, finished_at, ready_at, updated_at, progress, exit_code, error`;

export type HotRow = Omit<ControlRow, keyof JobFacts>;

/** Some hundred bytes each. */
const MAX_KEPT = 50_000;

export class JobFactsCache {
  #young = new Map<number, JobFacts>();
  #old = new Map<number, JobFacts>();

  get(id: number): JobFacts | undefined {
    return this.#young.get(id) ?? this.#old.get(id);
  }

  /** Forgets the older half when there are too many. */
  keep(id: number, row: JobFacts): void {
    if (this.#young.size >= MAX_KEPT / 2) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    const {
      key,
      dialect,
      name,
      project_id,
      max_attempts,
      max_recoveries,
      timeout_ms,
      backoff_ms,
      created_at,
    } = row;
    this.#young.set(id, {
      key,
      dialect,
      name,
      project_id,
      max_attempts,
      max_recoveries,
      timeout_ms,
      backoff_ms,
      created_at,
    });
  }
}
