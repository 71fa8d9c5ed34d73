/** Makes lines of the chunks of a log: a chunk may hold many, or a part of one. */
import type { LogChunk } from "../../../domain/job.ts";
import { decodePlace } from "../../../engine/logPlace.ts";

/** One line, and where it ended: the `index`-th of those that ended in the chunk `place`, counted from 1. */
export interface LogLine {
  readonly place: number;
  readonly index: number;
  readonly line: string;
  /** Unix seconds. */
  readonly timestamp: number;
}

/** A line that has no end is told in pieces of this size. */
const MAX_LINE_CHARACTERS = 2 * 1024 * 1024;

export class LineAssembler {
  /** Beginnings of lines, by stream: two streams may write at the same time. */
  readonly #begun = new Map<LogChunk["stream"], { text: string; last: LogChunk; index: number }>();

  #attempt = 1;

  /** Characters of lines that have no end yet. */
  get heldCharacters(): number {
    let sum = 0;
    for (const { text } of this.#begun.values()) sum += text.length;
    return sum;
  }

  /** The lines that end in these chunks. */
  push(chunks: readonly LogChunk[]): LogLine[] {
    const lines: LogLine[] = [];
    for (const chunk of chunks) {
      // What an attempt left unfinished the next one does not go on with.
      const { attempt } = decodePlace(chunk.seq);
      if (attempt !== this.#attempt) lines.push(...this.rest());
      this.#attempt = attempt;
      this.#add(chunk, lines);
    }
    return lines;
  }

  /** What has no end yet: nothing more will come. */
  rest(): LogLine[] {
    const lines = [...this.#begun.values()].map(({ text, last, index }) => lineOf(last, index, text));
    this.#begun.clear();
    return lines;
  }

  #add(chunk: LogChunk, lines: LogLine[]): void {
    let index = 0;
    let start = 0;
    let begun = this.#begun.get(chunk.stream)?.text ?? "";
    for (let end = chunk.text.indexOf("\n"); end !== -1; end = chunk.text.indexOf("\n", start)) {
      index++;
      lines.push(lineOf(chunk, index, begun + chunk.text.slice(start, end)));
      begun = "";
      start = end + 1;
    }
    begun += chunk.text.slice(start);
    if (begun.length > MAX_LINE_CHARACTERS) {
      index++;
      lines.push(lineOf(chunk, index, begun));
      begun = "";
    }
    if (begun === "") this.#begun.delete(chunk.stream);
    else this.#begun.set(chunk.stream, { text: begun, last: chunk, index: index + 1 });
  }
}

function lineOf(chunk: LogChunk, index: number, text: string): LogLine {
  const line = text.endsWith("\r") ? text.slice(0, -1) : text;
  return { place: chunk.seq, index, line, timestamp: Math.floor(chunk.time / 1_000) };
}
