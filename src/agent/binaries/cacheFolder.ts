/**
 * The files of the cache: `sha256/ab/<checksum>`, what is still on its way beside it as `<checksum>.part`, and
 * `<checksum>.source`, which says what a part belongs to. The checksum alone names a file.
 */
import { closeSync, constants, fstatSync, mkdirSync, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { tryLock } from "./fileLock.ts";
import { isSha256 } from "./sha256.ts";

export interface CachePaths {
  readonly file: string;
  readonly part: string;
  readonly source: string;
}

/** A file of the cache, used at a time in milliseconds. */
interface Entry {
  readonly path: string;
  readonly sizeBytes: number;
  readonly usedAtMs: number;
}

/** The cache's folder cannot be used. */
export class CacheFolderError extends Error {
  override readonly name = "CacheFolderError";
}

export class CacheFolder {
  readonly path: string;
  readonly #root: string;
  #isMade = false;

  constructor(path: string) {
    this.path = path;
    this.#root = join(path, "sha256");
  }

  /** Where a checksum's files are. @throws RangeError for what is no checksum */
  pathsOf(sha256: string): CachePaths {
    if (!isSha256(sha256))
      throw new RangeError("expected a SHA-256 as 64 hexadecimal digits in small letters");
    const file = join(this.#root, sha256.slice(0, 2), sha256);
    return { file, part: `${file}.part`, source: `${file}.source` };
  }

  /**
   * Makes the folder of a checksum.
   *
   * @throws CacheFolderError when others may write in the cache, for then they choose what is run
   */
  make(sha256: string): void {
    if (!this.#isMade) {
      mkdirSync(this.#root, { recursive: true, mode: 0o700 });
      refuseForeign(this.#root, "own");
      // Whoever may write here can put another folder in the place of ours.
      refuseForeign(this.path, "outer");
      this.#isMade = true;
    }
    mkdirSync(join(this.#root, sha256.slice(0, 2)), { recursive: true, mode: 0o700 });
  }

  /**
   * Removes what was not used for longest until `neededBytes` fit beside the rest into `maxBytes`. What somebody uses or
   * fills is locked, and stays.
   *
   * @returns how many bytes the cache has now, and how many were removed
   */
  makeRoom(neededBytes: number, maxBytes: number): { totalBytes: number; removedBytes: number } {
    const entries = this.#entries();
    let totalBytes = 0;
    for (const { sizeBytes } of entries) totalBytes += sizeBytes;
    let removedBytes = 0;
    for (const entry of entries) {
      if (totalBytes + neededBytes <= maxBytes) break;
      if (!removeUnused(entry.path)) continue;
      totalBytes -= entry.sizeBytes;
      removedBytes += entry.sizeBytes;
    }
    return { totalBytes, removedBytes };
  }

  /** The same until `hasRoom` is true; returns how many files were removed. */
  async evict(hasRoom: () => Promise<boolean>): Promise<number> {
    let removed = 0;
    for (const { path } of this.#entries()) {
      if (await hasRoom()) break;
      if (removeUnused(path)) removed += 1;
    }
    return removed;
  }

  /** Those used longest ago first. */
  #entries(): Entry[] {
    const entries = listFolder(this.#root).flatMap((prefix) =>
      listFolder(join(this.#root, prefix)).flatMap((name): Entry[] => {
        if (!isSha256(name.replace(/\.part$/, ""))) return [];
        const path = join(this.#root, prefix, name);
        try {
          const { size, mtimeMs } = statSync(path);
          return [{ path, sizeBytes: size, usedAtMs: mtimeMs }];
        } catch {
          // Another agent has removed it.
          return [];
        }
      }),
    );
    return entries.sort((a, b) => a.usedAtMs - b.usedAtMs);
  }
}

/**
 * @param place an outer folder may be root's, and others may write in it where they can remove only what is theirs
 *   (the sticky bit, as `/tmp` has it)
 */
function refuseForeign(path: string, place: "own" | "outer"): void {
  const { uid, mode } = statSync(path);
  const isOurs = process.getuid === undefined || uid === process.getuid() || (place === "outer" && uid === 0);
  const isSafe = (mode & 0o022) === 0 || (place === "outer" && (mode & 0o1000) !== 0);
  if (isOurs && isSafe) return;
  throw new CacheFolderError(
    `the cache folder ${path} ${isOurs ? "can be written by others" : "belongs to another user"}: choose another one (cache-dir)`,
  );
}

/** Removes a file that nobody has a lock on. */
function removeUnused(path: string): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch {
    return false;
  }
  try {
    if (!tryLock(descriptor, "exclusive") || !isFileAt(descriptor, path)) return false;
    rmSync(path, { force: true });
    if (path.endsWith(".part")) rmSync(path.replace(/\.part$/, ".source"), { force: true });
    return true;
  } catch {
    return false;
  } finally {
    closeSync(descriptor);
  }
}

/** Says whether an open file is still the one at `path`: before the lock was taken, it may have been replaced. */
export function isFileAt(descriptor: number, path: string): boolean {
  try {
    const open = fstatSync(descriptor);
    const there = statSync(path);
    return open.ino === there.ino && open.dev === there.dev;
  } catch {
    return false;
  }
}

function listFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** A file of the cache, open and locked for use; busy where another agent is about to finish or to remove it. */
export function openLocked(path: string): number | "absent" | "busy" {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch {
    return "absent";
  }
  if (tryLock(descriptor, "shared") && isFileAt(descriptor, path)) return descriptor;
  closeSync(descriptor);
  return "busy";
}

/** Says whether a binary is there, also while somebody else has it locked. */
export function isThere(path: string): boolean {
  const descriptor = openLocked(path);
  if (typeof descriptor === "number") closeSync(descriptor);
  return descriptor !== "absent";
}
