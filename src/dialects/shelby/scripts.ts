/** Uploaded scripts. The text lies among the artifacts; the job's spec names it. */
import { createHash } from "node:crypto";
import { ConflictError, isDomainError, NotFoundError, StoreUnavailableError } from "../../domain/errors.ts";
import type { Job } from "../../domain/job.ts";
import type { Engine, JobEdit } from "../../engine/engine.ts";
import type { BlobStore } from "../../store/blobs/blobStore.ts";
import { BareJobs } from "./bareJobs.ts";
import { jobOrNull, refOf } from "./jobLookup.ts";
import { isSameUpload, type StoredScript, specOf, type Upload, uploadToEngine } from "./jobSpec.ts";
import { RefusedError } from "./refusals.ts";
import { statesOf, statusOf } from "./statuses.ts";
import { borrows, type StrayScripts } from "./strayScripts.ts";

export interface ScriptsOptions {
  readonly engine: Engine;
  readonly blobs: BlobStore;
  readonly strays: StrayScripts;
  /** How long a job waits for its script. */
  readonly graceMs: number;
}

/** How often a change of a job is tried anew that others change at the same moment. */
const MAX_TRIES = 20;

export class Scripts {
  readonly #engine: Engine;
  readonly #blobs: BlobStore;
  readonly #strays: StrayScripts;
  readonly #bareJobs: BareJobs;
  readonly #graceMs: number;

  constructor({ engine, blobs, strays, graceMs }: ScriptsOptions) {
    this.#engine = engine;
    this.#blobs = blobs;
    this.#strays = strays;
    this.#bareJobs = new BareJobs(engine);
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
    const borrower = await this.#lend(jobId, upload, creator);
    // It may have been created meanwhile, by somebody who did not see this script yet.
    const created = await this.#find(jobId);
    if (created === null) return;
    if (borrower !== null) await this.#takeBack(borrower, jobId);
    await this.#strays.forget(jobId);
    if (!isSameUpload(specOf(created).upload, upload)) await this.#bind(created, upload);
  }

