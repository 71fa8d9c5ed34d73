/**
 * What the agent must remember when it is killed: which attempts it holds, which of them it started, and how
 * they ended. One line of JSON a change, appended; a line that was cut off is skipped when it is read back.
 *
 * A write reaches the kernel, not the disk: that survives the process. If the machine dies, leases run out
 * and the server knows what to do. Claims and starts are written before they are acted on; ends wait for the
 * next write or the end of the event loop's turn, whichever is first, since each write costs 5 µs or more.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import type { JobResult, LogChunk } from "@yardmaster/client";
import type { AgentLog } from "./agentLog.ts";
import { errorText } from "./errorText.ts";

/** Names one attempt of one job. */
export interface AttemptRef {
  readonly id: number;
  readonly attempt: number;
}

export type AttemptKey = `${number}:${number}`;

export function attemptKey({ id, attempt }: AttemptRef): AttemptKey {
  return `${id}:${attempt}`;
}

/** An attempt that the journal knows of and the server has no result for. */
export interface OpenAttempt extends AttemptRef {
  readonly stage: "claimed" | "started" | "finished";
  /** Of a finished attempt. */
  readonly result: JobResult | null;
  /** Output of a finished attempt that had not been sent. */
  readonly chunks: readonly LogChunk[];
}

type JournalLine =
  | { readonly t: "claimed"; readonly jobs: readonly (readonly [id: number, attempt: number])[] }
  | { readonly t: "started"; readonly id: number; readonly attempt: number }
  | { readonly t: "finished"; readonly result: JobResult; readonly chunks?: readonly LogChunk[] }
  | { readonly t: "done"; readonly jobs: readonly (readonly [id: number, attempt: number])[] };

/** A journal with no open attempt is emptied when it is larger than this. */
const EMPTY_OVER_BYTES = 256 * 1024;
/** One with open attempts is written anew when it has grown by this much. */
const COMPACT_OVER_BYTES = 8 * 1024 * 1024;

export class Journal {
  readonly #path: string;
  readonly #log: AgentLog;
  #fd: number;
  #bytes: number;
  #compactAtBytes: number;
  readonly #open: Map<AttemptKey, OpenAttempt>;
  #isFailing = false;
  /** Lines that wait for the next write. */
  #pending = "";
  #flush: ReturnType<typeof setImmediate> | undefined;

