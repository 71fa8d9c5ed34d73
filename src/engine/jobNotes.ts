/** What is kept beside jobs: lines of output that nobody numbered, records, documents. */
import { NotFoundError } from "../domain/errors.ts";
import type { LogChunk } from "../domain/job.ts";
import { isHeld } from "../domain/stateMachine.ts";
import type { JobControl } from "../store/store.ts";
import { type BatchContext, each, type Handler } from "./batch.ts";
import type { JobRef } from "./engine.ts";

export const appendLines: Handler<"appendLines"> = async (context, requests) => {
  const { tx, ledger } = context;
  const jobs = await find(
    context,
    requests.flatMap(({ lines }) => lines.map((line) => line.job)),
  );
  const places = new Map<number, { readonly attempt: number; seq: number }>();
  const attempts = [...new Set(jobs.values())].map((job) => ({ jobId: job.id, attempt: attemptOf(job) }));
  const lastSeqs = attempts.length === 0 ? [] : await tx.lastLogSeqs(attempts);
  for (const [index, { jobId, attempt }] of attempts.entries()) {
    places.set(jobId, { attempt, seq: lastSeqs[index] ?? 0 });
  }
  const chunks: (LogChunk & { jobId: number; attempt: number })[] = [];
  const outcomes = await each<"appendLines">(requests, async ({ lines }) => {
    const found = lines.map((line) => ({ line, job: known(jobs, line.job) }));
    for (const { line, job } of found) {
      const place = places.get(job.id);
      if (place === undefined) continue;
      place.seq++;
      const text = line.text.endsWith("\n") ? line.text : `${line.text}\n`;
      const { time, stream } = line;
      chunks.push({ jobId: job.id, attempt: place.attempt, seq: place.seq, time, stream, text });
    }
    return null;
  });
  if (chunks.length > 0) await tx.insertLogChunks(chunks);
  for (const jobId of new Set(chunks.map((chunk) => chunk.jobId))) {
    const place = places.get(jobId);
    if (place === undefined) continue;
    ledger.events.push({ type: "log", jobId, attempt: place.attempt, lastSeq: place.seq });
  }
  return outcomes;
};

/** Output that comes before the first claim stands with the first attempt. */
function attemptOf(job: JobControl): number {
  return Math.max(job.attempt, 1);
}

export const addRecords: Handler<"addRecords"> = async (context, requests) => {
  const jobs = await find(
    context,
    requests.flatMap(({ records }) => records.map((record) => record.job)),
  );
  return each<"addRecords">(requests, async ({ workerId, records }) => {
    const kept = records.flatMap(({ job: ref, attempt, kind, data }) => {
      const job = workerId === null ? known(jobs, ref) : jobs.get(ref);
      const isTheirs =
        workerId === null ||
        (job?.workerId === workerId && isHeld(job.state) && (attempt === null || attempt === job.attempt));
      if (job === undefined || !isTheirs) return [];
      return [{ jobId: job.id, attempt: attempt ?? job.attempt, time: context.now, kind, data }];
    });
    if (kept.length > 0) await context.tx.insertRecords(kept);
    return kept.length;
  });
};

export const putDocuments: Handler<"putDocuments"> = (context, requests) =>
  each<"putDocuments">(requests, async ({ documents }) => {
    await context.tx.putDocuments(documents);
    return null;
  });

/** The jobs that these name; those that are not there are left out. */
async function find(
  { tx, ledger }: BatchContext,
  refs: readonly JobRef[],
): Promise<ReadonlyMap<JobRef, JobControl>> {
  const unique = [...new Set(refs)];
  const ids = unique.length === 0 ? [] : await tx.findJobs(unique.map((ref) => ({ dialect: null, ref })));
  await ledger.load(ids.filter((id) => id !== null));
  const jobs = new Map<JobRef, JobControl>();
  for (const [index, ref] of unique.entries()) {
    const id = ids[index];
    const job = typeof id === "number" ? ledger.get(id) : undefined;
    if (job !== undefined) jobs.set(ref, job);
  }
  return jobs;
}

/** @throws NotFoundError when the job is not there. */
function known(jobs: ReadonlyMap<JobRef, JobControl>, ref: JobRef): JobControl {
  const job = jobs.get(ref);
  if (job === undefined) throw new NotFoundError("job", ref);
  return job;
}
