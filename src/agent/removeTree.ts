/**
 * Removes what jobs leave, also folders in which they took the right to write from themselves, as package managers do with
 * their caches: without it, only root can remove what lies in them.
 */
import { chmodSync, lstatSync, readdirSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { systemCode } from "./systemCode.ts";

const OWN_RIGHTS = 0o700;

/** Removes a folder with all that is in it; nothing happens where there is none. */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    if (!isRefused(error)) throw error;
    openFolders(path);
    await rm(path, { recursive: true, force: true });
  }
}

/** The same, at once. */
export function removeTreeSync(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    if (!isRefused(error)) throw error;
    openFolders(path);
    rmSync(path, { recursive: true, force: true });
  }
}

/** Gives the owner of the folders all rights to them. Links are not followed. */
function openFolders(path: string): void {
  const folders = [path];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const entry = lstatSync(folder, { throwIfNoEntry: false });
    if (entry?.isDirectory() !== true) continue;
    if ((entry.mode & OWN_RIGHTS) !== OWN_RIGHTS) chmodSync(folder, OWN_RIGHTS);
    for (const inner of readdirSync(folder, { withFileTypes: true })) {
      if (inner.isDirectory()) folders.push(join(folder, inner.name));
    }
  }
}

function isRefused(error: unknown): boolean {
  const code = systemCode(error);
  return code === "EACCES" || code === "EPERM";
}