  /** Opens or creates the journal at `path` and reads what an earlier run left. */
  constructor(path: string, log: AgentLog) {
    this.#path = path;
    this.#log = log;
    this.#fd = openSync(path, "a+", 0o600);
    const text = fstatSync(this.#fd).size > 0 ? readFileSync(path, "utf8") : "";
    this.#bytes = Buffer.byteLength(text);
    this.#compactAtBytes = this.#bytes + COMPACT_OVER_BYTES;
    this.#open = replay(text);
    // The last line may be torn; the next one must not be glued to it.
    if (text !== "" && !text.endsWith("\n")) this.#writeNow("\n");
  }

  /** Attempts without a delivered result, oldest first. */
  openAttempts(): OpenAttempt[] {
    return [...this.#open.values()];
  }

  claimed(attempts: readonly AttemptRef[]): void {
    for (const ref of attempts) {
      this.#open.set(attemptKey(ref), { ...pick(ref), stage: "claimed", result: null, chunks: [] });
    }
    this.#writeNow(encode({ t: "claimed", jobs: attempts.map(pair) }));
  }

  /** To be called before the process is started: what is not noted as started is given back as unrun. */
  started(ref: AttemptRef): void {
    this.#open.set(attemptKey(ref), { ...pick(ref), stage: "started", result: null, chunks: [] });
    this.#writeNow(encode({ t: "started", id: ref.id, attempt: ref.attempt }));
  }

  finished(result: JobResult, chunks: readonly LogChunk[]): void {
    this.#open.set(attemptKey(result), { ...pick(result), stage: "finished", result, chunks });
    this.#writeSoon(
      encode(chunks.length === 0 ? { t: "finished", result } : { t: "finished", result, chunks }),
    );
  }

  /** The server has the results, or wants none. */
  done(attempts: readonly AttemptRef[]): void {
    if (attempts.length === 0) return;
    for (const ref of attempts) this.#open.delete(attemptKey(ref));
    this.#writeSoon(encode({ t: "done", jobs: attempts.map(pair) }));
    if (this.#open.size === 0 && this.#bytes > EMPTY_OVER_BYTES) this.#empty();
  }

  close(): void {
    this.#writeNow("");
    if (this.#open.size === 0) this.#empty();
    closeSync(this.#fd);
  }

  #writeSoon(text: string): void {
    this.#pending += text;
    this.#flush ??= setImmediate(() => this.#writeNow(""));
  }

  /** A journal that cannot be written is a danger only if the agent is killed too: jobs go on. */
  #writeNow(more: string): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    // After a failure a part of the last line may be there: begin a new one.
    const text = (this.#isFailing ? "\n" : "") + this.#pending + more;
    this.#pending = "";
    if (text === "") return;
    try {
      let written = writeSync(this.#fd, text);
      const length = Buffer.byteLength(text);
      if (written < length) {
        const data = Buffer.from(text);
        while (written < length) written += writeSync(this.#fd, data, written);
      }
      this.#bytes += length;
      if (this.#isFailing) this.#log.info("the journal can be written again", { path: this.#path });
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) {
        this.#log.error(
          "cannot write the journal; jobs go on, but would be reported as lost if the agent died",
          {
            path: this.#path,
            error: errorText(error),
          },
        );
      }
      this.#isFailing = true;
    }
    if (this.#bytes > this.#compactAtBytes) this.#compact();
  }

  #empty(): void {
    // What waits to be written speaks only of attempts that are done.
    this.#pending = "";
    try {
      ftruncateSync(this.#fd, 0);
      this.#bytes = 0;
      this.#compactAtBytes = COMPACT_OVER_BYTES;
    } catch (error) {
      this.#log.warn("cannot empty the journal", { path: this.#path, error: errorText(error) });
    }
  }

  /** Writes the open attempts to a new file and puts it in the place of the old one. */
  #compact(): void {
    const lines = this.openAttempts().map((open) => encode(lineOf(open)));
    const text = lines.join("");
    const fresh = `${this.#path}.new`;
    try {
      const fd = openSync(fresh, "w", 0o600);
      const data = Buffer.from(text);
      for (let at = 0; at < data.length; ) at += writeSync(fd, data, at);
      closeSync(fd);
      renameSync(fresh, this.#path);
      closeSync(this.#fd);
      this.#fd = openSync(this.#path, "a+", 0o600);
      this.#bytes = data.length;
    } catch (error) {
      this.#log.warn("cannot compact the journal", { path: this.#path, error: errorText(error) });
    }
    this.#compactAtBytes = this.#bytes + COMPACT_OVER_BYTES;
  }
}

function encode(line: JournalLine): string {
  return `${JSON.stringify(line)}\n`;
}

function pick({ id, attempt }: AttemptRef): AttemptRef {
  return { id, attempt };
}

function pair({ id, attempt }: AttemptRef): readonly [number, number] {
  return [id, attempt];
}

function lineOf({ id, attempt, stage, result, chunks }: OpenAttempt): JournalLine {
  if (result !== null) return { t: "finished", result, chunks };
  return stage === "started" ? { t: "started", id, attempt } : { t: "claimed", jobs: [[id, attempt]] };
}

function replay(text: string): Map<AttemptKey, OpenAttempt> {
  const open = new Map<AttemptKey, OpenAttempt>();
  for (const raw of text.split("\n")) {
    const line = parseLine(raw);
    if (line === null) continue;
    switch (line.t) {
      case "claimed":
        for (const [id, attempt] of line.jobs) {
          open.set(`${id}:${attempt}`, { id, attempt, stage: "claimed", result: null, chunks: [] });
        }
        break;
      case "started": {
        const { id, attempt } = line;
        open.set(`${id}:${attempt}`, { id, attempt, stage: "started", result: null, chunks: [] });
        break;
      }
      case "finished": {
        const { result, chunks = [] } = line;
        open.set(attemptKey(result), { ...pick(result), stage: "finished", result, chunks });
        break;
      }
      case "done":
        for (const [id, attempt] of line.jobs) open.delete(`${id}:${attempt}`);
        break;
    }
  }
  return open;
}

/** The journal's own lines only: a line that does not parse was cut off, by a kill or a full disk. */
function parseLine(raw: string): JournalLine | null {
  if (raw === "") return null;
  try {
    const line: JournalLine = JSON.parse(raw);
    return typeof line === "object" && line !== null && typeof line.t === "string" ? line : null;
  } catch {
    return null;
  }
}
