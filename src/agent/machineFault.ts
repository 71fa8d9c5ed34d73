/**
 * What is wrong with the agent's own machine, and not with the job: a full disk, no file descriptor left, a program of
 * the agent's that is gone. The job goes back to the queue, and the agent takes no more until it is over.
 */
import { statfsSync } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemCode } from "./systemCode.ts";

/** The machine is short of something; the same job may run a little later, or elsewhere. */
export class MachineBusyError extends Error {
  override readonly name = "MachineBusyError";
  /** Where the agent could not write; null where it is about something else. */
  readonly folder: string | null;
  /** The job itself may have used up what is missing: it goes back only as often as it may be recovered. */
  readonly mayBeTheJobs: boolean;
  /** Says whether it has passed; null where only another try can tell. */
  readonly isOver: (() => boolean) | null;

  constructor(
    message: string,
    more: {
      readonly folder?: string | null;
      readonly mayBeTheJobs?: boolean;
      readonly isOver?: () => boolean;
    } = {},
  ) {
    super(message);
    this.folder = more.folder ?? null;
    this.mayBeTheJobs = more.mayBeTheJobs ?? false;
    this.isOver = more.isOver ?? null;
  }
}

const WORDS = new Map([
  ["ENOSPC", "no space is left on the agent's disk"],
  ["EDQUOT", "the agent has used up its share of the disk"],
  ["EROFS", "the agent's disk is read-only"],
  ["EIO", "the agent's disk fails"],
  ["EMFILE", "the agent has no file descriptor left"],
  ["ENFILE", "the agent's machine has no file descriptor left"],
  ["ENOMEM", "the agent's machine has no memory left"],
]);

/** Says whether there was no room for what was written. */
export function isDiskFull(error: unknown): boolean {
  const code = systemCode(error);
  return code === "ENOSPC" || code === "EDQUOT";
}

/**
 * What was thrown, where it is the machine's fault; else null.
 *
 * @param folder that the agent used, with files of its own
 * @param setting by which an operator chooses the folder
 */
export function machineFault(
  error: unknown,
  folder: string,
  setting: "state-dir" | "cache-dir",
  mayBeTheJobs = false,
): MachineBusyError | null {
  if (error instanceof MachineBusyError) return error;
  const words = WORDS.get(systemCode(error));
  return words === undefined ? null : new MachineBusyError(`${words} (${setting})`, { folder, mayBeTheJobs });
}

/** With less than this on its disk an agent begins nothing: hardly a job could write anything. */
const MIN_FREE_BYTES = 1024 * 1024;

/** Says whether there is next to no room in a folder. Costs some microseconds. */
export function isFull(folder: string): boolean {
  try {
    const { bavail, bsize, files, ffree } = statfsSync(folder);
    // Some file systems do not count their files, and say that they have none.
    return bavail * bsize < MIN_FREE_BYTES || (files > 0 && ffree === 0);
  } catch {
    return false;
  }
}

/** Says whether a file can be made and written in a folder. */
export async function canWriteIn(folder: string): Promise<boolean> {
  return (await folderState(folder)) === "writable";
}

/** Whether a file can be written in a folder; where it is full more room helps, where it is broken that does not. */
export async function folderState(folder: string): Promise<"writable" | "full" | "broken"> {
  if (isFull(folder)) return "full";
  const path = join(folder, `space-${crypto.randomUUID()}`);
  let file: FileHandle | null = null;
  try {
    file = await open(path, "wx", 0o600);
    await file.write(new Uint8Array(4096));
    await file.sync();
    return "writable";
  } catch (error) {
    if (isDiskFull(error)) return "full";
    // Whatever else is wrong there, the next job tells.
    return WORDS.has(systemCode(error)) ? "broken" : "writable";
  } finally {
    await file?.close().catch(() => {});
    await rm(path, { force: true }).catch(() => {});
  }
}
