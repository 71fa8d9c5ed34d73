/**
 * Holds jobs to a limit on the disk space of their workspaces. Nothing in the kernel limits a folder without quotas
 * set up by an administrator, so workspaces are looked at again and again while their jobs run.
 *
 * The looks take one after another, and a pause nine times as long as all of them together comes between two rounds: large trees
 * cost a tenth of one CPU at most, and are looked at less often.
 */
import type { Stats } from "node:fs";
import { lstatSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

const MIB = 1024 * 1024;
const FIRST_LOOK_AFTER_MS = 250;
const LEAST_PAUSE_MS = 250;
const PAUSE_PER_LOOK = 9;
/** Files asked for their size between two turns of the event loop. */
const FILES_AT_ONCE = 256;
/** What `stat` counts blocks in, whatever the file system's own size. */
const BLOCK_BYTES = 512;

interface Watched {
  readonly folder: string;
  readonly onOver: () => void;
}

export class WorkspaceWatch {
  readonly limitMb: number;
  readonly #watched = new Set<Watched>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isLooking = false;

  /** @param limitMb space on disk that one workspace may take */
  constructor(limitMb: number) {
    this.limitMb = limitMb;
  }

  /**
   * Looks at a workspace until it is over the limit, or until the returned function is called.
   *
   * @param onOver called once, when more than the limit was found
   */
  watch(folder: string, onOver: () => void): () => void {
    const watched = { folder, onOver };
    this.#watched.add(watched);
    this.#lookAfter(FIRST_LOOK_AFTER_MS);
    return () => {
      this.#watched.delete(watched);
      if (this.#watched.size > 0) return;
      clearTimeout(this.#timer);
      this.#timer = undefined;
    };
  }

  #lookAfter(pauseMs: number): void {
    if (this.#isLooking) return;
    this.#timer ??= setTimeout(() => void this.#look(), pauseMs);
  }

  async #look(): Promise<void> {
    this.#timer = undefined;
    this.#isLooking = true;
    const beganMs = performance.now();
    const maxBytes = this.limitMb * MIB;
    for (const watched of [...this.#watched]) {
      const isOver = await takesMoreThan(watched.folder, maxBytes, () => this.#watched.has(watched));
      if (isOver && this.#watched.delete(watched)) watched.onOver();
    }
    this.#isLooking = false;
    const tookMs = performance.now() - beganMs;
    if (this.#watched.size > 0) this.#lookAfter(Math.max(LEAST_PAUSE_MS, PAUSE_PER_LOOK * tookMs));
  }
}

/**
 * Says whether the files of a folder take more space on disk; links are not followed, a file of several names counts once.
 * What comes and goes meanwhile may be counted or not.
 *
 * @param isWanted asked now and then; the search ends with false when nobody waits for it any more
 */
export async function takesMoreThan(
  folder: string,
  maxBytes: number,
  isWanted: () => boolean = () => true,
): Promise<boolean> {
  const folders = [folder];
  const seen = new Set<string>();
  let bytes = 0;
  let sinceTurn = 0;
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    for (const name of await namesIn(next)) {
      if (++sinceTurn >= FILES_AT_ONCE) {
        sinceTurn = 0;
        await new Promise((done) => setImmediate(done));
        if (!isWanted()) return false;
      }
      const path = join(next, name);
      const entry = entryAt(path);
      if (entry === undefined) continue;
      if (entry.isDirectory()) folders.push(path);
      else if (entry.nlink > 1) {
        const file = `${entry.dev}:${entry.ino}`;
        if (seen.has(file)) continue;
        seen.add(file);
      }
      bytes += entry.blocks * BLOCK_BYTES;
      if (bytes > maxBytes) return true;
    }
  }
  return false;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch {
    // Gone meanwhile, or closed by the job.
    return [];
  }
}

function entryAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
