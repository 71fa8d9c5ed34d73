/**
 * The output of one attempt on its way to the server: bytes in, numbered chunks out.
 *
 * Memory is bounded in three steps. Chunks wait in memory while all logs together hold little; over that
 * they go to a file of the job's own; when the job has written its share, or the disk is full, only the
 * last part of its output is kept, and a `system` chunk says how much was left out.
 */
import type { LogChunk, NewLogChunk } from "@yardmaster/client";
import type { LogStream } from "../domain/job.ts";
import type { SpoolFile } from "./spoolFile.ts";
import { TailRing } from "./tailRing.ts";
import { boundaryFrom, decodeUtf8, unfinishedLength } from "./utf8.ts";

/** Largest chunk, in bytes of output. */
const MAX_CHUNK_BYTES = 64 * 1024;

/** Output of an ended job up to this size is kept in the journal; more goes to the job's spool file. */
const MAX_JOURNAL_BYTES = 64 * 1024;

export interface JobLogLimits {
  readonly maxLogBytes: number;
  readonly logTailBytes: number;
}

/** What all logs share: how much memory they use, who sends, where the overflow goes. */
export interface LogKeeper {
  /** Bytes in memory over all logs changed by this much. */
  buffered(changeBytes: number): void;
  readonly isFull: boolean;
  /** `log` has something to send. */
  ready(log: JobLog): void;
  /** A place on disk for a log's overflow. */
  spool(id: number, attempt: number): SpoolFile;
  /** Output could not be written to disk. */
  spoolFailed(error: unknown): void;
}

interface Piece extends LogChunk {
  bytes: number;
}

export class JobLog {
  readonly id: number;
  readonly attempt: number;
  readonly #keeper: LogKeeper;
  readonly #headBytes: number;
  readonly #tail: TailRing;
  #pieces: Piece[] = [];
  /** Size of `#pieces`, in bytes of output. */
  #pieceBytes = 0;
  /** Taken by the sender, not yet acknowledged; `spoolEnd` where they came from the spool. */
  #inFlight: { readonly pieces: readonly Piece[]; readonly spoolEnd: number | null } | null = null;
  #spool: SpoolFile | null = null;
  #seq = 0;
  #writtenBytes = 0;
  #isCut = false;
  #isClosed = false;
  #onDelivered: (() => void) | null = null;
  readonly #unfinished = new Map<LogStream, Uint8Array>();

  constructor(id: number, attempt: number, keeper: LogKeeper, limits: JobLogLimits) {
    this.id = id;
    this.attempt = attempt;
    this.#keeper = keeper;
    this.#headBytes = limits.maxLogBytes - limits.logTailBytes;
    this.#tail = new TailRing(limits.logTailBytes);
  }

