/**
 * Uploaded scripts. The text lies among the artifacts; the job's spec names it. A script that comes before its job
 * waits under the job's id, for a time.
 */
import { createHash } from "node:crypto";
import { ConflictError, NotFoundError, StoreUnavailableError } from "../../domain/errors.ts";
import type { Job } from "../../domain/job.ts";
import type { Engine } from "../../engine/engine.ts";
import type { BlobStore } from "../../store/blobs/blobStore.ts";
import { type StoredScript, specOf, type Upload, uploadOf, uploadToEngine } from "./jobSpec.ts";
import { RefusedError } from "./refusals.ts";
import { statesOf } from "./statuses.ts";

export interface ScriptsOptions {
  readonly engine: Engine;
  readonly blobs: BlobStore;
  /** @throws NotFoundError for a job that is not one of this API */
  readonly findJob: (jobId: string) => Promise<Job>;
  /** How long a script waits for its job. */
  readonly keepMs: number;
}

const COLLECTION = "shelby.script";

export class Scripts {
  readonly #engine: Engine;
  readonly #blobs: BlobStore;
  readonly #findJob: ScriptsOptions["findJob"];
  readonly #keepMs: number;

  constructor({ engine, blobs, findJob, keepMs }: ScriptsOptions) {
    this.#engine = engine;
    this.#blobs = blobs;
    this.#findJob = findJob;
    this.#keepMs = keepMs;
  }

  /**
   * Gives the job its script, or keeps the script for the job that will have that id.
   *
   * @throws RefusedError when the job is not pending any more
   */
  async upload(jobId: string, script: string, rest: Omit<Upload, "script">): Promise<void> {
    const upload = { ...rest, script: await this.#store(script) };
    const job = await this.#find(jobId);
    if (job !== null) return this.#bind(job, upload);
    const expiresAt = Date.now() + this.#keepMs;
    const value = uploadToEngine(upload);
    await this.#engine.putDocuments([{ collection: COLLECTION, key: jobId, value, expiresAt }]);
    // It may have been created meanwhile, by somebody who did not see the script yet.
    await this.bindWaiting(jobId);
  }

  /** The script that waits for a job of that id. */
  async waitingFor(jobId: string): Promise<Upload | null> {
    const value = await this.#engine.read.document(COLLECTION, jobId);
    return value === null ? null : uploadOf(value);
  }

  /** Binds the script that waits for that job, if both are there by now. */
  async bindWaiting(jobId: string): Promise<void> {
    const upload = await this.waitingFor(jobId);
    const job = upload === null ? null : await this.#find(jobId);
    if (upload === null || job === null) return;
    if (specOf(job).upload === null) await this.#bind(job, upload);
    await this.forget(jobId);
  }

  async forget(jobId: string): Promise<void> {
    await this.#engine.putDocuments([{ collection: COLLECTION, key: jobId, value: null }]);
  }

  /** The text of a script. */
  async text({ sha256, bytes }: StoredScript): Promise<string> {
    const blob = await this.#blobs.open(sha256);
    if (blob === null) throw new StoreUnavailableError(`the script ${sha256} is not among the artifacts`);
    return new Response(blob.body(0, bytes)).text();
  }

  async #store(script: string): Promise<StoredScript> {
    const text = new TextEncoder().encode(script);
    const sha256 = createHash("sha256").update(text).digest("hex");
    await this.#blobs.put(sha256, new Blob([text]).stream(), text.byteLength);
    return { sha256, bytes: text.byteLength };
  }

  async #bind(job: Job, upload: Upload): Promise<void> {
    try {
      await this.#engine.edit(job.id, {
        spec: { ...job.spec, ...uploadToEngine(upload) },
        // It waited for its script.
        runAt: null,
        onlyFrom: statesOf("pending"),
      });
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      throw new RefusedError("Script can only be uploaded while the job is pending");
    }
  }

  async #find(jobId: string): Promise<Job | null> {
    try {
      return await this.#findJob(jobId);
    } catch (error) {
      if (error instanceof NotFoundError) return null;
      throw error;
    }
  }
}
