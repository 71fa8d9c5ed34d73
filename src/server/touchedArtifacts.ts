/** Makes artifacts young that somebody asks for, so that they are not deleted for their age; now and then is enough. */
import type { BlobStore } from "../store/blobs/blobStore.ts";

/** A touch is told to the store again after this part of the keep, */
const KEEP_PART = 10;
/** and no less often than this. */
const MAX_PAUSE_MS = 3_600_000;
const MAX_REMEMBERED = 10_000;

export class TouchedArtifacts {
  readonly #blobs: Pick<BlobStore, "touch">;
  /** Infinite where artifacts are kept for ever. */
  readonly #pauseMs: number;
  /** When the store was told, by artifact; the oldest first. */
  readonly #toldAt = new Map<string, number>();

  /** @param keepMs how long artifacts are kept that nothing names; null is for ever */
  constructor(blobs: Pick<BlobStore, "touch">, keepMs: number | null) {
    this.#blobs = blobs;
    this.#pauseMs = keepMs === null ? Number.POSITIVE_INFINITY : Math.min(keepMs / KEEP_PART, MAX_PAUSE_MS);
  }

  /** Somebody asked for it. Where it is not there, or cannot be touched now, who looks for it finds that out. */
  async touch(sha256: string): Promise<void> {
    if (this.#pauseMs === Number.POSITIVE_INFINITY) return;
    const now = performance.now();
    const toldAt = this.#toldAt.get(sha256);
    if (toldAt !== undefined && now - toldAt < this.#pauseMs) return;
    if (!(await this.#blobs.touch(sha256).catch(() => false))) return;
    this.#toldAt.delete(sha256);
    this.#toldAt.set(sha256, now);
    for (const oldest of this.#toldAt.keys()) {
      if (this.#toldAt.size <= MAX_REMEMBERED) return;
      this.#toldAt.delete(oldest);
    }
  }
}
