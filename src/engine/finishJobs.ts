/** Results, and every other way in which an attempt ends. */
import { afterFailure, afterLostLease, type Verdict } from "../domain/attempts.ts";
import { backoffMs } from "../domain/backoff.ts";
import { pendingState } from "../domain/dependencies.ts";
import type { AttemptOutcome, LogChunk } from "../domain/job.ts";
import { isHeld } from "../domain/stateMachine.ts";
import type { JobControl } from "../store/store.ts";
import type { BatchContext, Handler, Outcome } from "./batch.ts";
import type { FinishRequest, ResultAnswer, ResultOutcome } from "./engine.ts";

type Result = FinishRequest["results"][number];

export const finishJobs: Handler<"finish"> = async (context, requests) => {
  await context.ledger.load(requests.flatMap((request) => request.results.map((result) => result.id)));
  const ended: number[] = [];
  const counts = new Map<string, { succeeded: number; failed: number }>();
  const outcomes: Outcome<"finish">[] = [];
  for (const { workerId, results } of requests) {
    const answers: ResultAnswer[] = [];
    for (const result of results) {
      const verdict = await judge(context, workerId, result);
      if (verdict !== "accept") {
        answers.push(
          verdict === "repeated"
            ? { id: result.id, accepted: true, isRepeated: true, reason: null }
            : { id: result.id, accepted: false, reason: verdict.refusal },
        );
        continue;
      }
      await keepOutput(context, result);
      await keepRecords(context, result);
      await settle(context, result);
      ended.push(result.id);
      count(counts, workerId, result);
      answers.push({ id: result.id, accepted: true, reason: null });
    }
    outcomes.push({ answer: answers });
  }
  if (ended.length > 0) await context.tx.dropLeases(ended);
  if (counts.size > 0) {
    await context.tx.countWorkerResults([...counts].map(([id, numbers]) => ({ id, ...numbers })));
  }
  return outcomes;
};

/** Longest text of one chunk of an output that came in one piece. */
const OUTPUT_CHUNK_LENGTH = 64 * 1024;

/** Keeps the output of a worker that sends it with the result. */
async function keepOutput({ tx, ledger, now }: BatchContext, { id, attempt, output }: Result): Promise<void> {
  if (output === undefined) return;
  const chunks: (LogChunk & { jobId: number; attempt: number })[] = [];
  for (const { stream, text } of output) {
    for (let at = 0; at < text.length; ) {
      let end = Math.min(at + OUTPUT_CHUNK_LENGTH, text.length);
      // Not between the two halves of a character.
      if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end++;
      chunks.push({
        jobId: id,
        attempt,
        seq: chunks.length + 1,
        time: now,
        stream,
        text: text.slice(at, end),
      });
      at = end;
    }
  }
  if (chunks.length === 0 || (await tx.insertLogChunks(chunks)) === 0) return;
  ledger.events.push({ type: "log", jobId: id, attempt, lastSeq: chunks.length });
}

async function keepRecords({ tx, now }: BatchContext, { id, attempt, records }: Result): Promise<void> {
  if (records === undefined || records.length === 0) return;
  await tx.insertRecords(records.map((record) => ({ ...record, jobId: id, attempt, time: now })));
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}

function count(
  counts: Map<string, { succeeded: number; failed: number }>,
  workerId: string,
  result: Result,
): void {
  if (result.outcome !== "succeeded" && result.outcome !== "failed") return;
  let numbers = counts.get(workerId);
  if (numbers === undefined) {
    numbers = { succeeded: 0, failed: 0 };
    counts.set(workerId, numbers);
  }
  numbers[result.outcome]++;
}

/**
 * Says whether a result counts: only the holder of the current attempt decides a job's fate. A result that
 * was counted before is `repeated`: its sender did not hear the answer.
 */
async function judge(
  { ledger, tx }: BatchContext,
  workerId: string,
  result: Result,
): Promise<"accept" | "repeated" | { readonly refusal: string }> {
  const job = ledger.get(result.id);
  if (job === undefined) return { refusal: "no such job" };
  if (result.attempt > job.attempt) return { refusal: `the job is at attempt ${job.attempt} only` };
  if (result.attempt === job.attempt) {
    if (job.workerId !== workerId) return { refusal: `attempt ${result.attempt} is another worker's` };
    if (isHeld(job.state)) return "accept";
    if (job.state === result.outcome) return "repeated";
    if (job.state === "cancelled") return { refusal: "the job was cancelled" };
  }
  const ended = (await tx.attemptsOf([job.id])).find((attempt) => attempt.number === result.attempt);
  if (ended?.workerId === workerId && ended.outcome === OUTCOME_OF_RESULT[result.outcome]) return "repeated";
  return { refusal: `attempt ${result.attempt} is over${ended === undefined ? "" : ` (${ended.outcome})`}` };
}

