/** Output of jobs, as their workers send it. */
import type { LogChunk } from "../domain/job.ts";
import type { BatchContext, Handler } from "./batch.ts";
import { each } from "./batch.ts";
import type { AppendLogRequest } from "./engine.ts";

export const appendLogs: Handler<"appendLog"> = async (context, requests) => {
  await context.ledger.load(requests.flatMap((request) => request.chunks.map((chunk) => chunk.id)));
  return each<"appendLog">(requests, (request) => append(context, request));
};

/**
 * Chunks of attempts that are not the worker's are skipped, not refused: a worker that lost a lease learns
 * it from its heartbeats, and the rest of the request is good.
 */
async function append({ ledger, tx }: BatchContext, { workerId, chunks }: AppendLogRequest): Promise<number> {
  const accepted: (LogChunk & { jobId: number; attempt: number })[] = [];
  const lastSeqs = new Map<string, { jobId: number; attempt: number; lastSeq: number }>();
  const allowed = new Map<string, boolean>();
  for (const { id, attempt, seq, time, stream, text } of chunks) {
    const key = `${id}/${attempt}`;
    let isAllowed = allowed.get(key);
    if (isAllowed === undefined) {
      isAllowed = await mayWrite(id, attempt);
      allowed.set(key, isAllowed);
    }
    if (!isAllowed) continue;
    accepted.push({ jobId: id, attempt, seq, time, stream, text });
    const last = lastSeqs.get(key);
    if (last === undefined || last.lastSeq < seq) lastSeqs.set(key, { jobId: id, attempt, lastSeq: seq });
  }
  if (accepted.length === 0) return 0;
  const inserted = await tx.insertLogChunks(accepted);
  if (inserted > 0) {
    for (const last of lastSeqs.values()) ledger.events.push({ type: "log", ...last });
  }
  return inserted;

  async function mayWrite(id: number, attempt: number): Promise<boolean> {
    const job = ledger.get(id);
    if (job === undefined || attempt > job.attempt) return false;
    if (attempt === job.attempt) return job.workerId === workerId;
    return (await tx.attemptsOf([id])).some((one) => one.number === attempt && one.workerId === workerId);
  }
}
