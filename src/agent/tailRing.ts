/** The last bytes of an output of any length, in bounded memory. */
import type { LogStream } from "../domain/job.ts";

export interface TailBlock {
  readonly stream: LogStream;
  readonly time: string;
  readonly bytes: Uint8Array;
}

interface GrowingBlock {
  readonly stream: LogStream;
  readonly time: string;
  readonly buffer: Uint8Array;
  used: number;
}

/** Small writes are gathered in blocks of this size: a thousand lines must not cost a thousand buffers. */
const BLOCK_BYTES = 16 * 1024;

export class TailRing {
  readonly #maxBytes: number;
  #blocks: GrowingBlock[] = [];
  #heldBytes = 0;
  /** Bytes that came and went. */
  #droppedBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get droppedBytes(): number {
    return this.#droppedBytes;
  }

  push(stream: LogStream, bytes: Uint8Array, time: string): void {
    let rest = bytes;
    if (rest.length > this.#maxBytes) {
      this.#droppedBytes += rest.length - this.#maxBytes;
      rest = rest.subarray(rest.length - this.#maxBytes);
    }
    while (rest.length > 0) {
      let last = this.#blocks.at(-1);
      if (last === undefined || last.stream !== stream || last.used === last.buffer.length) {
        last = { stream, time, buffer: new Uint8Array(BLOCK_BYTES), used: 0 };
        this.#blocks.push(last);
      }
      const taken = rest.subarray(0, last.buffer.length - last.used);
      last.buffer.set(taken, last.used);
      last.used += taken.length;
      this.#heldBytes += taken.length;
      rest = rest.subarray(taken.length);
    }
    this.#trim();
  }

  /** What is held, oldest first, blocks of one stream joined; the ring is empty afterwards. */
  drain(): TailBlock[] {
    const joined: { stream: LogStream; time: string; parts: Uint8Array[] }[] = [];
    for (const block of this.#blocks) {
      const part = block.buffer.subarray(0, block.used);
      const last = joined.at(-1);
      if (last?.stream === block.stream) last.parts.push(part);
      else joined.push({ stream: block.stream, time: block.time, parts: [part] });
    }
    this.#blocks = [];
    this.#heldBytes = 0;
    return joined.map(({ stream, time, parts }) => ({
      stream,
      time,
      bytes: new Uint8Array(Buffer.concat(parts)),
    }));
  }

  /** Drops whole blocks from the front, then a part of the first, until `maxBytes` are left. */
  #trim(): void {
    let over = this.#heldBytes - this.#maxBytes;
    while (over > 0) {
      const first = this.#blocks[0];
      if (first === undefined) return;
      if (first.used <= over) {
        this.#blocks.shift();
        this.#forget(first.used);
        over -= first.used;
      } else {
        first.buffer.copyWithin(0, over, first.used);
        first.used -= over;
        this.#forget(over);
        over = 0;
      }
    }
  }

  #forget(count: number): void {
    this.#heldBytes -= count;
    this.#droppedBytes += count;
  }
}
