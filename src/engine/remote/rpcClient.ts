/**
 * Calls into a worker thread. Calls made in one turn of the event loop travel in one message; the number
 * and size of those under way are bounded, because the thread's inbox has no bound of its own.
 */
import { OverloadedError, StoreUnavailableError } from "../../domain/errors.ts";
import { decodeError, type ReplyMessage } from "./wire.ts";

/**
 * So many calls are posted at once, without waiting for the turn to end: the other thread begins with them
 * while this one goes on reading requests. With 64 clients this keeps both threads busy; if all their calls
 * went in one post, the threads would work in turns.
 */
const MAX_CALLS_PER_POST = 16;

interface PendingCall {
  readonly bytes: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export interface RpcClientOptions {
  readonly maxCalls: number;
  readonly maxBytes: number;
  /** Called with what the thread sends unasked. */
  readonly onEvents?: (events: unknown) => void;
}

export class RpcClient {
  readonly #worker: Worker;
  readonly #options: RpcClientOptions;
  readonly #pending = new Map<number, PendingCall>();
  #outbox: string[] = [];
  #bytes = 0;
  #nextId = 1;
  #isScheduled = false;
  #failure: Error | null = null;

  constructor(worker: Worker, options: RpcClientOptions) {
    this.#worker = worker;
    this.#options = options;
    worker.addEventListener("message", (event: MessageEvent<unknown>) => {
      if (typeof event.data === "string") this.#receive(event.data);
    });
  }

  /**
   * Calls a method of the other side.
   * @throws OverloadedError when too much is under way already.
   */
  call<T>(method: string, args: readonly unknown[], signal?: AbortSignal): Promise<T> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const text = JSON.stringify(args);
    if (this.#pending.size >= this.#options.maxCalls || this.#bytes + text.length > this.#options.maxBytes) {
      return Promise.reject(
        new OverloadedError(`${this.#pending.size} requests are under way already; try again`, 1_000),
      );
    }
    const id = this.#nextId++;
    this.#bytes += text.length;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#pending.set(id, {
      bytes: text.length,
      // What the other side answers is what the method's declaration says: both are compiled together.
      resolve: (value) => resolve(value as T),
      reject,
    });
    this.#post(`[${id},"${method}",${text},${text.length}]`);
    signal?.addEventListener("abort", () => this.#abandon(id), { once: true });
    if (signal?.aborted) this.#abandon(id);
    return promise;
  }

  /** The thread is gone: every call, now and later, fails with this. */
  fail(reason: string): void {
    this.#failure = new StoreUnavailableError(reason);
    for (const call of this.#pending.values()) call.reject(this.#failure);
    this.#pending.clear();
    this.#bytes = 0;
  }

  #abandon(id: number): void {
    if (this.#pending.has(id)) this.#post(`[${id}]`);
  }

  #post(message: string): void {
    this.#outbox.push(message);
    if (this.#outbox.length >= MAX_CALLS_PER_POST) {
      this.#flush();
      return;
    }
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      if (this.#outbox.length > 0) this.#flush();
    });
  }

  #flush(): void {
    const messages = this.#outbox;
    this.#outbox = [];
    this.#worker.postMessage(`[${messages.join(",")}]`);
  }

  #receive(text: string): void {
    const replies: ReplyMessage[] = JSON.parse(text);
    for (const [id, value, error] of replies) {
      if (id === 0) {
        this.#options.onEvents?.(value);
        continue;
      }
      const call = this.#pending.get(id);
      if (call === undefined) continue;
      this.#pending.delete(id);
      this.#bytes -= call.bytes;
      if (error === undefined) call.resolve(value);
      else call.reject(decodeError(error));
    }
  }
}
