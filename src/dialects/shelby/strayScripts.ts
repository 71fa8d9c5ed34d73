/**
 * Scripts that were uploaded for ids that no job has. Each waits for its job, for a time.
 *
 * Meanwhile it may be lent to a job that was created without an id and has no script: programs that follow the
 * front-end example of ShelbyCompute's document create a job, do not look which id it got, and upload its script for
 * another one. Whoever looks at that id then sees the job that has its script.
 */
import type { Job } from "../../domain/job.ts";
import type { Engine } from "../../engine/engine.ts";
import { jobOrNull, refOf } from "./jobLookup.ts";
import { specOf, type Upload, uploadOf, uploadToEngine } from "./jobSpec.ts";

export interface StrayScript {
  readonly upload: Upload;
  /** Who uploaded it; null where an older version did not keep it. */
  readonly creator: string | null;
  /** Id of the job that it was lent to; null is none. */
  readonly lentTo: string | null;
}

export interface StrayScriptsOptions {
  readonly engine: Pick<Engine, "read" | "putDocuments">;
  /** How long a script waits for its job. */
  readonly keepMs: number;
}

const COLLECTION = "shelby.script";
/** For so long at least one can look at the id of a script that was lent. */
const LENT_KEEP_MS = 7 * 86_400_000;

export class StrayScripts {
  readonly #engine: StrayScriptsOptions["engine"];
  readonly #keepMs: number;

  constructor({ engine, keepMs }: StrayScriptsOptions) {
    this.#engine = engine;
    this.#keepMs = keepMs;
  }

  async get(jobId: string): Promise<StrayScript | null> {
    const value = await this.#engine.read.document(COLLECTION, jobId);
    const upload = value === null ? null : uploadOf(value);
    if (value === null || upload === null) return null;
    const { creator, lentTo } = value;
    return {
      upload,
      creator: typeof creator === "string" ? creator : null,
      lentTo: typeof lentTo === "string" ? lentTo : null,
    };
  }

  async put(jobId: string, { upload, creator, lentTo }: StrayScript): Promise<void> {
    const value = { ...uploadToEngine(upload), creator, lentTo };
    const keepMs = lentTo === null ? this.#keepMs : Math.max(this.#keepMs, LENT_KEEP_MS);
    const expiresAt = Date.now() + keepMs;
    await this.#engine.putDocuments([{ collection: COLLECTION, key: jobId, value, expiresAt }]);
  }

  async forget(jobId: string): Promise<void> {
    await this.#engine.putDocuments([{ collection: COLLECTION, key: jobId, value: null }]);
  }

  /** The job that has the script of that id on loan. */
  async borrower(jobId: string): Promise<Job | null> {
    const key = (await this.get(jobId))?.lentTo ?? null;
    const job = key === null ? null : await jobOrNull(this.#engine.read, refOf(key));
    return job !== null && borrows(job, jobId) ? job : null;
  }
}

/** Says whether the job has the script of that id on loan. */
export function borrows(job: Job, jobId: string): boolean {
  const { lentBy, upload } = specOf(job);
  return lentBy === jobId && upload !== null;
}
