/** The last snapshot of a log, kept for a moment for those who come right after the one that it was made for. */
import type { LogSnapshot } from "./logSnapshot.ts";

/** A snapshot is made once for all who come within this time, as long as nothing new comes. */
const KEPT_MS = 1_000;
/** A longer one is kept only where several came at once: many logs with one reader each would fill the memory. */
const SMALL_CHARACTERS = 256 * 1024;

export class KeptSnapshot {
  #snapshot: LogSnapshot | null = null;
  #timer: Timer | null = null;

  get current(): LogSnapshot | null {
    return this.#snapshot;
  }

  /** Keeps it until `release`; it takes the place of the one before. */
  set(snapshot: LogSnapshot): void {
    this.forget();
    this.#snapshot = snapshot;
  }

  /** It was given to so many: from now on it is kept for a moment at most. */
  release(readers: number): void {
    const snapshot = this.#snapshot;
    if (snapshot === null || this.#timer !== null) return;
    if (readers <= 1 && snapshot.characters > SMALL_CHARACTERS) this.#snapshot = null;
    // The function knows nothing of the snapshot, which would be kept as long as the timer.
    else this.#timer = setTimeout(() => this.forget(), KEPT_MS).unref();
  }

  forget(): void {
    this.#snapshot = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
