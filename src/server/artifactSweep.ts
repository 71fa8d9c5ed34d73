/**
 * Deletes artifacts that nothing names any more: no job in its spec, result or records, no task, no script that waits
 * for its job. A name is any SHA-256 that stands there, whatever it is for: rather one too many is kept.
 *
 * Who is about to name an artifact has just stored it, or asked whether it is there, and both make it young: only what
 * was neither for the whole keep is looked at. While all artifacts are young a sweep costs a list of them, else it reads
 * what the jobs name, a page at a time with pauses. Several servers may sweep at one time.
 */
import type { Logger } from "pino";
import type { Reads } from "../engine/engine.ts";
import type { BlobStore } from "../store/blobs/blobStore.ts";
import type { MentionPart, MentionPlace } from "../store/store.ts";

export interface ArtifactSweepOptions {
  readonly blobs: BlobStore;
  readonly reads: Pick<Reads, "mentions">;
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
const DELETED_AT_ONCE = 100;
/** Numbers that are looked at again: several servers give them out in rows, and do not commit in their order. */
const OVERLAP = 10_000;

/** Jobs last: a name that moves, as from a waiting script to its job, moves there. */
const PARTS: readonly MentionPart[] = ["documents", "tasks", "records", "jobs"];
const GROWING: readonly MentionPart[] = ["records", "jobs"];

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
    const untouchedSince = Date.now() - keepMs;
    let deleted = 0;
    for await (const old of this.#oldArtifacts(untouchedSince))
      deleted += await this.#deleteUnnamed(old, untouchedSince);
    if (deleted > 0) logger.info({ deleted }, "deleted artifacts that nothing names any more");
    return deleted;
  }

  async *#oldArtifacts(untouchedSince: number): AsyncIterable<Set<string>> {
    const { blobs, maxAtOnce = MAX_AT_ONCE } = this.#options;
    let old = new Set<string>();
    for await (const { sha256, touchedAt } of blobs.list()) {
      if (this.#isStopped) return;
      if (touchedAt < untouchedSince) old.add(sha256);
      if (old.size < maxAtOnce) continue;
      yield old;
      old = new Set();
    }
    if (old.size > 0) yield old;
  }

  async #deleteUnnamed(old: Set<string>, untouchedSince: number): Promise<number> {
    const ends = new Map<MentionPart, MentionPlace | null>();
    for (const part of PARTS) ends.set(part, await this.#keepNamed(old, part, null));
    let deleted = 0;
    while (old.size > 0 && !this.#isStopped) {
      for (const part of GROWING) {
        const end = Number(ends.get(part) ?? 0);
        ends.set(part, (await this.#keepNamed(old, part, Math.max(end - OVERLAP, 0))) ?? end);
      }
      for (const sha256 of [...old].slice(0, DELETED_AT_ONCE)) {
        if (await this.#options.blobs.delete(sha256, untouchedSince)) deleted++;
        old.delete(sha256);
      }
    }
    return deleted;
  }

  /** Takes out what that part names after that place; returns where it ends, null where there was nothing. */
  async #keepNamed(old: Set<string>, part: MentionPart, after: MentionPlace | null) {
    let end: MentionPlace | null = null;
    while (old.size > 0 && !this.#isStopped) {
      const { sha256s, place } = await this.#options.reads.mentions(part, end ?? after);
      if (place === null) break;
      end = place;
      for (const sha256 of sha256s) old.delete(sha256);
      await Bun.sleep(PAUSE_MS);
    }
    return end;
  }
}
