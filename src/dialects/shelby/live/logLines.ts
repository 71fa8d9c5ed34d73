/** Makes lines of the chunks of a log: a chunk may hold many, or a part of one. */
import type { LogChunk } from "../../../domain/job.ts";
import { decodePlace } from "../../../engine/logPlace.ts";
import { LOG_START, type LogPoint } from "./logPoint.ts";

/** One line, and where it ended. */
export interface LogLine extends LogPoint {
  readonly line: string;
  /** Unix seconds. */
  readonly timestamp: number;
}

/** A line that has no end is told in pieces of this size. */
const MAX_LINE_CHARACTERS = 2 * 1024 * 1024;

export class LineAssembler {
  /** Beginnings of lines, by stream: two streams may write at the same time. */
  readonly #begun = new Map<LogChunk["stream"], { text: string; time: number }>();
  #attempt = 1;
  /** Where the last line ended, or the last chunk when none has ended in it. */
  #end: LogPoint = LOG_START;

  /** Characters of lines that have no end yet. */
  get heldCharacters(): number {
    let sum = 0;
    for (const { text } of this.#begun.values()) sum += text.length;
    return sum;
  }

  /** Where the last line ends if nothing more comes. */
  get end(): LogPoint {
    return { place: this.#end.place, index: this.#end.index + this.#begun.size };
  }

  /**
   * The lines that end in these chunks.
   *
   * @param skippedLines how many of the first chunk's lines were left out
   */
  push(chunks: readonly LogChunk[], skippedLines = 0): LogLine[] {
    const lines: LogLine[] = [];
    let before = skippedLines;
    for (const chunk of chunks) {
      // What an attempt left unfinished the next one does not go on with.
      const { attempt } = decodePlace(chunk.seq);
      if (attempt !== this.#attempt) lines.push(...this.rest());
      this.#attempt = attempt;
      this.#end = { place: chunk.seq, index: before };
      this.#add(chunk, lines);
      before = 0;
    }
    return lines;
  }

  /** What has no end yet: nothing more will come. It ends with the last chunk, whichever it began in. */
  rest(): LogLine[] {
    const lines = [...this.#begun]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([, { text, time }]) => this.#line(text, time));
    this.#begun.clear();
    return lines;
  }

  /** Leaves out what a stream began and has not ended. */
  forget(stream: LogChunk["stream"]): void {
    this.#begun.delete(stream);
  }

  #add({ stream, text, time }: LogChunk, lines: LogLine[]): void {
    let start = 0;
    let begun = this.#begun.get(stream)?.text ?? "";
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", start)) {
      lines.push(this.#line(begun + text.slice(start, end), time));
      begun = "";
      start = end + 1;
    }
    begun += text.slice(start);
    if (begun.length > MAX_LINE_CHARACTERS) {
      lines.push(this.#line(begun, time));
      begun = "";
    }
    if (begun === "") this.#begun.delete(stream);
    else this.#begun.set(stream, { text: begun, time });
  }

  #line(text: string, time: number): LogLine {
    this.#end = { place: this.#end.place, index: this.#end.index + 1 };
    const line = text.endsWith("\r") ? text.slice(0, -1) : text;
    return { ...this.#end, line, timestamp: Math.floor(time / 1_000) };
  }
}
