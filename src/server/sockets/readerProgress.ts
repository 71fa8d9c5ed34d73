/** Whether the reader of one connection takes what is sent to it, or stands still. */
import type { HeldBytes } from "./heldBytes.ts";
import type { ConnectionEnds, SendQueues } from "./sendQueues.ts";

/** Who seems to stand still for this part of the limit is looked at. */
const SUSPECT_PART = 0.1;
/** Where the system does not tell what is on its way, a slow reader has so many times as long: 128 KB/s become 11. */
const UNSEEN_TIMES = 12;
/** A reader that is to leave, and reads, has so many times its grace, lest it trickle for ever. */
const MAX_GRACES = 24;
const MAX_CHECK_MS = 1_000;

export interface ReaderProgressOptions {
  readonly queues: SendQueues;
  /** Null where they are not known. */
  readonly ends: ConnectionEnds | null;
  /** Where readers hold much, none has longer. */
  readonly held: HeldBytes;
}

export class ReaderProgress {
  readonly #options: ReaderProgressOptions;
  /** Since when nothing is known to have been taken. */
  #sinceMs = performance.now();
  #last: { readonly look: number; readonly bytes: number } | null = null;
  #graceTimer: Timer | null = null;
  #isEnded = false;

  constructor(options: ReaderProgressOptions) {
    this.#options = options;
  }

  /** Something more was taken from the server, or nothing waits. */
  moved(): void {
    this.#sinceMs = performance.now();
    this.#last = null;
  }

  /** Says whether nothing was taken for so long. To be asked now and then while something waits. */
  async isStill(limitMs: number): Promise<boolean> {
    if (this.#stillMs <= limitMs * SUSPECT_PART) return false;
    const seen = await this.#look();
    const isUnseen = seen === "unseen" && !this.#options.held.isShort;
    return this.#stillMs > limitMs * (isUnseen ? UNSEEN_TIMES : 1);
  }

  /**
   * Calls `cut` once, when the reader has taken nothing for so long, and in the end in any case.
   *
   * @param restBytes also when no more than this is on its way; absent waits for the connection's end
   */
  leave(graceMs: number, cut: () => void, restBytes = -1): void {
    const endsAtMs = performance.now() + MAX_GRACES * graceMs;
    this.moved();
    const check = async () => {
      await this.#look();
      if (this.#isEnded) return;
      const isThrough = this.#last !== null && this.#last.bytes <= restBytes;
      if (isThrough || this.#stillMs >= graceMs || performance.now() >= endsAtMs) cut();
      else wait();
    };
    const wait = () => {
      this.#graceTimer = setTimeout(check, Math.min(graceMs, MAX_CHECK_MS));
      this.#graceTimer.unref();
    };
    wait();
  }

  /** The connection is gone. */
  ended(): void {
    this.#isEnded = true;
    if (this.#graceTimer !== null) clearTimeout(this.#graceTimer);
  }

  get #stillMs(): number {
    return performance.now() - this.#sinceMs;
  }

  async #look(): Promise<"taken" | "still" | "unseen"> {
    const { ends, queues } = this.#options;
    const sinceMs = this.#sinceMs;
    const seen = ends === null ? null : await queues.bytesTo(ends);
    if (this.#sinceMs !== sinceMs) return "taken";
    const last = this.#last;
    if (seen === null || seen.look === last?.look) return "unseen";
    this.#last = seen;
    // More than before was written in between, for which there must have been room.
    if (seen.bytes === last?.bytes) return "still";
    this.#sinceMs = performance.now();
    return "taken";
  }
}
