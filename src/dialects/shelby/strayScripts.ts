/**
 * Scripts that were uploaded for ids that no job has. Each waits for its job, for a time.
 *
 * Meanwhile it may be lent to a job that was created without an id and has no script: programs that follow the
 * front-end example of ShelbyCompute's document create a job, do not look which id it got, and upload its script for
 * another one. Such a job answers to that id too, until a job of that id is created.
 */
import { NotFoundError } from "../../domain/errors.ts";
import type { Job } from "../../domain/job.ts";
import type { Engine } from "../../engine/engine.ts";
import { specOf, type Upload, uploadOf, uploadToEngine } from "./jobSpec.ts";

export interface StrayScript {
  readonly upload: Upload;
  /** Id of the job that it was lent to last; null is none. */
  readonly lentTo: string | null;
}

export interface StrayScriptsOptions {
  readonly engine: Pick<Engine, "read" | "putDocuments">;
  /** How long a script waits for its job. */
  readonly keepMs: number;
}

const COLLECTION = "shelby.script";

export class StrayScripts {
  readonly #engine: StrayScriptsOptions["engine"];
  readonly #keepMs: number;

  constructor({ engine, keepMs }: StrayScriptsOptions) {
    this.#engine = engine;
    this.#keepMs = keepMs;
  }

  /** The script that waits for a job of that id. */
  async get(jobId: string): Promise<StrayScript | null> {
    const value = await this.#engine.read.document(COLLECTION, jobId);
    const upload = value === null ? null : uploadOf(value);
    if (upload === null) return null;
    return { upload, lentTo: typeof value?.lentTo === "string" ? value.lentTo : null };
  }

  async put(jobId: string, { upload, lentTo }: StrayScript): Promise<void> {
    const value = { ...uploadToEngine(upload), ...(lentTo === null ? {} : { lentTo }) };
    const expiresAt = Date.now() + this.#keepMs;
    await this.#engine.putDocuments([{ collection: COLLECTION, key: jobId, value, expiresAt }]);
  }

  async forget(jobId: string): Promise<void> {
    await this.#engine.putDocuments([{ collection: COLLECTION, key: jobId, value: null }]);
  }

  /** The job that has the script of that id on loan, if it still has it. */
  async borrower(jobId: string): Promise<Job | null> {
    return this.borrowerOf(jobId, await this.get(jobId));
  }

  /** The same, where the script was read. */
  async borrowerOf(jobId: string, stray: StrayScript | null): Promise<Job | null> {
    const key = stray?.lentTo ?? null;
    const job = key === null ? null : await jobOrNull(this.#engine.read, key);
    return job !== null && specOf(job).upload?.lentBy === jobId ? job : null;
  }
}

/** The job of exactly that id. */
export async function jobOrNull(read: Pick<Engine["read"], "job">, jobId: string): Promise<Job | null> {
  try {
    return await read.job({ dialect: "shelby", key: jobId });
  } catch (error) {
    if (error instanceof NotFoundError) return null;
    throw error;
  }
}
