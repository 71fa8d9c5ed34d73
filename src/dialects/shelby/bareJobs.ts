/**
 * Jobs that were created without an id of their creator's, and that wait for their scripts: which of them an upload for
 * an id that no job has may mean. Each creator has a few places, which jobs take in turn; every server sees them.
 */
import { createHash } from "node:crypto";
import { canonicalJson } from "../../domain/canonicalJson.ts";
import type { Job } from "../../domain/job.ts";
import type { Engine } from "../../engine/engine.ts";
import { jobOrNull, refOf } from "./jobLookup.ts";
import { specOf } from "./jobSpec.ts";

const COLLECTION = "shelby.bare";
/** Of more that wait at a time the newest count. */
const PLACES = 8;

export class BareJobs {
  readonly #engine: Pick<Engine, "read" | "putDocuments">;

  constructor(engine: Pick<Engine, "read" | "putDocuments">) {
    this.#engine = engine;
  }

  /** Enters a job for as long as it waits. */
  async add(job: Job, creator: string): Promise<void> {
    const { runAt } = job;
    if (runAt === null) return;
    const content = createHash("sha256").update(canonicalJson({ name: job.name, spec: job.spec }));
    const value = { job: job.key, until: runAt, content: content.digest("hex") };
    const key = placeOf(creator, job.id % PLACES);
    await this.#engine.putDocuments([{ collection: COLLECTION, key, value, expiresAt: runAt }]);
  }

  /** The creator's jobs that wait for a script, the oldest first; none where they are not all alike. */
  async of(creator: string): Promise<readonly Job[]> {
    const now = Date.now();
    const found = await Promise.all(
      Array.from({ length: PLACES }, async (_, place) => {
        const entry = await this.#engine.read.document(COLLECTION, placeOf(creator, place));
        if (typeof entry?.job !== "string" || Number(entry.until) <= now) return null;
        const job = await jobOrNull(this.#engine.read, refOf(entry.job));
        return job !== null && isBare(job) ? { job, content: entry.content } : null;
      }),
    );
    const bare = found.filter((one) => one !== null);
    if (new Set(bare.map(({ content }) => content)).size > 1) return [];
    return bare.map(({ job }) => job).sort((a, b) => a.id - b.id);
  }
}

function placeOf(creator: string, place: number): string {
  return `${creator}/${place}`;
}

/** Says whether the job waits for a script, and has had none on loan. */
function isBare(job: Job): boolean {
  const { upload, lentBy } = specOf(job);
  return job.state === "waiting" && upload === null && lentBy === null;
}
