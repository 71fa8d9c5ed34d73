/** Looking up one job of this API. */
import { NotFoundError } from "../../domain/errors.ts";
import type { Job } from "../../domain/job.ts";
import type { Reads } from "../../engine/engine.ts";

/** The job of exactly that id, as the engine is asked for it. */
export function refOf(jobId: string): { readonly dialect: "shelby"; readonly key: string } {
  return { dialect: "shelby", key: jobId };
}

/** Null where there is none, or none any more. */
export async function jobOrNull(
  read: Pick<Reads, "job">,
  ref: Parameters<Reads["job"]>[0],
): Promise<Job | null> {
  try {
    return await read.job(ref);
  } catch (error) {
    if (error instanceof NotFoundError) return null;
    throw error;
  }
}