  /** The log of an attempt that an earlier run of the agent left: already closed, yet to be sent. */
  static recovered(
    id: number,
    attempt: number,
    keeper: LogKeeper,
    left: { readonly spool: SpoolFile | null; readonly chunks: readonly LogChunk[] },
  ): JobLog {
    const log = new JobLog(id, attempt, keeper, { maxLogBytes: 0, logTailBytes: 0 });
    log.#spool = left.spool;
    log.#pieces = left.chunks.map((chunk) => ({ ...chunk, bytes: chunk.text.length }));
    log.#pieceBytes = sizeOf(log.#pieces);
    keeper.buffered(log.#pieceBytes);
    return log;
  }

  /** Takes what a process wrote. */
  append(stream: LogStream, bytes: Uint8Array): void {
    const kept = this.#unfinished.get(stream);
    const all = kept === undefined ? bytes : new Uint8Array(Buffer.concat([kept, bytes]));
    const unfinished = unfinishedLength(all);
    // A copy: the rest of the buffer must not live as long as these few bytes.
    if (unfinished > 0) this.#unfinished.set(stream, all.slice(all.length - unfinished));
    else if (kept !== undefined) this.#unfinished.delete(stream);
    this.#write(stream, all.subarray(0, all.length - unfinished));
  }

  /** Adds words of Yardmaster's own. */
  note(text: string): void {
    this.#add("system", Buffer.from(`${text}\n`), now());
  }

  /**
   * The job has ended. `onDelivered` is called when the server has all of its output, at once when it has it
   * already.
   *
   * @returns what must be written to the journal so that no output is lost if the agent is killed now.
   */
  close(onDelivered: () => void): NewLogChunk[] {
    for (const [stream, bytes] of this.#unfinished) this.#write(stream, bytes);
    this.#unfinished.clear();
    if (this.#isCut) this.#writeTail();
    this.#isClosed = true;
    this.#onDelivered = onDelivered;
    const undelivered = this.#undeliveredInMemory();
    const isSmall = sizeOf(undelivered) <= MAX_JOURNAL_BYTES;
    if (!isSmall && this.#spill(undelivered)) return [];
    return isSmall ? undelivered.map((piece) => this.#chunk(piece)) : [];
  }

  /** Throws away what was not sent. */
  discard(): void {
    this.#keeper.buffered(-this.#pieceBytes);
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#unfinished.clear();
    this.#spool?.remove();
    this.#spool = null;
    this.#isClosed = true;
    this.#onDelivered = null;
  }

  get hasMore(): boolean {
    return this.#pieces.length > 0 || this.#spool?.hasUnread === true;
  }

  /** Chunks to send, about `maxBytes` of them; `sent` or `unsent` must follow. */
  take(maxBytes: number): NewLogChunk[] {
    if (this.#spool?.hasUnread) {
      try {
        const { chunks, readBytes } = this.#spool.read();
        this.#inFlight = { pieces: chunks.map((chunk) => ({ ...chunk, bytes: 0 })), spoolEnd: readBytes };
      } catch (error) {
        this.#keeper.spoolFailed(error);
        this.#spool.remove();
        this.#spool = null;
        this.#inFlight = { pieces: [], spoolEnd: null };
      }
    } else {
      let count = 0;
      for (let bytes = 0; count < this.#pieces.length && bytes < maxBytes; count++) {
        bytes += this.#pieces[count]?.bytes ?? 0;
      }
      this.#inFlight = { pieces: this.#pieces.splice(0, count), spoolEnd: null };
      this.#pieceBytes -= sizeOf(this.#inFlight.pieces);
    }
    return this.#inFlight.pieces.map((piece) => this.#chunk(piece));
  }

  /** What was taken is with the server. */
  sent(): void {
    const { pieces, spoolEnd } = this.#inFlight ?? { pieces: [], spoolEnd: null };
    this.#inFlight = null;
    this.#keeper.buffered(-sizeOf(pieces));
    if (spoolEnd !== null) this.#spool?.advance(spoolEnd);
    if (this.hasMore) this.#keeper.ready(this);
    else if (this.#isClosed) this.#delivered();
  }

  /** What was taken could not be sent. */
  unsent(): void {
    const inFlight = this.#inFlight;
    this.#inFlight = null;
    if (inFlight !== null && inFlight.spoolEnd === null) {
      this.#pieces.unshift(...inFlight.pieces);
      this.#pieceBytes += sizeOf(inFlight.pieces);
    }
    if (this.hasMore) this.#keeper.ready(this);
  }

  /** Starts sending a closed log; calls back at once when nothing is left to send. */
  flush(): void {
    if (this.hasMore) this.#keeper.ready(this);
    else if (this.#isClosed && this.#inFlight === null) this.#delivered();
  }

  #delivered(): void {
    this.#spool?.remove();
    this.#spool = null;
    const callback = this.#onDelivered;
    this.#onDelivered = null;
    callback?.();
  }

  #write(stream: LogStream, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const time = now();
    let rest = bytes;
    if (!this.#isCut) {
      const room = this.#headBytes - this.#writtenBytes;
      const head = bytes.length <= room ? bytes : bytes.subarray(0, boundaryFrom(bytes, Math.max(0, room)));
      this.#add(stream, head, time);
      this.#writtenBytes += head.length;
      rest = bytes.subarray(head.length);
      if (rest.length > 0) this.#isCut = true;
    }
    if (rest.length > 0) this.#tail.push(stream, rest, time);
  }

  #add(stream: LogStream, bytes: Uint8Array, time: string): void {
    for (let at = 0; at < bytes.length; ) {
      const end = boundaryFrom(bytes, Math.min(bytes.length, at + MAX_CHUNK_BYTES));
      const part = bytes.subarray(at, end);
      const last = this.#pieces.at(-1);
      if (last?.stream === stream && last.bytes + part.length <= MAX_CHUNK_BYTES) {
        last.text += decodeUtf8(part);
        last.bytes += part.length;
      } else {
        this.#pieces.push({ seq: ++this.#seq, time, stream, text: decodeUtf8(part), bytes: part.length });
      }
      at = end;
    }
    this.#keeper.buffered(bytes.length);
    this.#pieceBytes += bytes.length;
    // What is on disk goes first, so what comes after it must wait there too, in blocks worth a write.
    const mustWait = this.#keeper.isFull || this.#spool?.hasUnread === true;
    if (mustWait && this.#pieceBytes >= MAX_CHUNK_BYTES) {
      if (!this.#spill(this.#pieces) && this.#keeper.isFull) this.#isCut = true;
    }
    this.#keeper.ready(this);
  }

  #writeTail(): void {
    const blocks = this.#tail.drain();
    const dropped = this.#tail.droppedBytes;
    const first = blocks[0];
    if (first !== undefined && dropped > 0) {
      // The tail may begin inside a character.
      const start = boundaryFrom(first.bytes, 0);
      blocks[0] = { ...first, bytes: first.bytes.subarray(start) };
    }
    if (dropped > 0) this.note(`[yardmaster: ${dropped} bytes of output left out here]`);
    for (const block of blocks) this.#add(block.stream, block.bytes, block.time);
  }

  #undeliveredInMemory(): Piece[] {
    const inFlight = this.#inFlight?.spoolEnd === null ? this.#inFlight.pieces : [];
    return [...inFlight, ...this.#pieces];
  }

  /** Moves pieces to disk; false when the disk does not take them. */
  #spill(pieces: readonly Piece[]): boolean {
    try {
      this.#spool ??= this.#keeper.spool(this.id, this.attempt);
      this.#spool.append(pieces.map(({ seq, time, stream, text }) => ({ seq, time, stream, text })));
    } catch (error) {
      this.#keeper.spoolFailed(error);
      return false;
    }
    this.#keeper.buffered(-this.#pieceBytes);
    this.#pieces = [];
    this.#pieceBytes = 0;
    return true;
  }

  #chunk({ seq, time, stream, text }: Piece): NewLogChunk {
    return { id: this.id, attempt: this.attempt, seq, time, stream, text };
  }
}

function sizeOf(pieces: readonly Piece[]): number {
  let bytes = 0;
  for (const piece of pieces) bytes += piece.bytes;
  return bytes;
}

function now(): string {
  return new Date().toISOString();
}
