/**
 * Gives back jobs that the server thinks this worker holds and that it knows nothing of: those of an answer
 * that was lost on its way, or that came to an agent that was killed before it could note them. None of them
 * was begun. Without this they would come back only when their leases run out.
 */
import { type JobResult, type YardmasterClient, YardmasterError } from "@yardmaster/client";

/**
 * @param known ids of the jobs that the worker holds or has results for, now.
 * @returns what is to be reported.
 */
export async function unknownHeldJobs(
  client: YardmasterClient,
  workerId: string,
  known: () => ReadonlySet<number>,
  signal: AbortSignal,
): Promise<JobResult[]> {
  const results: JobResult[] = [];
  const { runningJobs } = await client.worker(workerId, { signal });
  const knownBefore = known();
  for (const id of runningJobs.filter((held) => !knownBefore.has(held))) {
    try {
      const job = await client.job(id, { signal });
      const isHeld = job.workerId === workerId && (job.state === "leased" || job.state === "running");
      if (isHeld && !known().has(id)) results.push({ id, attempt: job.attempt, outcome: "released" });
    } catch (error) {
      if (!(error instanceof YardmasterError && error.status === 404)) throw error;
    }
  }
  return results;
}
