/** The other end of `RpcClient`: runs calls in a worker thread and posts the answers, many at a time. */
import { type AbandonMessage, type CallMessage, encodeError } from "./wire.ts";

export interface CallContext {
  /** Length of the arguments as text. */
  readonly bytes: number;
  /** A signal that fires when the caller goes away; made for those calls only that ask for it. */
  signal(): AbortSignal;
}

/** Runs one call. */
export type CallTarget = (method: string, args: readonly unknown[], context: CallContext) => Promise<unknown>;

export interface Port {
  postMessage(message: string): void;
}

export class RpcServer {
  readonly #port: Port;
  readonly #target: CallTarget;
  /** Of the calls that can be broken off. */
  readonly #running = new Map<number, AbortController>();
  #outbox: string[] = [];
  #isScheduled = false;

  constructor(port: Port, target: CallTarget) {
    this.#port = port;
    this.#target = target;
  }

  receive(text: string): void {
    const messages: (CallMessage | AbandonMessage)[] = JSON.parse(text);
    for (const message of messages) {
      if (message.length === 1) this.#running.get(message[0])?.abort();
      else this.#run(message);
    }
  }

  /** Sends something unasked. */
  sendEvents(events: unknown): void {
    this.#post(`[0,${JSON.stringify(events)}]`);
  }

  #run([id, method, args, bytes]: CallMessage): void {
    const signal = () => {
      const controller = this.#running.get(id) ?? new AbortController();
      this.#running.set(id, controller);
      return controller.signal;
    };
    this.#target(method, args, { signal, bytes }).then(
      (value) => this.#answer(id, `[${id},${JSON.stringify(value) ?? "null"}]`),
      (error: unknown) => this.#answer(id, `[${id},null,${JSON.stringify(encodeError(error))}]`),
    );
  }

  #answer(id: number, message: string): void {
    this.#running.delete(id);
    this.#post(message);
  }

  #post(message: string): void {
    this.#outbox.push(message);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      const messages = this.#outbox;
      this.#outbox = [];
      this.#port.postMessage(`[${messages.join(",")}]`);
    });
  }
}
