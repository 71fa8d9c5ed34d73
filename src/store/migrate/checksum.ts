/** A checksum of a table's rows, the same in whatever order they come: databases order texts differently. */

/** A value as both stores hold it. */
export type Value = string | number | null;
/** A row's values, in the order of the table's columns. */
export type Row = readonly Value[];

const MASK = (1n << 64n) - 1n;

/** Adds up the SHA-256 of each row. */
export class TableChecksum {
  #rows = 0;
  #high = 0n;
  #low = 0n;

  add(row: Row): void {
    const digest = new Bun.CryptoHasher("sha256").update(JSON.stringify(row)).digest();
    this.#high = (this.#high + digest.readBigUInt64BE(0)) & MASK;
    this.#low = (this.#low + digest.readBigUInt64BE(8)) & MASK;
    this.#rows += 1;
  }

  get rows(): number {
    return this.#rows;
  }

  get text(): string {
    return this.#high.toString(16).padStart(16, "0") + this.#low.toString(16).padStart(16, "0");
  }
}
