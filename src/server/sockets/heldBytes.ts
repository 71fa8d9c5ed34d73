/** What all WebSockets, event streams and followed logs of a server hold together in memory for their readers. */
import type { HeldForReaders } from "../../dialects/liveStream.ts";

export class HeldBytes implements HeldForReaders {
  readonly #max: number;
  #held = 0;
  /** How many hold each of what is shared. */
  readonly #holders = new Map<object, number>();

  constructor(max: number) {
    this.#max = max;
  }

  /** More than half of what may be held is. */
  get isShort(): boolean {
    return this.#held * 2 > this.#max;
  }

  hasRoom(bytes: number, shared?: object): boolean {
    if (shared !== undefined && this.#holders.has(shared)) return true;
    return this.#held + bytes <= this.#max;
  }

  change(bytes: number): void {
    this.#held += bytes;
  }

  share(shared: object, bytes: number): () => void {
    const before = this.#holders.get(shared) ?? 0;
    if (before === 0) this.#held += bytes;
    this.#holders.set(shared, before + 1);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const left = (this.#holders.get(shared) ?? 1) - 1;
      if (left > 0) {
        this.#holders.set(shared, left);
        return;
      }
      this.#holders.delete(shared);
      this.#held -= bytes;
    };
  }
}
