/** What all streams of a server keep together for those who come back: each gets a fair share. */

/** A stream that keeps messages. */
interface Keeper {
  trim(): void;
}

/** A stream may keep at least this, however many there are. */
const LEAST_SHARE_BYTES = 8 * 1024;

export class KeptBytes {
  readonly #maxBytes: number;
  readonly #keepers = new Set<Keeper>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Size of what is kept now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What one stream may keep. */
  get share(): number {
    // As long as there is room for all, nobody has to give.
    if (this.#bytes <= this.#maxBytes) return Number.POSITIVE_INFINITY;
    return Math.max(LEAST_SHARE_BYTES, Math.floor(this.#maxBytes / Math.max(1, this.#keepers.size)));
  }

  enter(keeper: Keeper): void {
    this.#keepers.add(keeper);
    if (this.#bytes > this.#maxBytes) for (const other of this.#keepers) other.trim();
  }

  leave(keeper: Keeper): void {
    this.#keepers.delete(keeper);
  }

  add(bytes: number): void {
    this.#bytes += bytes;
  }
}