  /**
   * The script that waits for a job of that id, which is about to be created. A job of the same creator's that has it
   * on loan gives it back, unless it has begun with it. `isInUse` says that somebody has the script and keeps it: then
   * another one may be on its way.
   */
  async fetchFor(
    jobId: string,
    creator: string,
  ): Promise<{ readonly upload: Upload; readonly isInUse: boolean } | null> {
    const stray = await this.#strays.get(jobId);
    if (stray === null) return null;
    const { upload, lentTo } = stray;
    if (lentTo === null) return { upload, isInUse: false };
    const borrower = await this.#find(lentTo);
    if (borrower === null) return { upload, isInUse: true };
    const isGivenBack = stray.creator === creator && (await this.#takeBack(borrower, jobId));
    return { upload, isInUse: borrows(borrower, jobId) && !isGivenBack };
  }

  /** To be called when a job was created without an id of its creator's, and has no script yet. */
  async expect(job: Job, creator: string): Promise<void> {
    try {
      await this.#bareJobs.add(job, creator);
    } catch (error) {
      // The job is there, and its creator is told so: only what an upload may guess is lost.
      if (!isDomainError(error)) throw error;
    }
  }

  /** To be called when a job was created under an id of its creator's: no script waits for it any more. */
  async settle(job: Job, creator: string): Promise<void> {
    const found = await this.fetchFor(job.key, creator);
    if (found === null) return;
    await this.#strays.forget(job.key);
    const { upload } = specOf(job);
    // One that came meanwhile, from somebody who did not see the job yet.
    if (!isSameUpload(upload, found.upload)) await this.#tryToBind(job, found.upload);
  }

  /**
   * Runs a job again that has ended. One that has no script waits for it as a new one does.
   *
   * @throws ConflictError when it has not ended
   */
  restart(job: Job): Promise<Job> {
    const waits = specOf(job).upload === null;
    return this.#engine.retry(job.id, waits ? { runAt: this.#graceEnd() } : undefined);
  }

  /**
   * To be called when a job was deleted: what waited for it is deleted with it, and what it had on loan and ran with.
   * What it only had on loan goes on waiting for its own job.
   */
  async forgetFor(job: Job): Promise<void> {
    await this.#strays.forget(job.key);
    const { lentBy } = specOf(job);
    if (lentBy === null || job.attempt === 0) return;
    if ((await this.#strays.get(lentBy))?.lentTo === job.key) await this.#strays.forget(lentBy);
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

  /** Keeps the script for its job, and lends it; resolves to the job that has it. */
  async #lend(jobId: string, upload: Upload, creator: string): Promise<Job | null> {
    for (let tried = 0; tried < MAX_TRIES; tried++) {
      const [oldest] = await this.#bareJobs.of(creator);
      const borrower = oldest ?? (await this.#waitingBorrower(jobId, creator));
      // Who looks at that id should see the job as soon as it has the script.
      await this.#strays.put(jobId, { upload, creator, lentTo: borrower?.key ?? null });
      if (borrower === null) return null;
      // The job of that id, which takes its script back, has the whole grace to come.
      const change = { runAt: this.#graceEnd(), onlyFrom: ["waiting"] } as const;
      if (await this.#edit(borrower, { upload, lentBy: jobId }, change)) return borrower;
    }
    await this.#strays.put(jobId, { upload, creator, lentTo: null });
    return null;
  }

  /** Uploading again replaces a script, also one that is lent. */
  async #waitingBorrower(jobId: string, creator: string): Promise<Job | null> {
    const stray = await this.#strays.get(jobId);
    if (stray?.creator !== creator) return null;
    const job = await this.#strays.borrower(jobId);
    return job?.state === "waiting" ? job : null;
  }

  /**
   * Takes the script of that id back from a job that has it on loan. The job waits for its own once more, and gets no
   * other one on loan.
   *
   * @returns false when the job has begun with it
   */
  async #takeBack({ key }: Job, jobId: string): Promise<boolean> {
    for (let tried = 0; tried < MAX_TRIES; tried++) {
      const job = await this.#find(key);
      if (job === null || !borrows(job, jobId)) return true;
      const isPending = statusOf(job.state) === "pending";
      if (job.attempt > 0 || !(isPending || job.state === "cancelled")) return false;
      const change = isPending
        ? { runAt: this.#graceEnd(), onlyFrom: statesOf("pending") }
        : { onlyFrom: [job.state] };
      if (await this.#edit(job, { upload: null, lentBy: jobId }, change)) return true;
    }
    return false;
  }

  async #bind(job: Job, upload: Upload): Promise<void> {
    if (await this.#tryToBind(job, upload)) return;
    throw new RefusedError("Script can only be uploaded while the job is pending");
  }

  /** @returns false when the job is not pending any more */
  async #tryToBind(job: Job, upload: Upload): Promise<boolean> {
    let current: Job | null = job;
    for (let tried = 0; tried < MAX_TRIES; tried++) {
      if (current === null || statusOf(current.state) !== "pending") return false;
      // It waited for its script.
      const change = { runAt: null, onlyFrom: statesOf("pending") };
      if (await this.#edit(current, { upload, lentBy: null }, change)) return true;
      current = await this.#find(job.key);
    }
    return false;
  }

  /**
   * Changes a job's script.
   *
   * @returns false when the job is in another state, has another script by now, or is gone
   */
  async #edit(
    { id, spec }: Job,
    { upload, lentBy }: { readonly upload: Upload | null; readonly lentBy: string | null },
    change: Pick<JobEdit, "runAt" | "onlyFrom">,
  ): Promise<boolean> {
    try {
      const changed = { ...spec, ...uploadToEngine(upload), lentBy };
      await this.#engine.edit(id, { ...change, spec: changed, onlySpec: spec });
      return true;
    } catch (error) {
      if (error instanceof ConflictError || error instanceof NotFoundError) return false;
      throw error;
    }
  }

  #graceEnd(): number {
    return Date.now() + this.#graceMs;
  }

  #find(jobId: string): Promise<Job | null> {
    return jobOrNull(this.#engine.read, refOf(jobId));
  }
}
