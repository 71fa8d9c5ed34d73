/** Cancels many pending jobs, each for itself: what cannot be cancelled is told and stops nothing. */
import { ConflictError, NotFoundError } from "../../domain/errors.ts";
import type { Job } from "../../domain/job.ts";
import type { Engine, JobFilter } from "../../engine/engine.ts";
import { uuidOf } from "./fields.ts";
import type { JobViews } from "./jobViews.ts";
import { AbsentError, RefusedError } from "./refusals.ts";
import { type JobStatus, statesOf, statusOf } from "./statuses.ts";

/** Jobs cancelled at one time: they share commits with everybody else's. */
const AT_ONE_TIME = 100;
const PAGE_JOBS = 500;
/** Errors that are told; more are only counted. */
const MAX_ERRORS = 1_000;

/** Which jobs; `job_ids` are narrowed by the others. A status but pending selects jobs that cannot be cancelled. */
export interface Selection {
  readonly job_ids?: readonly string[] | null | undefined;
  readonly type?: string | null | undefined;
  readonly status?: JobStatus | null | undefined;
}

export interface Cancellation {
  readonly cancelled: number;
  readonly failed: number;
  readonly total: number;
  readonly errors: readonly { readonly job_id: string; readonly error: string }[];
}

/**
 * @param signal ends the work between two pages; what was cancelled stays so
 * @throws RefusedError for a selection that selects nothing
 */
export async function cancelSelected(
  engine: Engine,
  views: JobViews,
  selection: Selection,
  signal: AbortSignal,
): Promise<Cancellation> {
  checkSelection(selection);
  const tally = new Tally();
  const cancelOne = async (id: string, find: () => Promise<Job>) => {
    try {
      const job = await find();
      checkFits(job, selection);
      await cancelPending(engine, job);
      tally.cancelled++;
    } catch (error) {
      tally.fail(id, reasonOf(error));
    }
  };
  if (selection.job_ids !== null && selection.job_ids !== undefined) {
    const ids = [...new Set(selection.job_ids)];
    for (let at = 0; at < ids.length && !signal.aborted; at += AT_ONE_TIME) {
      const some = ids.slice(at, at + AT_ONE_TIME);
      await Promise.all(some.map((id) => cancelOne(id, () => findById(views, id))));
    }
  } else if (selection.status !== null && selection.status !== undefined && selection.status !== "pending") {
    await refuseAll(engine, selection, selection.status, tally);
  } else {
    for await (const jobs of pendingPages(engine, selection, signal)) {
      for (let at = 0; at < jobs.length; at += AT_ONE_TIME) {
        const some = jobs.slice(at, at + AT_ONE_TIME);
        await Promise.all(some.map((job) => cancelOne(job.key, async () => job)));
      }
    }
  }
  return tally.read();
}

/** Cancels a job that no executor took yet. @throws RefusedError for any other */
export async function cancelPending(engine: Engine, job: Job): Promise<Job> {
  try {
    return await engine.cancel(job.id, null, { onlyPending: true });
  } catch (error) {
    if (error instanceof NotFoundError) throw new AbsentError(job.key);
    if (!(error instanceof ConflictError)) throw error;
    const now = await engine.read.job(job.id);
    throw notPending(job.key, statusOf(now.state));
  }
}

function notPending(jobId: string, status: JobStatus): RefusedError {
  return new RefusedError(`the job is ${status}; only a pending job can be cancelled`, {
    job_id: jobId,
    status,
  });
}

/** None of them is pending: they are counted, and the newest are told. */
async function refuseAll(
  engine: Engine,
  { type }: Selection,
  status: JobStatus,
  tally: Tally,
): Promise<void> {
  const page = await engine.read.jobs(
    {
      dialect: "executr",
      states: statesOf(status),
      ...(type === null || type === undefined ? {} : { name: type }),
    },
    { order: "newest", limit: MAX_ERRORS, cursor: null, wantsTotal: true },
  );
  for (const job of page.items) tally.fail(job.key, notPending(job.key, statusOf(job.state)).message);
  tally.failMore((page.total ?? 0) - page.items.length);
}

function checkSelection({ job_ids: ids, type, status }: Selection): void {
  const isGiven = (value: unknown) => value !== null && value !== undefined;
  if (isGiven(ids) && ids?.length === 0) {
    throw new RefusedError("job_ids: must name at least one job", { field: "job_ids" });
  }
  if (!isGiven(ids) && !isGiven(type) && !isGiven(status)) {
    throw new RefusedError("one of job_ids, type and status is required", { field: "job_ids" });
  }
  if (type === "") throw new RefusedError("type: must not be empty", { field: "type" });
}

async function findById(views: JobViews, text: string): Promise<Job> {
  const id = uuidOf(text);
  if (id === null) throw new RefusedError("not the id of a job: ids are UUIDs", { job_id: text });
  return views.find(id);
}

function checkFits(job: Job, { type, status }: Selection): void {
  if (type !== null && type !== undefined && job.name !== type) {
    throw new RefusedError(`the job is of the type ${job.name}`, { job_id: job.key });
  }
  const isStatus = statusOf(job.state);
  if (status !== null && status !== undefined && isStatus !== status) {
    throw new RefusedError(`the job is ${isStatus}`, { job_id: job.key });
  }
}

/** The pending jobs there were when the call came, the oldest first. */
async function* pendingPages(
  engine: Engine,
  { type }: Selection,
  signal: AbortSignal,
): AsyncGenerator<readonly Job[]> {
  const filter: JobFilter = {
    dialect: "executr",
    states: statesOf("pending"),
    ...(type === null || type === undefined ? {} : { name: type }),
  };
  const page = { limit: PAGE_JOBS, wantsTotal: false };
  const newest = await engine.read.jobs(filter, {
    order: "newest",
    limit: 1,
    cursor: null,
    wantsTotal: false,
  });
  const lastId = newest.items[0]?.id ?? 0;
  let cursor: number | null = null;
  while (!signal.aborted) {
    const found = await engine.read.jobs(filter, { ...page, order: "oldest", cursor });
    const jobs = found.items.filter((job) => job.id <= lastId);
    yield jobs;
    cursor = found.nextCursor;
    if (cursor === null || jobs.length < found.items.length) return;
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof RefusedError) return error.message;
  if (error instanceof AbsentError) return error.detail;
  throw error;
}

class Tally {
  cancelled = 0;
  #failed = 0;
  readonly #errors: { readonly job_id: string; readonly error: string }[] = [];

  fail(jobId: string, error: string): void {
    this.#failed++;
    if (this.#errors.length < MAX_ERRORS) this.#errors.push({ job_id: jobId.slice(0, 200), error });
  }

  /** Failures that are counted only. */
  failMore(count: number): void {
    this.#failed += Math.max(0, count);
  }

  read(): Cancellation {
    const { cancelled } = this;
    const failed = this.#failed;
    return { cancelled, failed, total: cancelled + failed, errors: this.#errors };
  }
}
