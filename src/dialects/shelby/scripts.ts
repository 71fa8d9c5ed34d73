/** Uploaded scripts. The text lies among the artifacts; the job's spec names it. */
import { createHash } from "node:crypto";
import { canonicalJson } from "../../domain/canonicalJson.ts";
import { ConflictError, NotFoundError, StoreUnavailableError } from "../../domain/errors.ts";
import type { Job, JobState } from "../../domain/job.ts";
import type { Engine, JobEdit } from "../../engine/engine.ts";
import type { BlobStore } from "../../store/blobs/blobStore.ts";
import { jobOrNull, refOf } from "./jobLookup.ts";
import { isSameUpload, type StoredScript, specOf, type Upload, uploadToEngine } from "./jobSpec.ts";
import { RefusedError } from "./refusals.ts";
import { statesOf } from "./statuses.ts";
import { borrows, type StrayScripts } from "./strayScripts.ts";
import { CREATOR_LABEL } from "./submission.ts";

export interface ScriptsOptions {
  readonly engine: Engine;
  readonly blobs: BlobStore;
  readonly strays: StrayScripts;
  /** How long a job waits for its script. */
  readonly graceMs: number;
}

/** Jobs of one creator that an upload looks at, the oldest that wait. */
const MAX_BARE_JOBS = 32;

export class Scripts {
  readonly #engine: Engine;
  readonly #blobs: BlobStore;
  readonly #strays: StrayScripts;
  readonly #graceMs: number;

  constructor({ engine, blobs, strays, graceMs }: ScriptsOptions) {
    this.#engine = engine;
    this.#blobs = blobs;
    this.#strays = strays;
    this.#graceMs = graceMs;
  }

