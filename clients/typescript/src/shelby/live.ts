/**
 * One live stream over WebSockets: goes on after lost connections from the message that it had last, and holds
 * little in memory when its reader is slow.
 */
import { backoffMs, pause } from "../backoff.ts";
import { ConnectionError, ShelbyError } from "./errors.ts";
import type { LiveMessage } from "./wire.ts";

/** What a WebSocket tells. */
export interface SocketEvents {
  onMessage(data: unknown): void;
  onClose(code: number, reason: string): void;
  onError(): void;
}

/** Opens a WebSocket; the answer closes it. */
export type OpenSocket = (url: string, events: SocketEvents) => { close(): void };

export interface LiveOptions {
  /** Address of the stream, without its query: `ws://…/ws/nodes`. */
  readonly url: string;
  /** A token for the query; null where none is needed. Asked for anew at each connection. */
  readonly token: () => Promise<string | null>;
  readonly open: OpenSocket;
  /** Go on after this message. */
  readonly after?: number | undefined;
  /** Connections in a row that bring nothing. */
  readonly maxRetries: number;
  readonly maxRetryPauseMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Messages that wait for the reader; over it the connection is closed, and opened again when they are read. */
const MAX_WAITING = 5_000;
/** Close codes that no new try changes, with the HTTP status that says the same. */
const FINAL_CODES: Readonly<Record<number, number>> = { 4400: 400, 4401: 401, 4403: 403, 4404: 404 };
const NORMAL = 1000;

/**
 * The messages of a stream, until the reader stops or the server ends it in order.
 *
 * @throws ShelbyError when the server refuses the stream, ConnectionError when it cannot be reached
 */
export async function* liveMessages(options: LiveOptions): AsyncGenerator<LiveMessage, void, undefined> {
  let after = options.after;
  let fruitless = 0;
  for (;;) {
    options.signal?.throwIfAborted();
    const connection = new Connection(options.open, await address(options, after), options.signal);
    let hasBrought = false;
    try {
      for (;;) {
        const message = await connection.next();
        if (message === null) break;
        hasBrought = true;
        after = message.seq;
        yield message;
      }
    } finally {
      connection.close();
    }
    options.signal?.throwIfAborted();
    const { code, reason } = connection.end;
    if (code === NORMAL) return;
    const status = FINAL_CODES[code];
    const path = new URL(options.url).pathname;
    if (status !== undefined) throw new ShelbyError(path, status, reason === "" ? null : reason);
    fruitless = hasBrought ? 0 : fruitless + 1;
    if (fruitless > options.maxRetries) {
      throw new ConnectionError(
        `${path}: the live stream cannot be opened (${reason || `close code ${code}`})`,
      );
    }
    // What was cut off because the reader was slow is taken up at once.
    if (!connection.wasFull) await pause(backoffMs(fruitless, options.maxRetryPauseMs), options.signal);
  }
}

async function address({ url, token }: LiveOptions, after: number | undefined): Promise<string> {
  const query = new URLSearchParams();
  if (after !== undefined) query.set("after", String(after));
  const key = await token();
  if (key !== null) query.set("access_token", key);
  const text = query.toString();
  return text === "" ? url : `${url}?${text}`;
}

/** One WebSocket, read by one reader. */
class Connection {
  readonly #socket: { close(): void };
  readonly #signal: AbortSignal | undefined;
  readonly #waiting: LiveMessage[] = [];
  #wake: (() => void) | null = null;
  #end: { code: number; reason: string } | null = null;
  wasFull = false;

  constructor(open: OpenSocket, url: string, signal: AbortSignal | undefined) {
    this.#signal = signal;
    this.#socket = open(url, {
      onMessage: (data) => this.#take(data),
      onClose: (code, reason) => this.#ended(code, reason),
      onError: () => this.#ended(1006, "the connection failed"),
    });
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  readonly #onAbort = (): void => this.#ended(1006, "aborted");

  /** Why the connection ended. */
  get end(): { code: number; reason: string } {
    return this.#end ?? { code: 1006, reason: "" };
  }

  /** The next message; null when the connection has ended and all were read. */
  async next(): Promise<LiveMessage | null> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) return message;
      if (this.#end !== null) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#ended(1000, "closed by the reader");
    this.#socket.close();
  }

  #take(data: unknown): void {
    if (this.#end !== null) return;
    const message = parsed(data);
    if (message === null) {
      this.#ended(1007, "a message that is not understood");
      return;
    }
    this.#waiting.push(message);
    if (this.#waiting.length >= MAX_WAITING) {
      this.wasFull = true;
      this.#ended(1006, "the reader is slow");
      this.#socket.close();
    }
    this.#wake?.();
  }

  #ended(code: number, reason: string): void {
    this.#end ??= { code, reason };
    this.#wake?.();
  }
}

function parsed(data: unknown): LiveMessage | null {
  if (typeof data !== "string") return null;
  try {
    const message: unknown = JSON.parse(data);
    if (typeof message !== "object" || message === null) return null;
    if (!("type" in message && "seq" in message && "time" in message && "data" in message)) return null;
    const { type, seq, time, data: content } = message;
    if (typeof type !== "string" || typeof seq !== "number" || typeof time !== "number") return null;
    return { type, seq, time, data: content };
  } catch {
    return null;
  }
}
