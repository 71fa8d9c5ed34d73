/**
 * Lists of jobs with their results. Lists of the store leave long results out, but here the model's hash and the
 * node's metadata belong to every job, in a list as alone.
 */
import type { Job } from "../../domain/job.ts";
import type { Reads } from "../../engine/engine.ts";
import { jobOrNull } from "./jobLookup.ts";

/** Of long results, as JSON, what one list takes in; what is over stays left out. */
const MAX_LONG_CHARACTERS = 16 * 1024 * 1024;
const READS_AT_ONCE = 8;

/** Lists this API's jobs, with long results too. */
export async function listedJobs(
  read: Pick<Reads, "job" | "jobs">,
  { order, limit, states }: { order: "newest" | "oldest"; limit: number; states?: readonly Job["state"][] },
): Promise<readonly Job[]> {
  const { items } = await read.jobs(
    { dialect: "shelby", ...(states === undefined ? {} : { states }) },
    { order, limit, cursor: null, wantsTotal: false },
  );
  const jobs = [...items];
  const lacking = jobs.flatMap((job, at) => (mayLackResult(job) ? [{ id: job.id, at }] : []));
  let characters = 0;
  for (let next = 0; next < lacking.length && characters < MAX_LONG_CHARACTERS; next += READS_AT_ONCE) {
    const some = lacking.slice(next, next + READS_AT_ONCE);
    const whole = await Promise.all(some.map(({ id }) => jobOrNull(read, id)));
    for (const [place, { at }] of some.entries()) {
      const job = whole[place] ?? null;
      if (job === null || job.result === null) continue;
      jobs[at] = job;
      characters += JSON.stringify(job.result).length;
    }
  }
  return jobs;
}

/** Few others end without a result: those whose nodes vanished. */
function mayLackResult({ state, result }: Job): boolean {
  return result === null && (state === "succeeded" || state === "failed");
}