  /**
   * Gives the job its script, or keeps the script for the job that will have that id, and lends it meanwhile to the
   * job that its uploader may mean.
   *
   * @param creator the uploader, named as creators of jobs are
   * @throws RefusedError when the job is not pending any more
   */
  async upload(
    jobId: string,
    script: string,
    rest: Pick<Upload, "requirements" | "entrypoint">,
    creator: string,
  ): Promise<void> {
    const upload = { ...rest, script: await this.#store(script) };
    const job = await this.#find(jobId);
    if (job !== null) return this.#bind(job, upload);
    const borrower = await this.#keep(jobId, upload, creator);
    // It may have been created meanwhile, by somebody who did not see this script yet.
    const created = await this.#find(jobId);
    if (created === null) return;
    if (borrower !== null) await this.#takeBack(borrower);
    await this.#strays.forget(jobId);
    if (!isSameUpload(specOf(created).upload, upload)) await this.#bind(created, upload);
  }

  /**
   * The script that waits for a job of that id, which is about to be created. Who has it on loan gives it back, unless
   * it has begun with it: then the script has been of use, and another one may be on its way.
   */
  async fetchFor(jobId: string): Promise<{ readonly upload: Upload; readonly wasUsed: boolean } | null> {
    const stray = await this.#strays.get(jobId);
    if (stray === null) return null;
    const { upload, lentTo } = stray;
    if (lentTo === null) return { upload, wasUsed: false };
    const borrower = await this.#find(lentTo);
    if (borrower === null) return { upload, wasUsed: true };
    return { upload, wasUsed: borrows(borrower, jobId) && !(await this.#takeBack(borrower)) };
  }

  /** To be called when a job was created under an id of its creator's: no script waits for it any more. */
  async settle(job: Job): Promise<void> {
    const found = await this.fetchFor(job.key);
    if (found === null) return;
    await this.#strays.forget(job.key);
    const { upload } = found;
    // One that came meanwhile, from somebody who did not see the job yet.
    const isNew = !isSameUpload(specOf(job).upload, upload);
    if (isNew)
      await this.#edit(job, { upload, lentBy: null }, { runAt: null, onlyFrom: statesOf("pending") });
  }

  /**
   * Runs a job again that has ended. One that has no script waits for it as a new one does.
   *
   * @throws ConflictError when it has not ended
   */
  restart(job: Job): Promise<Job> {
    const waits = specOf(job).upload === null;
    return this.#engine.retry(job.id, waits ? { runAt: Date.now() + this.#graceMs } : undefined);
  }

  /** To be called when a job was deleted: what waited for it, and what it had on loan, is deleted with it. */
  async forgetFor(job: Job): Promise<void> {
    await this.#strays.forget(job.key);
    const { lentBy } = specOf(job);
    if (lentBy === null || (await this.#strays.get(lentBy))?.lentTo !== job.key) return;
    await this.#strays.forget(lentBy);
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

  /** Keeps the script for its job, and lends it; resolves to the job that it was lent to. */
  async #keep(jobId: string, upload: Upload, creator: string): Promise<Job | null> {
    const borrower = (await this.#bareJobOf(creator)) ?? (await this.#waitingBorrower(jobId, creator));
    // Who looks at that id should see the job as soon as it has the script.
    await this.#strays.put(jobId, { upload, lentTo: borrower?.key ?? null });
    if (borrower === null) return null;
    // The job of that id, which takes its script back, has the whole grace to come.
    const runAt = Date.now() + this.#graceMs;
    const isLent = await this.#edit(borrower, { upload, lentBy: jobId }, { runAt, onlyFrom: ["waiting"] });
    return isLent ? borrower : null;
  }

  /**
   * The job that the creator made without an id, and which waits for its script. Of several that are all alike it is
   * the oldest; of others nobody can say which is meant.
   */
  async #bareJobOf(creator: string): Promise<Job | null> {
    const { items } = await this.#engine.read.jobs(
      { dialect: "shelby", states: ["waiting"], label: { key: CREATOR_LABEL, value: creator } },
      { order: "oldest", limit: MAX_BARE_JOBS, cursor: null, wantsTotal: false },
    );
    const bare = items.filter((job) => {
      const { upload, lentBy } = specOf(job);
      return upload === null && lentBy === null && (job.runAt ?? 0) > Date.now();
    });
    const areAlike = new Set(bare.map(({ name, spec }) => canonicalJson({ name, spec }))).size === 1;
    return areAlike ? (bare[0] ?? null) : null;
  }

  /** Uploading again replaces a script, also one that is lent. */
  async #waitingBorrower(jobId: string, creator: string): Promise<Job | null> {
    const job = await this.#strays.borrower(jobId);
    return job?.state === "waiting" && job.labels[CREATOR_LABEL] === creator ? job : null;
  }

  /**
   * Takes a script back from a job that has it on loan; the job gets no other.
   *
   * @returns false when the job has begun with it
   */
  async #takeBack(job: Job): Promise<boolean> {
    if (job.attempt > 0) return false;
    const { lentBy } = specOf(job);
    return this.#edit(job, { upload: null, lentBy }, { onlyFrom: statesOf("pending") });
  }

  async #bind(job: Job, upload: Upload): Promise<void> {
    // It waited for its script.
    const isBound = await this.#edit(
      job,
      { upload, lentBy: null },
      { runAt: null, onlyFrom: statesOf("pending") },
    );
    if (!isBound) throw new RefusedError("Script can only be uploaded while the job is pending");
  }

  /**
   * Changes a job's script.
   *
   * @returns false when the job is in another state, or gone
   */
  async #edit(
    { id, spec }: Job,
    { upload, lentBy }: { readonly upload: Upload | null; readonly lentBy: string | null },
    change: JobEdit & { readonly onlyFrom: readonly JobState[] },
  ): Promise<boolean> {
    try {
      await this.#engine.edit(id, { spec: { ...spec, ...uploadToEngine(upload), lentBy }, ...change });
      return true;
    } catch (error) {
      if (error instanceof ConflictError || error instanceof NotFoundError) return false;
      throw error;
    }
  }

  #find(jobId: string): Promise<Job | null> {
    return jobOrNull(this.#engine.read, refOf(jobId));
  }
}
