/** Uploaded scripts. The text lies among the artifacts; the job's spec names it. */
import { createHash } from "node:crypto";
import { ConflictError, NotFoundError, StoreUnavailableError } from "../../domain/errors.ts";
import type { Job, JobState } from "../../domain/job.ts";
import type { Engine } from "../../engine/engine.ts";
import type { BlobStore } from "../../store/blobs/blobStore.ts";
import { type StoredScript, specOf, type Upload, uploadToEngine } from "./jobSpec.ts";
import { RefusedError } from "./refusals.ts";
import { statesOf, statusOf } from "./statuses.ts";
import { jobOrNull, type StrayScripts } from "./strayScripts.ts";

export interface ScriptsOptions {
  readonly engine: Engine;
  readonly blobs: BlobStore;
  readonly strays: StrayScripts;
}

/** Jobs without a script that an upload looks through: where there are more, nobody can say which is meant. */
const MAX_BARE_JOBS = 256;

export class Scripts {
  readonly #engine: Engine;
  readonly #blobs: BlobStore;
  readonly #strays: StrayScripts;

  constructor({ engine, blobs, strays }: ScriptsOptions) {
    this.#engine = engine;
    this.#blobs = blobs;
    this.#strays = strays;
  }

  /**
   * Gives the job its script, or keeps the script for the job that will have that id, and lends it meanwhile to the
   * job that its uploader may mean.
   *
   * @param creator names the uploader as creators of jobs are named
   * @throws RefusedError when the job is not pending any more
   */
  async upload(
    jobId: string,
    script: string,
    rest: Pick<Upload, "requirements" | "entrypoint">,
    creator: () => Promise<string>,
  ): Promise<void> {
    const upload = { ...rest, script: await this.#store(script), lentBy: null };
    const job = await jobOrNull(this.#engine.read, jobId);
    if (job !== null) return this.#bind(job, upload);
    await this.#keep(jobId, upload, await creator());
    // It may have been created meanwhile, by somebody who did not see the script yet.
    await this.bindWaiting(jobId);
  }

  /** The script that waits for a job of that id. */
  async waitingFor(jobId: string): Promise<Upload | null> {
    return (await this.#strays.get(jobId))?.upload ?? null;
  }

  /** Binds the script that waits for that job, if both are there by now. */
  async bindWaiting(jobId: string): Promise<void> {
    const upload = await this.waitingFor(jobId);
    const job = upload === null ? null : await jobOrNull(this.#engine.read, jobId);
    if (upload === null || job === null) return;
    if (specOf(job).upload === null) await this.#bind(job, upload);
    await this.settled(jobId);
  }

  /** The job of that id has its script: who has it on loan gives it back, unless it has begun with it. */
  async settled(jobId: string): Promise<void> {
    const borrower = await this.#strays.borrower(jobId);
    await this.#strays.forget(jobId);
    if (borrower !== null) await this.#edit(borrower, null, ["waiting"]);
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

  async #keep(jobId: string, upload: Upload, creator: string): Promise<void> {
    const before = await this.#strays.get(jobId);
    const bare = await this.#bareJobOf(creator);
    const lentTo = bare?.key ?? before?.lentTo ?? null;
    await this.#strays.put(jobId, { upload, lentTo });
    const lent = { ...upload, lentBy: jobId };
    // One that is not bare any more got its own script this moment.
    if (bare !== null) await this.#edit(bare, lent, ["waiting"]);
    else {
      const borrower = await this.#strays.borrowerOf(jobId, before);
      if (borrower === null || specOf(borrower).creator !== creator) return;
      if (statusOf(borrower.state) === "pending") await this.#edit(borrower, lent, statesOf("pending"));
    }
  }

  /** The one job which that creator made without an id and a script, and which still waits for a script. */
  async #bareJobOf(creator: string): Promise<Job | null> {
    const { items, nextCursor } = await this.#engine.read.jobs(
      { dialect: "shelby", states: ["waiting"] },
      { order: "newest", limit: MAX_BARE_JOBS, cursor: null, wantsTotal: false },
    );
    const now = Date.now();
    const meant = items.filter((job) => {
      const spec = specOf(job);
      return spec.creator === creator && spec.upload === null && (job.runAt ?? 0) > now;
    });
    return meant.length === 1 && nextCursor === null ? (meant[0] ?? null) : null;
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

  /** Changes the script of a job that is in one of those states; another stays as it is. */
  async #edit(job: Job, upload: Upload | null, onlyFrom: readonly JobState[]): Promise<void> {
    try {
      await this.#engine.edit(job.id, { spec: { ...job.spec, ...uploadToEngine(upload) }, onlyFrom });
    } catch (error) {
      if (!(error instanceof ConflictError || error instanceof NotFoundError)) throw error;
    }
  }
}
