/** Sends the output of all jobs: one request at a time, each with what has gathered since the last. */
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { LogChunk, NewLogChunk, YardmasterClient } from "@yardmaster/client";
import type { AgentLog } from "./agentLog.ts";
import { errorText } from "./errorText.ts";
import { JobLog, type JobLogLimits, type LogKeeper } from "./jobLog.ts";
import { type ServerLink, StoppedError } from "./serverLink.ts";
import { type SpoolBudget, SpoolFile, spoolPath } from "./spoolFile.ts";

/** Output in one request. As JSON it can be six times that, which stays below the server's limit of 16 MiB. */
const MAX_REQUEST_BYTES = 1024 * 1024;
/**
 * After this much output, taken in or sent, the garbage is collected: text lives in memory for moments only, but
 * left to itself the collector lets hundreds of megabytes of it gather. Measured with four jobs that write 1 GiB
 * each, random bytes among them: 290 MiB resident at the peak without this and 16 MiB buffered, 140 MiB
 * with it and 4 MiB buffered. A collection takes a few milliseconds.
 */
const COLLECT_AFTER_BYTES = 4 * 1024 * 1024;
/** Chunks in one request. */
const MAX_REQUEST_CHUNKS = 1_000;

export interface LogShipperOptions extends JobLogLimits {
  readonly client: YardmasterClient;
  readonly link: ServerLink;
  readonly workerId: string;
  readonly spoolDir: string;
  readonly log: AgentLog;
  readonly logFlushMs: number;
  readonly maxBufferedLogBytes: number;
  readonly maxSpoolBytes: number;
}

export class LogShipper implements LogKeeper {
  readonly #options: LogShipperOptions;
  readonly #budget: SpoolBudget;
  /** Logs with something to send, the longest waiting first. */
  readonly #ready = new Set<JobLog>();
  #bufferedBytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isSending = false;
  #lastSentMs = 0;
  #sinceCollectedBytes = 0;
  #isSpoolBroken = false;

  constructor(options: LogShipperOptions) {
    this.#options = options;
    this.#budget = { usedBytes: 0, maxBytes: options.maxSpoolBytes };
    mkdirSync(options.spoolDir, { recursive: true, mode: 0o700 });
  }

  /** The log of a new attempt. */
  open(id: number, attempt: number): JobLog {
    return new JobLog(id, attempt, this, this.#options);
  }

  /** The log that an earlier run left of an attempt, on disk and in the journal. */
  reopen(id: number, attempt: number, chunks: readonly LogChunk[]): JobLog {
    const path = spoolPath(this.#options.spoolDir, id, attempt);
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    const spool = size > 0 ? new SpoolFile(path, this.#budget, size) : null;
    return JobLog.recovered(id, attempt, this, { spool, chunks });
  }

  /** Removes spool files that belong to none of the attempts. */
  removeOrphans(attempts: readonly { readonly id: number; readonly attempt: number }[]): void {
    const { spoolDir } = this.#options;
    const kept = new Set(attempts.map(({ id, attempt }) => spoolPath(spoolDir, id, attempt)));
    for (const name of readdirSync(spoolDir)) {
      const path = join(spoolDir, name);
      if (!kept.has(path)) rmSync(path, { force: true });
    }
  }

  buffered(changeBytes: number): void {
    this.#bufferedBytes += changeBytes;
    if (changeBytes > 0) this.#handled(changeBytes);
  }

  get isFull(): boolean {
    return this.#bufferedBytes > this.#options.maxBufferedLogBytes;
  }

  get isIdle(): boolean {
    return !this.#isSending && this.#ready.size === 0;
  }

  ready(log: JobLog): void {
    this.#ready.add(log);
    this.#schedule();
  }

  spool(id: number, attempt: number): SpoolFile {
    return new SpoolFile(spoolPath(this.#options.spoolDir, id, attempt), this.#budget);
  }

  spoolFailed(error: unknown): void {
    if (this.#isSpoolBroken) return;
    this.#isSpoolBroken = true;
    this.#options.log.error("cannot keep output on disk; what does not fit in memory is cut", {
      path: this.#options.spoolDir,
      error: errorText(error),
    });
  }

  #schedule(): void {
    if (this.#isSending || this.#timer !== undefined || this.#ready.size === 0) return;
    // The first output after a pause goes almost at once, what follows gathers.
    const dueMs = this.#lastSentMs + this.#options.logFlushMs - performance.now();
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        void this.#send();
      },
      Math.max(1, dueMs),
    );
  }

  async #send(): Promise<void> {
    this.#isSending = true;
    this.#lastSentMs = performance.now();
    const logs: JobLog[] = [];
    const chunks: NewLogChunk[] = [];
    let bytes = 0;
    for (const log of this.#ready) {
      if (bytes >= MAX_REQUEST_BYTES || chunks.length >= MAX_REQUEST_CHUNKS) break;
      this.#ready.delete(log);
      const taken = log.take(MAX_REQUEST_BYTES - bytes);
      for (const chunk of taken) bytes += chunk.text.length;
      chunks.push(...taken);
      logs.push(log);
    }
    try {
      if (chunks.length > 0) await this.#deliver(chunks);
      for (const log of logs) log.sent();
    } catch (error) {
      if (!(error instanceof StoppedError)) {
        this.#options.log.error("sending output failed", { error: errorText(error) });
      }
      for (const log of logs) log.unsent();
    } finally {
      this.#isSending = false;
      this.#handled(bytes);
      if (!this.#options.link.isStopped) this.#schedule();
    }
  }

  /** Counts output that passed through, and collects the garbage now and then. */
  #handled(bytes: number): void {
    this.#sinceCollectedBytes += bytes;
    if (this.#sinceCollectedBytes < COLLECT_AFTER_BYTES) return;
    this.#sinceCollectedBytes = 0;
    Bun.gc(true);
  }

  /** A chunk that the server refuses is left out, so that it cannot hold up the others. */
  async #deliver(chunks: readonly NewLogChunk[]): Promise<void> {
    const { client, link, workerId } = this.#options;
    try {
      await link.call("output", (signal) => client.sendLogs({ workerId, chunks }, { signal }));
    } catch (error) {
      if (error instanceof StoppedError) throw error;
      if (chunks.length === 1) {
        const [chunk] = chunks;
        this.#options.log.error("the server refused output of a job", {
          job: chunk?.id ?? 0,
          seq: chunk?.seq ?? 0,
          error: errorText(error),
        });
        return;
      }
      const half = chunks.length >> 1;
      await this.#deliver(chunks.slice(0, half));
      await this.#deliver(chunks.slice(half));
    }
  }
}
