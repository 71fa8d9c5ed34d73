/**
 * Claims: each worker gets the best jobs that fit what it offers, under a lease.
 *
 * All claims of a commit share one cursor per shape, so they see one line of jobs and none is given twice.
 * The cost is that of looking at the heads of the shapes that fit: it grows neither with the backlog nor
 * with the jobs ahead that this worker cannot run.
 */
import type { Job } from "../domain/job.ts";
import { compareJobs } from "../domain/ordering.ts";
import { fits, subtract } from "../domain/resources.ts";
import type { Head, JobControl, Lease, StoredShape, StoredWorker, Transaction } from "../store/store.ts";
import type { BatchContext, Handler } from "./batch.ts";
import { type Claimant, suits } from "./claimant.ts";
import type { ClaimedJob, ClaimRequest } from "./engine.ts";

export const claimJobs: Handler<"claim"> = async (context, requests) => {
  const { tx, ledger } = context;
  const shapes = await tx.readyShapes();
  const workers = await activeWorkers(context, requests);
  const lines = new ReadyLines(tx, shapes);
  ledger.keepShapes(shapes);
  const picks: number[][] = [];
  for (const request of requests) {
    const worker = workers.get(request.workerId);
    picks.push(worker === undefined ? [] : await pick(lines, shapes, request, worker));
  }
  const given = await lease(context, requests, picks);
  return requests.map(({ workerId }, index) => ({
    answer: { jobs: given[index] ?? [], claimant: workers.get(workerId) ?? null },
  }));
};

/**
 * The workers that may take jobs; draining ones are left out. A worker that claims without having
 * registered is registered with what its claim says.
 */
async function activeWorkers(
  { tx, now, ledger }: BatchContext,
  requests: readonly ClaimRequest[],
): Promise<Map<string, Claimant>> {
  const claims = new Map(requests.map((request) => [request.workerId, request]));
  const active = new Map<string, Claimant>();
  for (const worker of await tx.workers([...claims.keys()])) {
    const { id, labels, capacity, isDraining, isImplicit } = worker;
    if (!isDraining) active.set(id, { labels, capacity: isImplicit ? null : capacity });
    if (isDraining || !isImplicit || isAsItSays(worker, claims.get(id)?.registerAs)) claims.delete(id);
  }
  for (const [id, { capacity, queues, kinds, registerAs }] of claims) {
    const known = { id, name: id, capacity, labels: {}, queues, kinds, details: {} };
    const as = registerAs ?? { dialect: "yardmaster", address: null };
    await tx.upsertWorkers([{ ...known, ...as, isImplicit: true, now }]);
    ledger.events.push({ type: "worker", id, state: "online" });
    active.set(id, { labels: {}, capacity: null });
  }
  return active;
}

/** Whether a worker that never registers is entered as its claim says. */
function isAsItSays(worker: StoredWorker, as: ClaimRequest["registerAs"]): boolean {
  return as === undefined || (as.dialect === worker.dialect && as.address === worker.address);
}

async function pick(
  lines: ReadyLines,
  shapes: readonly StoredShape[],
  request: ClaimRequest,
  worker: Claimant,
): Promise<number[]> {
  const { max, capacity } = request;
  let candidates = shapes.filter((shape) => suits(shape, request, worker));
  let free = capacity;
  const picked: number[] = [];
  while (picked.length < max && candidates.length > 0) {
    let best: { head: Head; shape: StoredShape } | undefined;
    for (const shape of candidates) {
      const head = await lines.head(shape.shapeId, max - picked.length);
      if (head !== undefined && (best === undefined || compareJobs(head, best.head) < 0))
        best = { head, shape };
    }
    if (best === undefined) break;
    lines.take(best.shape.shapeId);
    picked.push(best.head.id);
    free = subtract(free, best.shape.resources);
    candidates = candidates.filter((shape) => fits(shape.resources, free));
  }
  return picked;
}

/** Ready jobs of each shape in order, read page by page as they are taken. */
class ReadyLines {
  readonly #tx: Transaction;
  readonly #lines: Map<number, { page: readonly Head[]; at: number; isEnd: boolean }>;

