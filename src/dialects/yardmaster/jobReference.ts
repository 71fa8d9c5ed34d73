/** How a path names a job. */
import { NotFoundError } from "../../domain/errors.ts";
import { DIALECTS } from "../../domain/job.ts";
import type { JobRef, Reads } from "../../engine/engine.ts";

/** A number is an id, everything else a key. */
export function jobRef(text: string): JobRef {
  return /^\d{1,15}$/.test(text) ? Number(text) : text;
}

/**
 * Finds what `{job}` of a path means: an id, a key, or `api:key`, for keys that are plain numbers or that two APIs gave.
 * A key that looks like the last goes before.
 *
 * @throws NotFoundError where it is of that form and there is no such job
 */
export async function resolveJob(reads: Pick<Reads, "job">, text: string): Promise<JobRef> {
  const colon = text.indexOf(":");
  const dialect = DIALECTS.find((name) => name === text.slice(0, Math.max(colon, 0)));
  if (dialect === undefined) return jobRef(text);
  try {
    return (await reads.job(text)).id;
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
  }
  try {
    return (await reads.job({ dialect, key: text.slice(colon + 1) })).id;
  } catch (error) {
    throw error instanceof NotFoundError ? new NotFoundError("job", text) : error;
  }
}
