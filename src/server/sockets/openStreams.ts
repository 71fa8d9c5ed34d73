/** WebSockets, event streams and followed logs: each is a connection that lasts, so there is one bound for all. */
import { OverloadedError } from "../../domain/errors.ts";
import { HeldBytes } from "./heldBytes.ts";
import { ReaderProgress } from "./readerProgress.ts";
import { type ConnectionEnds, SendQueues } from "./sendQueues.ts";

/** What a client is told that came when there was no room. */
export const FULL_RETRY_AFTER_MS = 5_000;

export class OpenStreams {
  readonly #max: number;
  #size = 0;
  /** What they hold together for their readers. */
  readonly held: HeldBytes;
  readonly #queues = new SendQueues();

  constructor(max: number, maxHeldBytes: number) {
    this.#max = max;
    this.held = new HeldBytes(maxHeldBytes);
  }

  /** How many are open. */
  get size(): number {
    return this.#size;
  }

  /** Watches the reader of one of them. */
  watch(ends: ConnectionEnds | null): ReaderProgress {
    return new ReaderProgress({ queues: this.#queues, ends, held: this.held });
  }

  /**
   * Enters one that opens.
   *
   * @returns what is to be called at its end; again, it does nothing
   * @throws OverloadedError when there is no room
   */
  enter(): () => void {
    if (this.#size >= this.#max) {
      const message = `this server holds ${this.#max} WebSockets and followed logs, which is the most; try again later`;
      throw new OverloadedError(message, FULL_RETRY_AFTER_MS);
    }
    this.#size++;
    let isOpen = true;
    return () => {
      if (!isOpen) return;
      isOpen = false;
      this.#size--;
    };
  }
}
