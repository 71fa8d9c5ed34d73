/** Output of one job that waits on disk: appended at the end, read from the front, removed when sent. */
import { closeSync, ftruncateSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { LogChunk } from "@yardmaster/client";

/** What all spool files of an agent may take together. */
export interface SpoolBudget {
  usedBytes: number;
  readonly maxBytes: number;
}

/** The spool's budget is used up. */
export class SpoolFullError extends Error {
  override readonly name = "SpoolFullError";
}

const READ_BYTES = 1024 * 1024;

export function spoolPath(spoolDir: string, id: number, attempt: number): string {
  return join(spoolDir, `${id}-${attempt}.ndjson`);
}

export class SpoolFile {
  readonly #path: string;
  readonly #budget: SpoolBudget;
  #fd: number | null = null;
  #writtenBytes = 0;
  #readBytes = 0;

  /** `heldBytes`: length of a file that an earlier run left, else 0. */
  constructor(path: string, budget: SpoolBudget, heldBytes = 0) {
    this.#path = path;
    this.#budget = budget;
    this.#writtenBytes = heldBytes;
    budget.usedBytes += heldBytes;
  }

  get hasUnread(): boolean {
    return this.#readBytes < this.#writtenBytes;
  }

  /**
   * Appends chunks, all or none.
   *
   * @throws SpoolFullError over the budget, and what the file system throws.
   */
  append(chunks: readonly LogChunk[]): void {
    const data = Buffer.from(chunks.map((chunk) => `${JSON.stringify(chunk)}\n`).join(""));
    if (this.#budget.usedBytes + data.length > this.#budget.maxBytes) {
      throw new SpoolFullError(`the spool holds its ${this.#budget.maxBytes} bytes`);
    }
    const fd = this.#open();
    try {
      for (let at = 0; at < data.length; ) {
        at += writeSync(fd, data, at, data.length - at, this.#writtenBytes + at);
      }
    } catch (error) {
      // A full disk may have taken a part: no half line may stay.
      ftruncateSync(fd, this.#writtenBytes);
      throw error;
    }
    this.#writtenBytes += data.length;
    this.#budget.usedBytes += data.length;
  }

  /** The next chunks, about a mebibyte, and where the file goes on after them. */
  read(): { chunks: LogChunk[]; readBytes: number } {
    const fd = this.#open();
    for (let size = READ_BYTES; ; size *= 2) {
      const buffer = Buffer.alloc(Math.min(size, this.#writtenBytes - this.#readBytes));
      const count = readSync(fd, buffer, 0, buffer.length, this.#readBytes);
      const end = buffer.lastIndexOf(10, count - 1) + 1;
      const isAll = count < buffer.length || this.#readBytes + count >= this.#writtenBytes;
      if (end === 0 && !isAll) continue;
      const chunks = buffer.toString("utf8", 0, end).split("\n").flatMap(parseChunk);
      // What follows the last line end of the whole file was cut off by the agent's death.
      return { chunks, readBytes: isAll ? this.#writtenBytes : this.#readBytes + end };
    }
  }

  /** Everything before `readBytes` has been sent. */
  advance(readBytes: number): void {
    this.#readBytes = readBytes;
  }

  remove(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
    rmSync(this.#path, { force: true });
    this.#budget.usedBytes -= this.#writtenBytes;
    this.#writtenBytes = 0;
    this.#readBytes = 0;
  }

  #open(): number {
    this.#fd ??= openSync(this.#path, this.#writtenBytes > 0 ? "r+" : "w+", 0o600);
    return this.#fd;
  }
}

function parseChunk(line: string): LogChunk[] {
  if (line === "") return [];
  try {
    const chunk: LogChunk = JSON.parse(line);
    return [chunk];
  } catch {
    return [];
  }
}
