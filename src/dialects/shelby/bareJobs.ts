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
/** So many of one creator may wait at a time; of more some are not seen. */
const PLACES = 16;

interface Entry {
  readonly jobId: string;
  /** Hash of what the job says: jobs that say the same are alike. */
  readonly content: string;
}

export class BareJobs {
  readonly #engine: Pick<Engine, "read" | "putDocuments">;

  constructor(engine: Pick<Engine, "read" | "putDocuments">) {
    this.#engine = engine;
  }

  /** Enters a job for as long as it waits. */
  async add(job: Job, creator: string): Promise<void> {
    const { runAt } = job;
    if (runAt === null) return;
    const hash = createHash("sha256").update(canonicalJson({ name: job.name, spec: job.spec }));
    const entry = { jobId: job.key, content: hash.digest("hex") };
    const own = job.id % PLACES;
    for (let tried = 0; tried < PLACES; tried++) {
      const place = (own + tried) % PLACES;
      if ((await this.#jobAt(creator, place)) === null) return this.#put(creator, place, entry, runAt);
    }
    // It takes the place of another, and where that was not like it nobody can say which is meant.
    const displaced = await this.#entryAt(creator, own);
    const areAlike = displaced === null || displaced.content === entry.content;
    await this.#put(creator, own, areAlike ? entry : { ...entry, content: job.key }, runAt);
  }

  /** The creator's jobs that wait for a script, the oldest first; none where they are not all alike. */
  async of(creator: string): Promise<readonly Job[]> {
    const places = Array.from({ length: PLACES }, (_, place) => this.#jobAt(creator, place));
    const bare = (await Promise.all(places)).filter((one) => one !== null);
    if (new Set(bare.map(({ content }) => content)).size > 1) return [];
    return bare.map(({ job }) => job).sort((a, b) => a.id - b.id);
  }

  /** Null where no job waits, or none any more. */
  async #jobAt(
    creator: string,
    place: number,
  ): Promise<{ readonly job: Job; readonly content: string } | null> {
    const entry = await this.#entryAt(creator, place);
    const job = entry === null ? null : await jobOrNull(this.#engine.read, refOf(entry.jobId));
    return entry !== null && job !== null && isBare(job) ? { job, content: entry.content } : null;
  }

  async #entryAt(creator: string, place: number): Promise<Entry | null> {
    const value = await this.#engine.read.document(COLLECTION, placeOf(creator, place));
    const { jobId, content, until } = value ?? {};
    if (typeof jobId !== "string" || typeof content !== "string" || Number(until) <= Date.now()) return null;
    return { jobId, content };
  }

  async #put(creator: string, place: number, entry: Entry, until: number): Promise<void> {
    const document = { collection: COLLECTION, key: placeOf(creator, place), expiresAt: until };
    await this.#engine.putDocuments([{ ...document, value: { ...entry, until } }]);
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
