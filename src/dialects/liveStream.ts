/**
 * An answer that goes on for as long as its reader follows. The dialect says what comes next; the server counts it, sends
 * it as its reader takes it, bounds what all readers hold together, and drops readers that stand still.
 *
 * ```ts
 * const stream = call.stream();
 * return new Response(stream.body({ next: () => nextPiece(stream.signal), closed: () => unsubscribe() }));
 * ```
 */

/** Why a stream ends where all readers of the server hold too much: those who come back find room again. */
export const HOLDS_TOO_MUCH = "the server holds too much for readers that do not read; come back later";

/** What is sent, piece by piece. */
export interface PieceSource {
  /**
   * The next piece, of about `PIECE_CHARACTERS` at most, as soon as there is one; null at the end. Asked for when the
   * reader has taken the last one. An error breaks the answer off, so that its reader knows that it is not whole.
   */
  next(): Promise<string | null>;
  /** Called once, when nothing more will be asked for. */
  closed(): void;
}

/** What the readers of a server hold together, in bytes or, of texts, in characters. */
export interface HeldForReaders {
  /** Says whether there is room for so many more. There always is for what another holds already. */
  hasRoom(bytes: number, shared?: object): boolean;
  /** Notes that one holds so many more, or less. */
  change(bytes: number): void;
  /**
   * Notes that one more holds that object, which counts once however many do.
   *
   * @returns what is to be called when it holds it no longer; again, it does nothing
   */
  share(shared: object, bytes: number): () => void;
}

export interface LiveStream {
  /** Aborted when the client goes away, when it is dropped or the server closes; the reason, a text, says why. */
  readonly signal: AbortSignal;
  /** To be asked and told of what is held beside the piece that `next` gave. */
  readonly held: HeldForReaders;
  /** The body of the answer. To be called once. */
  body(source: PieceSource): ReadableStream<Uint8Array>;
  /** Ends it: the reader has a while to take what its source still gives, then its connection is cut. */
  drop(reason: string): void;
}
