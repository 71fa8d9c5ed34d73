/** Delivers results: one request at a time, each with everything that finished since the last. */
import type { JobResult, YardmasterClient } from "@yardmaster/client";
import type { AgentLog } from "./agentLog.ts";
import { errorText } from "./errorText.ts";
import { type AttemptKey, type AttemptRef, attemptKey } from "./journal.ts";
import { type ServerLink, StoppedError } from "./serverLink.ts";

/** Results in one request. */
const MAX_RESULTS = 500;
/** Bytes of what jobs left as their results in one request, which a server limits; a single result may be larger. */
const MAX_RESULT_BYTES = 2 * 1024 * 1024;
/** Least time between two requests: under load results gather, a lone one goes at once. */
const INTERVAL_MS = 10;

export interface ResultSenderOptions {
  readonly client: YardmasterClient;
  readonly link: ServerLink;
  readonly workerId: string;
  readonly log: AgentLog;
  /** The server has the results, or will never take them. */
  readonly onDelivered: (attempts: readonly AttemptRef[]) => void;
}

export class ResultSender {
  readonly #options: ResultSenderOptions;
  readonly #waiting = new Map<AttemptKey, JobResult>();
  #inFlight = 0;
  #lastSentMs = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ResultSenderOptions) {
    this.#options = options;
  }

  /** Results not yet delivered. */
  get size(): number {
    return this.#waiting.size + this.#inFlight;
  }

  add(result: JobResult): void {
    this.#waiting.set(attemptKey(result), result);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#inFlight > 0 || this.#timer !== undefined || this.#waiting.size === 0) return;
    const dueMs = this.#lastSentMs + INTERVAL_MS - performance.now();
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        void this.#send();
      },
      Math.max(0, dueMs),
    );
  }

  async #send(): Promise<void> {
    const results: JobResult[] = [];
    let bytes = 0;
    for (const [key, result] of this.#waiting) {
      bytes += result.result === undefined ? 0 : JSON.stringify(result.result).length;
      if (results.length >= MAX_RESULTS || (bytes > MAX_RESULT_BYTES && results.length > 0)) break;
      results.push(result);
      this.#waiting.delete(key);
    }
    this.#inFlight = results.length;
    this.#lastSentMs = performance.now();
    try {
      await this.#deliver(results);
    } catch {
      // Stopped: the journal keeps them for the next run.
      return;
    } finally {
      this.#inFlight = 0;
    }
    this.#schedule();
  }

  /** A result that the server calls invalid is dropped with a word, so that it cannot hold up the others. */
  async #deliver(results: readonly JobResult[]): Promise<void> {
    const { client, link, workerId, log } = this.#options;
    try {
      const answers = await link.call("results", (signal) =>
        client.sendResults({ workerId, results }, { signal }),
      );
      for (const { id, accepted, reason } of answers) {
        if (!accepted) log.info("the server had no use for a result", { job: id, reason: reason ?? null });
      }
      this.#options.onDelivered(results);
    } catch (error) {
      if (error instanceof StoppedError) throw error;
      if (results.length === 1) {
        log.error("the server refused a result", { job: results[0]?.id ?? 0, error: errorText(error) });
        this.#options.onDelivered(results);
        return;
      }
      const half = results.length >> 1;
      await this.#deliver(results.slice(0, half));
      await this.#deliver(results.slice(half));
    }
  }
}
