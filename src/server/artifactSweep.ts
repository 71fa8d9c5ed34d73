/**
 * Deletes artifacts that nothing names any more: no job (with its result and records), no task, no script that waits
 * for its job. A name is any SHA-256 that stands there, whatever it is for: rather one too many is kept.
 *
 * The keep begins anew when an artifact is stored or asked for, and whenever a sweep finds its name somewhere; so who is
 * about to name one, and has just stored it or asked whether it is there, is safe, and what jobs name stays a while
 * longer than the last of them. While all are young a sweep costs a list of them, else it reads what the jobs name, a page
 * at a time with pauses. Several servers of an installation may sweep at one time.
 */
import type { Logger } from "pino";
import type { Reads } from "../engine/engine.ts";
import type { BlobStore } from "../store/blobs/blobStore.ts";
import type { MentionPart, MentionPlace } from "../store/store.ts";

export interface ArtifactSweepOptions {
  readonly blobs: BlobStore;
  readonly reads: Pick<Reads, "mentions">;
  /** Name of the installation whose jobs these are: artifacts that belong to another one are let be. */
  readonly installation: () => Promise<string>;
  /** How long an artifact that nothing names is kept after it was stored, or asked for, last. */
  readonly keepMs: number;
  readonly logger: Logger;
  /** Time between two sweeps; absent is a part of the keep. */
  readonly everyMs?: number;
  /** Artifacts whose names are looked for together; bounds the memory. */
  readonly maxAtOnce?: number;
}

const MIN_EVERY_MS = 1_000;
const MAX_EVERY_MS = 6 * 3_600_000;
const MAX_AT_ONCE = 200_000;
/** Between two pages, for those who read beside. */
const PAUSE_MS = 5;
/** Deleted before it is looked again what new jobs name. */
const DELETED_AT_ONCE = 1_000;
/** An artifact is looked at after this part of the keep: where it is named it is young again. */
const LOOKED_AT_PART = 4;
/** Numbers that are looked at again: several servers give them out in rows, and do not commit in their order. */
const OVERLAP = 10_000;

/** Jobs last: a name that moves, as from a waiting script to its job, moves there. */
const PARTS: readonly MentionPart[] = ["documents", "tasks", "records", "jobs"];

export class ArtifactSweep {
  readonly #options: ArtifactSweepOptions;
  readonly #everyMs: number;
  #timer: Timer | undefined;
  #sweep: Promise<unknown> = Promise.resolve();
  #isStopped = false;

  constructor(options: ArtifactSweepOptions) {
    this.#options = options;
    this.#everyMs = options.everyMs ?? Math.min(Math.max(options.keepMs / 4, MIN_EVERY_MS), MAX_EVERY_MS);
  }

  start(): void {
    if (this.#isStopped) return;
    // Servers that were started together shall not sweep together.
    this.#timer = setTimeout(
      () => {
        this.#sweep = this.#sweepAndGoOn();
      },
      this.#everyMs * (0.75 + Math.random() / 4),
    );
  }

  /** Resolves when no sweep is under way any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#sweep;
  }

  async #sweepAndGoOn(): Promise<void> {
    try {
      await this.sweep();
    } catch (error) {
      // Nothing is lost by it: the next sweep finds the same.
      this.#options.logger.warn({ err: error }, "artifacts that nothing names could not be deleted now");
    }
    this.start();
  }

  /** One sweep; tells how many artifacts it deleted. */
  async sweep(): Promise<number> {
    const { keepMs, logger } = this.#options;
    const now = Date.now();
    let deleted = 0;
    for await (const lot of this.#lots(now - keepMs / LOOKED_AT_PART))
      deleted += await this.#sweepLot(lot, now - keepMs);
    if (deleted > 0) logger.info({ deleted }, "deleted artifacts that nothing names any more");
    return deleted;
  }

  /** Artifacts that were not touched since that time, with when they were. */
  async *#lots(untouchedSince: number): AsyncIterable<Map<string, number>> {
    const { blobs, maxAtOnce = MAX_AT_ONCE } = this.#options;
    let lot = new Map<string, number>();
    for await (const { sha256, touchedAt } of blobs.list()) {
      if (this.#isStopped) return;
      if (touchedAt < untouchedSince) lot.set(sha256, touchedAt);
      if (lot.size < maxAtOnce) continue;
      yield lot;
      lot = new Map();
    }
    if (lot.size > 0) yield lot;
  }

  async #sweepLot(lot: Map<string, number>, untouchedSince: number): Promise<number> {
    const { blobs, installation, logger } = this.#options;
    const ends = await this.#keepNamed(lot, new Map());
    for (const [sha256, touchedAt] of lot) if (touchedAt >= untouchedSince) lot.delete(sha256);
    if (lot.size === 0 || this.#isStopped) return 0;
    if (!(await blobs.claim(await installation()))) {
      logger.error(
        "these artifacts belong to another installation: none is deleted; give each installation a place of its own",
      );
      return 0;
    }
    let deleted = 0;
    while (lot.size > 0) {
      await this.#keepNamed(lot, ends);
      for (const sha256 of [...lot.keys()].slice(0, DELETED_AT_ONCE)) {
        // A look that was broken off has not seen all names.
        if (this.#isStopped) return deleted;
        if (await blobs.delete(sha256, untouchedSince)) deleted++;
        lot.delete(sha256);
      }
    }
    return deleted;
  }

  /**
   * Takes out of a lot what is named, and touches it.
   *
   * @param ends where an earlier look ended: of what only grows no more is read than what came since
   * @returns where this one ended
   */
  async #keepNamed(
    lot: Map<string, number>,
    ends: ReadonlyMap<MentionPart, MentionPlace>,
  ): Promise<Map<MentionPart, MentionPlace>> {
    const { blobs, reads } = this.#options;
    const reached = new Map<MentionPart, MentionPlace>();
    for (const part of PARTS) {
      let place = startOf(part, ends.get(part));
      while (lot.size > 0 && !this.#isStopped) {
        const page = await reads.mentions(part, place);
        if (page.place === null) break;
        place = page.place;
        for (const sha256 of page.sha256s) if (lot.delete(sha256)) await blobs.touch(sha256);
        await Bun.sleep(PAUSE_MS);
      }
      if (place !== null) reached.set(part, place);
    }
    return reached;
  }
}

function startOf(part: MentionPart, end: MentionPlace | undefined): MentionPlace | null {
  const onlyGrows = part === "jobs" || part === "records";
  return onlyGrows && typeof end === "number" ? Math.max(end - OVERLAP, 0) : null;
}
