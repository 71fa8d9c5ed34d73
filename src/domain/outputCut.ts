/** How many bytes of UTF-8 a kept output has at most, its marker line included. */
export const maxOutputBytes = 1024 * 1024;

/** How many first lines a cut output keeps, where they are no longer than `maxFrontBytes`. */
const frontLines = 500;

/** How long the kept beginning may be. */
const maxFrontBytes = maxOutputBytes / 2;

const newline = 10;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * An output that fits into 1 MiB of UTF-8. Text that fits comes back as it is. Of a longer one stay its first 500 lines, a
 * line that tells its whole size, and as many of its last lines as fit. Where it has fewer lines, or where the first 500 are
 * longer than 512 KiB, its first 512 KiB stay, that line, and its end. No character is cut in two.
 */
export function cutOutput(text: string): string {
  // No text has more bytes than three a code unit, so that short ones need no counting.
  if (text.length * 3 <= maxOutputBytes) {
    return text;
  }
  const bytes = encoder.encode(text);
  if (bytes.length <= maxOutputBytes) {
    return text;
  }
  return cut(bytes, bytes, bytes.length, countLines(bytes));
}

/** A text without U+0000 and without halves of surrogate pairs, with U+FFFD in their places. */
export function storableText(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\uFFFD");
}

/**
 * Cuts an output of any length while it arrives: keeps its first MiB and its last one, so 2 MiB of memory at the most, and
 * as little as the output has while it is short.
 *
 * ```ts
 * const cutter = new OutputCutter();
 * for await (const bytes of process.stdout) cutter.append(bytes);
 * if (cutter.isCut) report(cutter.text());
 * ```
 */
export class OutputCutter {
  #head = new Uint8Array(0);
  #tail: Uint8Array | undefined;
  #tailNext = 0;
  #receivedBytes = 0;
  #newlines = 0;
  #endsLine = true;

  append(bytes: Uint8Array): void {
    if (bytes.length === 0) {
      return;
    }
    this.#newlines += countNewlines(bytes);
    this.#endsLine = bytes[bytes.length - 1] === newline;
    const headBytes = Math.min(this.#receivedBytes, maxOutputBytes);
    const toHead = Math.min(bytes.length, maxOutputBytes - headBytes);
    if (toHead > 0) {
      this.#growHead(headBytes + toHead);
      this.#head.set(bytes.subarray(0, toHead), headBytes);
    }
    this.#receivedBytes += bytes.length;
    if (toHead < bytes.length) {
      this.#appendToTail(bytes.subarray(toHead));
    }
  }

  /** Whether `text()` leaves something out. */
  get isCut(): boolean {
    if (this.#receivedBytes > maxOutputBytes) {
      return true;
    }
    // A byte that is no UTF-8, or zero, becomes the three bytes of U+FFFD.
    return this.#receivedBytes * 3 > maxOutputBytes && this.#cleanHead().length > maxOutputBytes;
  }

  /**
   * The output as `cutOutput` gives it, with U+FFFD for zero bytes and for what is no UTF-8. The sizes in the marker line are
   * those of the bytes that came.
   */
  text(): string {
    const clean = this.#cleanHead();
    if (this.#receivedBytes <= maxOutputBytes && clean.length <= maxOutputBytes) {
      return decoder.decode(clean);
    }
    const lines = this.#newlines + (this.#endsLine ? 0 : 1);
    return cut(clean, this.#tail === undefined ? clean : this.#cleanTail(), this.#receivedBytes, lines);
  }

  #growHead(neededBytes: number): void {
    if (neededBytes > this.#head.length) {
      const grown = new Uint8Array(Math.min(maxOutputBytes, Math.max(neededBytes, this.#head.length * 2)));
      grown.set(this.#head);
      this.#head = grown;
    }
  }

  /** Writes into a ring of the last MiB. It starts as the head, so that it is full from its beginning. */
  #appendToTail(bytes: Uint8Array): void {
    this.#tail ??= this.#head.slice(0, maxOutputBytes);
    const last = bytes.subarray(Math.max(0, bytes.length - maxOutputBytes));
    const untilEnd = Math.min(last.length, maxOutputBytes - this.#tailNext);
    this.#tail.set(last.subarray(0, untilEnd), this.#tailNext);
    this.#tail.set(last.subarray(untilEnd), 0);
    this.#tailNext = (this.#tailNext + last.length) % maxOutputBytes;
  }

  #cleanHead(): Uint8Array {
    return clean(this.#head.subarray(0, Math.min(this.#receivedBytes, maxOutputBytes)));
  }

  #cleanTail(): Uint8Array {
    const ring = this.#tail ?? new Uint8Array(0);
    const ordered = new Uint8Array(ring.length);
    ordered.set(ring.subarray(this.#tailNext), 0);
    ordered.set(ring.subarray(0, this.#tailNext), ring.length - this.#tailNext);
    return clean(ordered);
  }
}

/**
 * @param front At least the first `maxFrontBytes` of the output.
 * @param back At least the last `maxOutputBytes` of it. Both may be the whole of it.
 */
function cut(front: Uint8Array, back: Uint8Array, totalBytes: number, totalLines: number): string {
  const marker = `[output cut: ${totalBytes} bytes, ${totalLines} lines in all; what stood here is left out]\n`;
  const linesEnd = endOfLines(front.subarray(0, maxFrontBytes), frontLines);
  const frontEnd = linesEnd ?? characterStartAtOrBefore(front, maxFrontBytes);
  const opening = front[frontEnd - 1] === newline ? marker : `\n${marker}`;
  const room = maxOutputBytes - frontEnd - opening.length;
  const kept = characterStartAtOrAfter(back, back.length - room);
  const backStart = linesEnd === undefined ? kept : lineStartAtOrAfter(back, kept);
  return decoder.decode(front.subarray(0, frontEnd)) + opening + decoder.decode(back.subarray(backStart));
}

/** Where the first `lines` lines end; `undefined` where there are fewer. */
function endOfLines(bytes: Uint8Array, lines: number): number | undefined {
  let end = 0;
  for (let line = 0; line < lines; line += 1) {
    const at = bytes.indexOf(newline, end);
    if (at < 0) {
      return undefined;
    }
    end = at + 1;
  }
  return end;
}

/** The first line that starts at `from` or after it; `from` itself where the last line starts before it. */
function lineStartAtOrAfter(bytes: Uint8Array, from: number): number {
  const start = bytes.indexOf(newline, from - 1) + 1;
  return start > 0 && start < bytes.length ? start : from;
}

function characterStartAtOrBefore(bytes: Uint8Array, at: number): number {
  let start = at;
  while (start > 0 && isInsideCharacter(bytes[start])) {
    start -= 1;
  }
  return start;
}

function characterStartAtOrAfter(bytes: Uint8Array, at: number): number {
  let start = at;
  while (start < bytes.length && isInsideCharacter(bytes[start])) {
    start += 1;
  }
  return start;
}

/** Whether a byte of UTF-8 continues a character. */
function isInsideCharacter(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0b1100_0000) === 0b1000_0000;
}

/** UTF-8 without zero bytes, never shorter than `bytes`. */
function clean(bytes: Uint8Array): Uint8Array {
  return encoder.encode(decoder.decode(bytes).replaceAll("\0", "\uFFFD"));
}

function countLines(bytes: Uint8Array): number {
  return countNewlines(bytes) + (bytes[bytes.length - 1] === newline ? 0 : 1);
}

function countNewlines(bytes: Uint8Array): number {
  let count = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    if (bytes[at] === newline) {
      count += 1;
    }
  }
  return count;
}
