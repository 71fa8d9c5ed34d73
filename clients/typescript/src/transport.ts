/**
 * One request to the server: address, headers, time limit, and which failures are tried again.
 *
 * A request is repeated only where repeating cannot do a thing twice; `RetryPolicy` says which.
 */
import { backoffMs, pause } from "./backoff.ts";
import { AnswerError, ConnectionError, errorFrom } from "./errors.ts";

/**
 * - `safe`: repeated after lost connections, 429, 502, 503 and 504: reads, and writes that change nothing
 *   the second time.
 * - `refused`: repeated only after 429 and 503, by which the server says that it did nothing.
 * - `unsent`: as `refused`, and after a connection that was never made. The request gets a connection of its
 *   own, since Bun repeats a GET by itself when a kept one breaks, and would so claim twice.
 * - `never`.
 */
export type RetryPolicy = "safe" | "refused" | "unsent" | "never";

export type QueryValue = string | number | boolean | readonly string[] | null | undefined;

export interface TransportRequest {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From the root, already escaped: `/v1/jobs/42`. */
  path: string;
  query?: Record<string, QueryValue>;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is. */
  body?: BodyInit;
  retry: RetryPolicy;
  /** Time limit of one try; absent takes the client's. */
  timeoutMs?: number | undefined;
  /** Tries after the first; absent takes the client's. */
  maxRetries?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface TransportOptions {
  baseUrl: string;
  apiKey: string | undefined;
  fetch: (url: string, init: RequestInit) => Promise<Response>;
  maxRetries: number;
  maxRetryPauseMs: number;
  /** A `Retry-After` longer than this is not waited for: the error is thrown. */
  maxRetryAfterMs: number;
  requestTimeoutMs: number;
  /** Reads the error out of an answer that is not a success; absent reads RFC 9457 problem details. */
  errorFrom?: (request: string, response: Response) => Promise<AnswerError>;
}

const REFUSED = new Set([429, 503]);
const UNREACHED = new Set([429, 502, 503, 504]);

export class Transport {
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    this.#options = { ...options, baseUrl: options.baseUrl.replace(/\/+$/, "") };
  }

  get options(): Readonly<TransportOptions> {
    return this.#options;
  }

  /** Sends the request and reads the whole answer as JSON. */
  async json<T>(request: TransportRequest): Promise<T> {
    return this.#repeat(request, async (response) => this.#parse<T>(request, await response.text()));
  }

  /** As `json`; null for an answer without a body. */
  async jsonOrNull<T>(request: TransportRequest): Promise<T | null> {
    return this.#repeat(request, async (response) => {
      const text = await response.text();
      return text === "" ? null : this.#parse<T>(request, text);
    });
  }

  #parse<T>(request: TransportRequest, text: string): T {
    try {
      const value: T = JSON.parse(text);
      return value;
    } catch {
      throw new ConnectionError(
        `${label(request)}: the answer is not JSON; is ${this.#options.baseUrl} a Yardmaster server?`,
      );
    }
  }

  /** Sends the request and reads the whole answer as text. */
  async text(request: TransportRequest): Promise<string> {
    return this.#repeat(request, (response) => response.text());
  }

  /** Sends the request and hands over the answer; its body is the caller's, without a time limit. */
  async response(request: TransportRequest): Promise<Response> {
    return this.#repeat(request, async (response) => response);
  }

  async #repeat<T>(request: TransportRequest, read: (response: Response) => Promise<T>): Promise<T> {
    const maxRetries = request.maxRetries ?? this.#options.maxRetries;
    for (let tried = 0; ; tried++) {
      try {
        return await this.#once(request, read);
      } catch (error) {
        const pauseMs = tried < maxRetries ? this.#pauseBefore(request.retry, error, tried) : null;
        if (pauseMs === null) throw error;
        await pause(pauseMs, request.signal);
      }
    }
  }

  /** How long to wait before the next try; null when the error is to be thrown. */
  #pauseBefore(policy: RetryPolicy, error: unknown, tried: number): number | null {
    const usual = backoffMs(tried, this.#options.maxRetryPauseMs);
    if (policy === "never") return null;
    if (error instanceof ConnectionError) {
      return policy === "safe" || (policy === "unsent" && wasNeverSent(error)) ? usual : null;
    }
    if (!(error instanceof AnswerError)) return null;
    if (!(policy === "safe" ? UNREACHED : REFUSED).has(error.status)) return null;
    if (error.retryAfterMs === null) return usual;
    return error.retryAfterMs > this.#options.maxRetryAfterMs ? null : Math.max(error.retryAfterMs, usual);
  }

  async #once<T>(request: TransportRequest, read: (response: Response) => Promise<T>): Promise<T> {
    const { signal } = request;
    signal?.throwIfAborted();
    const timeoutMs = request.timeoutMs ?? this.#options.requestTimeoutMs;
    const controller = new AbortController();
    const onAbort = () => controller.abort(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      controller.abort();
    }, timeoutMs);
    // A handed-over body must still end when the caller aborts, so the listener stays in that case.
    let isHandedOver = false;
    try {
      const response = await this.#options.fetch(this.url(request), this.#init(request, controller.signal));
      if (!response.ok) throw await (this.#options.errorFrom ?? errorFrom)(label(request), response);
      const value = await read(response);
      isHandedOver = value === response;
      return value;
    } catch (error) {
      if (error instanceof AnswerError || error instanceof ConnectionError) throw error;
      if (signal?.aborted) throw signal.reason;
      if (isLate)
        throw new ConnectionError(`${label(request)}: no answer within ${timeoutMs} ms`, { cause: error });
      throw new ConnectionError(
        `${label(request)}: cannot reach ${this.#options.baseUrl} (${reason(error)})`,
        {
          cause: error,
        },
      );
    } finally {
      clearTimeout(timer);
      if (!isHandedOver) signal?.removeEventListener("abort", onAbort);
    }
  }

  /** The request's full address. */
  url(request: Pick<TransportRequest, "path" | "query">): string {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value === undefined || value === null) continue;
      if (Array.isArray(value)) for (const item of value) query.append(name, item);
      else query.append(name, String(value));
    }
    const text = query.toString();
    return `${this.#options.baseUrl}${request.path}${text === "" ? "" : `?${text}`}`;
  }

  #init(request: TransportRequest, signal: AbortSignal): RequestInit {
    const headers: Record<string, string> = { Accept: "application/json", ...request.headers };
    if (this.#options.apiKey !== undefined) headers["X-API-Key"] = this.#options.apiKey;
    const init: RequestInit & { duplex?: "half" } = { method: request.method, headers, signal };
    if (request.retry === "unsent") init.keepalive = false;
    if (request.json !== undefined) {
      headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(request.json);
    } else if (request.body !== undefined) {
      init.body = request.body;
      // Node and browsers ask for this word where the body is a stream.
      if (request.body instanceof ReadableStream) init.duplex = "half";
    }
    return init;
  }
}

function label(request: TransportRequest): string {
  return `${request.method} ${request.path}`;
}

/** Node hides the real reason of a failed fetch in `cause`. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== "" ? error.cause.message : error.message;
}

/** Failures before there was a connection, as Bun (`code`) and Node (`cause.code`) name them. Browsers do not tell. */
const NEVER_SENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);

function wasNeverSent(error: ConnectionError): boolean {
  let cause = error.cause;
  for (let depth = 0; depth < 3 && cause instanceof Error; depth++) {
    if ("code" in cause && typeof cause.code === "string" && NEVER_SENT.has(cause.code)) return true;
    cause = cause.cause;
  }
  return false;
}
