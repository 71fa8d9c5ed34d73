/** What all WebSockets of a server hold together in memory for their readers. */

export class HeldBytes {
  readonly #max: number;
  #held = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Says whether there is room for so many more. */
  hasRoom(bytes: number): boolean {
    return this.#held + bytes <= this.#max;
  }

  /** Notes that one holds so many more, or less. */
  change(bytes: number): void {
    this.#held += bytes;
  }
}
