/** Whether the disk was what an installer failed for: not every one says so, and most remove what they wrote. */
import { statfsSync } from "node:fs";
import { isFull } from "../machineFault.ts";
import { VenvFault } from "./buildEnvironment.ts";

/** While an installer runs, it is looked this often whether its disk is full. */
const LOOK_MS = 25;
/** Room that an empty virtual environment with pip needs, which hides why it could not be made. */
const VENV_BYTES = 64 * 1024 * 1024;

export class InstallRoom {
  readonly #folder: string;
  /** Before anything was installed. */
  #freeBytes: number | null = null;
  #wasFull = false;

  /** @param folder of the cache */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Looks at the disk while something is installed, and at its end, before what it left is removed. */
  async during<T>(install: () => Promise<T>): Promise<T> {
    this.#freeBytes ??= freeBytes(this.#folder);
    const timer = setInterval(() => this.#look(), LOOK_MS);
    try {
      return await install();
    } finally {
      clearInterval(timer);
      this.#look();
    }
  }

  /** Says whether a failure was for want of room. */
  wasShort(fault: Error): boolean {
    if (this.#wasFull || saysDiskFull(fault.message)) return true;
    return fault instanceof VenvFault && (this.#freeBytes ?? VENV_BYTES) < VENV_BYTES;
  }

  #look(): void {
    if (isFull(this.#folder)) this.#wasFull = true;
  }
}

/** What programs say of a disk that is full, or a share of it that is used up. */
export function saysDiskFull(text: string): boolean {
  return /no space left on device|disk quota exceeded|os error (28|122)\b/i.test(text);
}

function freeBytes(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
