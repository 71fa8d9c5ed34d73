/**
 * One answer that lasts: sends what its source gives as its reader takes it, and ends it for sure.
 *
 * Bun asks a body for more only when its reader has taken the last piece. So nothing that is written to a reader that
 * does not read arrives, its dismissal neither, and an ended or broken body would leave the connection open. What
 * cuts it is the connection's own timeout: Bun looks at those every four seconds.
 */
import type { HeldForReaders, LiveStream, PieceSource } from "../dialects/liveStream.ts";
import type { ReaderProgress } from "./sockets/readerProgress.ts";

/** Limits of one stream. */
export interface OpenStreamLimits {
  /** A reader that takes nothing of what waits for it for so long is dropped. */
  readonly socketStallMs: number;
  /** A reader that is to leave and takes nothing for so long is cut off. */
  readonly socketCloseGraceMs: number;
}

export interface OpenStreamOptions {
  /** Aborted when the client is gone. */
  readonly clientSignal: AbortSignal;
  readonly limits: OpenStreamLimits;
  readonly held: HeldForReaders;
  readonly progress: ReaderProgress;
  /** Has the connection closed within seconds, whatever its reader does. */
  readonly cut: () => void;
  /** Called once, when the body was sent to its end or its connection is gone. */
  readonly onOver: (over: OpenStream) => void;
}

const encoder = new TextEncoder();

export class OpenStream implements LiveStream {
  readonly held: HeldForReaders;
  readonly #options: OpenStreamOptions;
  readonly #abort = new AbortController();
  readonly #gone = () => this.#over("the client is gone");
  #source: PieceSource | null = null;
  /** Size of the piece that the reader has not taken yet. */
  #waitingBytes = 0;
  #isDropped = false;
  #isOver = false;

  constructor(options: OpenStreamOptions) {
    this.#options = options;
    this.held = options.held;
    options.clientSignal.addEventListener("abort", this.#gone);
    if (options.clientSignal.aborted) this.#gone();
  }

  /** It was sent to its end, or its connection is gone. */
  get isOver(): boolean {
    return this.#isOver;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  body(source: PieceSource): ReadableStream<Uint8Array> {
    if (this.#isOver) source.closed();
    else this.#source = source;
    return new ReadableStream<Uint8Array>(
      { pull: (controller) => this.#pull(source, controller), cancel: this.#gone },
      // Asks for the next piece when the last one was taken.
      { highWaterMark: 0 },
    );
  }

  drop(reason: string): void {
    if (this.#isDropped || this.#isOver) return;
    this.#isDropped = true;
    this.#options.progress.leave(this.#options.limits.socketCloseGraceMs, this.#options.cut);
    this.#abort.abort(reason);
  }

  /** Drops a reader that has taken nothing for too long. To be called now and then. */
  async dropIfStill(): Promise<void> {
    const { socketStallMs } = this.#options.limits;
    if (this.#waitingBytes === 0 || !(await this.#options.progress.isStill(socketStallMs))) return;
    if (this.#waitingBytes > 0) this.drop(`the reader is too slow: it took nothing for ${socketStallMs} ms`);
  }

  async #pull(source: PieceSource, controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    this.#wait(0);
    try {
      let piece = await source.next();
      while (piece === "") piece = await source.next();
      if (this.#isOver) return;
      if (piece === null) {
        // Otherwise a reader that was dropped would keep its connection, uncounted.
        if (this.#isDropped) this.#options.cut();
        this.#over("the stream has ended");
        controller.close();
        return;
      }
      const bytes = encoder.encode(piece);
      this.#wait(bytes.byteLength);
      controller.enqueue(bytes);
    } catch (error) {
      if (this.#isOver) return;
      const isExpected = this.#isDropped;
      this.#over("the stream was broken off");
      // Bun writes of every error but none at all.
      controller.error(isExpected ? undefined : error);
    }
  }

  #wait(bytes: number): void {
    this.held.change(bytes - this.#waitingBytes);
    this.#waitingBytes = bytes;
    this.#options.progress.moved();
  }

  #over(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#wait(0);
    this.#options.progress.ended();
    this.#options.clientSignal.removeEventListener("abort", this.#gone);
    this.#abort.abort(reason);
    this.#source?.closed();
    this.#options.onOver(this);
  }
}
