/**
 * Environments that agents of earlier versions left in the cache. They mark what is whole in its folder or beside it; one
 * of them may still be at work there, and holds what it uses by the same locks.
 */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { removeTree } from "../removeTree.ts";
import { type HeldLock, tryLock } from "./sharedLock.ts";

/** Folder of the cache in which they lie. */
export const OLDER_ENVIRONMENTS_FOLDER = "environments";

const KEY = /^[0-9a-f]{64}$/;

/**
 * Removes those that nobody uses until there is room.
 *
 * @param unusedMs leaves those that were used in this time
 * @returns how many were removed
 */
export async function evictOlderEnvironments(
  root: string,
  hasRoom: () => Promise<boolean>,
  unusedMs = 0,
): Promise<number> {
  const places = keysIn(root)
    .map((key) => ({ folder: join(root, key), usedMs: usedAtMs(join(root, key)) }))
    .sort((a, b) => a.usedMs - b.usedMs);
  let removed = 0;
  for (const { folder, usedMs } of places) {
    if (usedMs > Date.now() - unusedMs || (await hasRoom())) break;
    if (await removeUnused(folder)) removed += 1;
  }
  return removed;
}

/** Their locks stay: an agent of an earlier version does not look whether the file that it locked is still there. */
async function removeUnused(folder: string): Promise<boolean> {
  let lock: HeldLock | null = null;
  try {
    lock = tryLock(`${folder}.lock`, "exclusive");
    if (lock === null) return false;
    for (const marker of markersOf(folder)) await removeTree(marker);
    await removeTree(folder);
    return true;
  } catch {
    // What cannot be removed is tried again the next time.
    return false;
  } finally {
    lock?.release();
  }
}

/** Each use is noted by the time of the marker. */
function usedAtMs(folder: string): number {
  const times = [folder, ...markersOf(folder)].map(
    (path) => lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0,
  );
  return Math.max(...times);
}

function markersOf(folder: string): string[] {
  return [join(folder, ".complete"), `${folder}.json`];
}

function keysIn(root: string): string[] {
  try {
    return readdirSync(root, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() && KEY.test(entry.name) ? [entry.name] : [],
    );
  } catch {
    return [];
  }
}
