/**
 * The requests of this library, each with the repeats that cannot do a thing twice.
 *
 * Reads, changes and deletions are repeated after lost connections, 429, 502, 503 and 504. Creations and claims are
 * repeated only when the request surely did not reach the server, or the server said that it did nothing (429, 503):
 * a claim whose answer is lost has taken a job.
 */
import { type QueryValue, Transport } from "../transport.ts";
import { httpErrorFrom } from "./errors.ts";

/** Last argument of every call. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** How a `Server` talks to the server. */
export interface ConnectionOptions {
  /** Sent as `X-API-Key`. */
  apiKey?: string | undefined;
  /** Speak HTTPS; default false. */
  https?: boolean | undefined;
  /** Used instead of the global `fetch`. */
  fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /** Tries after the first, where repeating is safe; default 4. */
  maxRetries?: number | undefined;
  /** Longest pause between two tries; default 5,000. */
  maxRetryPauseMs?: number | undefined;
  /** A `Retry-After` longer than this is thrown, not waited for; default 60,000. */
  maxRetryAfterMs?: number | undefined;
  /** Time limit of one try; default 30,000. */
  requestTimeoutMs?: number | undefined;
}

type Query = Record<string, QueryValue>;

export class Connection {
  readonly #transport: Transport;

  constructor(baseUrl: string, options: ConnectionOptions) {
    this.#transport = new Transport({
      baseUrl,
      apiKey: options.apiKey,
      fetch: options.fetch ?? ((url, init) => fetch(url, init)),
      maxRetries: options.maxRetries ?? 4,
      maxRetryPauseMs: options.maxRetryPauseMs ?? 5_000,
      maxRetryAfterMs: options.maxRetryAfterMs ?? 60_000,
      requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
      errorFrom: httpErrorFrom,
    });
  }

  read<T>(path: string, query: Query, { signal }: CallOptions): Promise<T> {
    return this.#transport.json({ method: "GET", path, query, retry: "safe", signal });
  }

  /** A GET that takes something. */
  claim<T>(path: string, query: Query, { signal }: CallOptions): Promise<T> {
    return this.#transport.json({ method: "GET", path, query, retry: "unsent", signal });
  }

  create<T>(path: string, json: unknown, { signal }: CallOptions): Promise<T> {
    return this.#transport.json({ method: "POST", path, json, retry: "unsent", signal });
  }

  /** A POST that changes nothing the second time. */
  post<T>(path: string, json: unknown, { signal }: CallOptions): Promise<T> {
    return this.#transport.json({ method: "POST", path, json, retry: "safe", signal });
  }

  change<T>(path: string, json: unknown, { signal }: CallOptions): Promise<T> {
    return this.#transport.json({ method: "PUT", path, json, retry: "safe", signal });
  }

  /** Deletes, and gives back the answer's text: "" for 204. */
  remove(path: string, { signal }: CallOptions): Promise<string> {
    return this.#transport.text({ method: "DELETE", path, retry: "safe", signal });
  }
}