  constructor(tx: Transaction, shapes: readonly StoredShape[]) {
    this.#tx = tx;
    this.#lines = new Map(shapes.map((shape) => [shape.shapeId, { page: [], at: 0, isEnd: false }]));
  }

  /** The next job of the shape that nobody took; `wanted` is how many the caller could use. */
  async head(shapeId: number, wanted: number): Promise<Head | undefined> {
    const line = this.#lines.get(shapeId);
    if (line === undefined) return undefined;
    if (line.at >= line.page.length && !line.isEnd) {
      const limit = Math.min(Math.max(wanted, 8), 500);
      const page = await this.#tx.readyHeads(shapeId, line.page.at(-1) ?? null, limit);
      line.page = page;
      line.at = 0;
      line.isEnd = page.length < limit;
    }
    return line.page[line.at];
  }

  take(shapeId: number): void {
    const line = this.#lines.get(shapeId);
    if (line !== undefined) line.at++;
  }
}

async function lease(
  context: BatchContext,
  requests: readonly ClaimRequest[],
  picks: readonly (readonly number[])[],
): Promise<readonly (readonly ClaimedJob[])[]> {
  const { tx, ledger, now, settings } = context;
  const all = picks.flat();
  if (all.length === 0) return [];
  const jobs = new Map((await ledger.loadWhole(all)).map((job) => [job.id, job]));
  const leases: Lease[] = [];
  const given: ClaimedJob[][] = [];
  for (const [index, request] of requests.entries()) {
    const answer: ClaimedJob[] = [];
    for (const id of picks[index] ?? []) {
      const control = ledger.get(id);
      const job = jobs.get(id);
      if (control === undefined || job === undefined) {
        throw new Error(`job ${id} stands in the ready line but is not there`);
      }
      const leaseMs = request.leaseMs ?? settings.leaseMsByDialect[control.dialect] ?? settings.leaseMs;
      const expiresAt = now + leaseMs;
      context.counts.waitMs.push(now - (control.readyAt ?? now));
      if (control.attempt === 0 && settings.countedByName.includes(control.dialect)) {
        context.counts.firstWaits.push({ dialect: control.dialect, waitMs: now - control.createdAt });
      }
      beginAttempt(control, request.workerId, leaseMs, now);
      ledger.move(control, "leased", "claimed");
      if (request.starts === true) {
        control.startedAt = now;
        ledger.move(control, "running", "started");
      }
      leases.push({
        jobId: id,
        workerId: request.workerId,
        attempt: control.attempt,
        expiresAt,
        deadlineAt: deadlineOf(control, now, settings.timeLimitGraceMs),
      });
      answer.push(claimed(job, control, expiresAt));
    }
    given.push(answer);
  }
  await tx.putLeases(leases);
  return given;
}

/** The job as its claim left it, without reading it again. */
function claimed(job: Job, control: JobControl, leaseExpiresAt: number): ClaimedJob {
  return {
    ...job,
    state: control.state,
    attempt: control.attempt,
    workerId: control.workerId,
    startedAt: control.startedAt,
    finishedAt: null,
    progress: null,
    exitCode: null,
    error: null,
    updatedAt: control.updatedAt,
    leaseExpiresAt,
  };
}

/** A new attempt begins: what the last one left is cleared. */
export function beginAttempt(job: JobControl, workerId: string, leaseMs: number, now: number): void {
  job.attempt++;
  job.workerId = workerId;
  job.leaseMs = leaseMs;
  job.leasedAt = now;
  job.startedAt = null;
  job.finishedAt = null;
  job.progress = null;
  job.exitCode = null;
  job.error = null;
}

/**
 * When the engine itself ends an attempt that outlived its time limit. Agents enforce the limit to the
 * millisecond; the grace leaves them time to stop the job and say so.
 */
export function deadlineOf(job: JobControl, since: number, graceMs: number): number | null {
  return job.timeoutMs === null ? null : since + job.timeoutMs + graceMs;
}
