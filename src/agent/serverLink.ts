/**
 * Whether the server can be reached, and how to go on when it cannot: try again for as long as the agent
 * lives, more slowly each time up to a limit, and say so once per change.
 */
import { ConnectionError, YardmasterError } from "@yardmaster/client";
import type { AgentLog } from "./agentLog.ts";
import { errorText } from "./errorText.ts";

/** The agent ended before the server could be reached. */
export class StoppedError extends Error {
  override readonly name = "StoppedError";
}

/** Statuses that say nothing about the request itself: the same request may succeed later. */
const LATER = new Set([401, 403, 408, 425, 429]);

const FIRST_PAUSE_MS = 100;
/** Registrations tried for one request that the server answers with 404. */
const MAX_REGISTRATIONS = 3;

export interface ServerLinkOptions {
  readonly serverUrl: string;
  readonly maxRetryPauseMs: number;
  readonly log: AgentLog;
  /** Makes the worker known; called when the server is back, and when it does not know the worker. */
  readonly register: (signal: AbortSignal) => Promise<void>;
}

export class ServerLink {
  readonly #options: ServerLinkOptions;
  readonly #stop = new AbortController();
  #isUp: boolean | null = null;
  #wasUp = false;
  #mustRegister = true;
  #registration: Promise<void> | null = null;

  constructor(options: ServerLinkOptions) {
    this.#options = options;
  }

  get isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  /** The server has answered at least once. */
  get wasUp(): boolean {
    return this.#wasUp;
  }

  /** Ends every call under way with `StoppedError`. */
  stop(): void {
    this.#stop.abort(new StoppedError("the agent has ended"));
  }

  /**
   * Makes a request until it is answered. `signal` aborts this call alone.
   *
   * @throws StoppedError when the agent ends, the signal's reason, and YardmasterError for a request that will
   *   never be accepted.
   */
  async call<T>(
    what: string,
    request: (signal: AbortSignal) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const both = signal === undefined ? this.#stop.signal : AbortSignal.any([this.#stop.signal, signal]);
    let registrations = 0;
    for (let tried = 0; ; tried++) {
      both.throwIfAborted();
      try {
        if (this.#mustRegister) await this.#register();
        const answer = await request(both);
        this.succeeded();
        return answer;
      } catch (error) {
        if (both.aborted) throw both.reason;
        if (isUnknownWorker(error) && registrations < MAX_REGISTRATIONS) {
          registrations += 1;
          this.#mustRegister = true;
        } else if (!isWorthRepeating(error)) {
          throw error;
        } else {
          this.failed(what, error);
        }
        await pause(this.#pauseMs(error, tried), both);
      }
    }
  }

  /** A request was answered. */
  succeeded(): void {
    if (this.#isUp !== true) this.#options.log.info("connected", { server: this.#options.serverUrl });
    this.#isUp = true;
    this.#wasUp = true;
  }

  /** A request was not answered, or only with "not now". */
  failed(what: string, error: unknown): void {
    if (this.#isUp !== false) {
      const fields = { server: this.#options.serverUrl, request: what, error: errorText(error) };
      const fault = isRefusal(error)
        ? "the server refuses this agent"
        : "the server cannot be reached or does not answer now";
      this.#options.log.warn(`${fault}; trying on`, fields);
    }
    this.#isUp = false;
    // A server that was away may have lost sight of the worker, or be another one.
    if (error instanceof ConnectionError || isUnknownWorker(error)) this.#mustRegister = true;
  }

  /** One registration at a time, however many calls need it. */
  #register(): Promise<void> {
    this.#registration ??= this.#options
      .register(this.#stop.signal)
      .then(() => {
        this.#mustRegister = false;
      })
      .finally(() => {
        this.#registration = null;
      });
    return this.#registration;
  }

  #pauseMs(error: unknown, tried: number): number {
    const ceiling = Math.min(this.#options.maxRetryPauseMs, FIRST_PAUSE_MS * 2 ** Math.min(tried, 16));
    const jittered = ceiling / 2 + (Math.random() * ceiling) / 2;
    const asked = error instanceof YardmasterError ? (error.retryAfterMs ?? 0) : 0;
    return Math.max(jittered, Math.min(asked, 60_000));
  }
}

function isUnknownWorker(error: unknown): boolean {
  return error instanceof YardmasterError && error.status === 404;
}

/** For want of a good key: one may be entered at the server at any time. */
function isRefusal(error: unknown): boolean {
  return error instanceof YardmasterError && (error.status === 401 || error.status === 403);
}

function isWorthRepeating(error: unknown): boolean {
  if (error instanceof ConnectionError) return true;
  return error instanceof YardmasterError && (error.status >= 500 || LATER.has(error.status));
}

/** Waits; rejects with the signal's reason when it is aborted. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