const OUTCOME_OF_RESULT: Readonly<Record<ResultOutcome, AttemptOutcome>> = {
  succeeded: "succeeded",
  failed: "failed",
  released: "released",
  lost: "timeout",
};

async function settle(context: BatchContext, result: Result): Promise<void> {
  const { ledger, now } = context;
  const job = ledger.get(result.id);
  if (job === undefined) return;
  if (job.startedAt === null && result.outcome !== "released") {
    job.startedAt = clampStart(result.startedAt, job.leasedAt, now);
  }
  switch (result.outcome) {
    case "succeeded":
      job.exitCode = result.exitCode;
      job.error = result.error;
      job.progress = job.progress === null ? null : 1;
      end(job, now);
      ledger.setResult(job, result.result);
      ledger.move(job, "succeeded", "succeeded");
      return;
    case "failed":
      job.exitCode = result.exitCode;
      job.error = result.error ?? (result.exitCode === null ? null : `exit code ${result.exitCode}`);
      ledger.setResult(job, result.result);
      return failAttempt(context, job);
    case "released":
      return putBack(context, job, result.error ?? "given back by its worker");
    case "lost":
      return loseAttempt(context, job, result.error ?? "its worker was stopped while it ran");
  }
}

/** A worker's clock may be wrong: the start is kept between the lease's beginning and now. */
function clampStart(startedAt: number | null, leasedAt: number | null, now: number): number {
  const earliest = leasedAt ?? now;
  return startedAt === null ? earliest : Math.min(Math.max(startedAt, earliest), now);
}

function end(job: JobControl, now: number): void {
  job.finishedAt = now;
}

/** The attempt failed by the job's own doing. `exitCode` and `error` of the job say how. */
export async function failAttempt(context: BatchContext, job: JobControl): Promise<void> {
  const { ledger, now, settings } = context;
  const verdict = afterFailure(job);
  applyVerdict(job, verdict);
  if (!verdict.isRepeated) {
    end(job, now);
    ledger.move(job, "failed", "failed", job.error ?? "failed");
    return;
  }
  await ledger.keepAttempt(job, "failed");
  const pauseMs = backoffMs(
    verdict.spent,
    job.backoffMs ?? settings.retryBackoffMs,
    settings.retryBackoffMaxMsByDialect[job.dialect] ?? settings.retryBackoffMaxMs,
  );
  job.runAt = now + pauseMs;
  ledger.move(
    job,
    "waiting",
    "retry scheduled",
    `attempt failed (${job.error ?? "no reason given"}); next in ${pauseMs} ms`,
  );
}

/** The worker vanished with the job. */
export async function loseAttempt(context: BatchContext, job: JobControl, reason: string): Promise<void> {
  const { ledger, now } = context;
  const beyond = context.settings.beyondRecoveriesByDialect[job.dialect] ?? "spends an attempt";
  const verdict = afterLostLease(job, beyond);
  context.counts.leasesLost++;
  job.error = reason;
  applyVerdict(job, verdict);
  if (!verdict.isRepeated) {
    end(job, now);
    job.error = `${reason}; ${whyLast(job)}`;
    await ledger.keepAttempt(job, "timeout");
    ledger.move(job, "failed", "lease lost", job.error);
    return;
  }
  ledger.countName(job, "recovered");
  await ledger.keepAttempt(job, "timeout");
  ledger.move(job, pendingState(job, now), "lease lost", reason);
}

function whyLast({ recoveries, spent, maxAttempts }: JobControl): string {
  const why = spent >= maxAttempts ? "and no attempts are left" : "which is the limit";
  if (recoveries === 0) return spent >= maxAttempts ? "no attempts are left" : "no recovery is allowed";
  return `the job was recovered ${recoveries === 1 ? "once" : `${recoveries} times`} already, ${why}`;
}

/** Given back unrun: nothing is counted. */
export async function putBack(context: BatchContext, job: JobControl, reason: string): Promise<void> {
  job.error = null;
  await context.ledger.keepAttempt(job, "released");
  context.ledger.move(job, pendingState(job, context.now), "put back", reason);
}

function applyVerdict(job: JobControl, verdict: Verdict): void {
  job.spent = verdict.spent;
  job.recoveries = verdict.recoveries;
}
