/**
 * Room on a full disk, made of what the agent keeps there only to be quicker: downloads and environments. Their own
 * limits are no help when others, or the jobs, use up the rest of the disk.
 */
import { statfsSync, statSync } from "node:fs";
import type { AgentLog } from "./agentLog.ts";
import { errorText } from "./errorText.ts";
import { canWriteIn } from "./machineFault.ts";

/** What can be had again, in one folder. */
export interface Evictable {
  readonly folder: string;
  /**
   * Removes what nobody uses, that used longest ago first, until there is enough room.
   *
   * @returns how many things were removed
   */
  evict(hasRoom: () => Promise<boolean>): Promise<number>;
}

/** Room that is made at least: with less the next job would find the disk full again. */
const ROOM_BYTES = 64 * 1024 * 1024;

/**
 * Makes room on the disk of a folder by what lies on the same one.
 *
 * @returns whether anything was removed
 */
export type MakeRoom = (folder: string) => Promise<boolean>;

/** @param places in the order in which they are emptied */
export function diskRoom(places: readonly Evictable[], log: AgentLog): MakeRoom {
  return async (folder) => {
    let removed = 0;
    try {
      const hasRoom = async (): Promise<boolean> =>
        freeBytes(folder) >= ROOM_BYTES && (await canWriteIn(folder));
      for (const place of places) {
        if (isOnOneDisk(folder, place.folder)) removed += await place.evict(hasRoom);
      }
    } catch (error) {
      log.warn("cannot make room on the disk", { folder, error: errorText(error) });
    }
    if (removed > 0)
      log.info("the disk was full: removed what nobody used of the cache", { folder, removed });
    return removed > 0;
  };
}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

function isOnOneDisk(one: string, other: string): boolean {
  try {
    return statSync(one).dev === statSync(other).dev;
  } catch {
    // A folder that was never made holds nothing.
    return false;
  }
}
