/**
 * Files under the name of their content: the SHA-256 of their bytes, in small hexadecimal digits. What is
 * stored is never changed, so the same bytes can be put by many at once and are kept once.
 */

/** A stored file. */
export interface StoredBlob {
  readonly sizeBytes: number;
  /** The bytes from `start` (inclusive) to `end` (exclusive), to be sent without being held in memory. */
  body(start: number, end: number): Blob | ReadableStream<Uint8Array>;
}

export interface PutReceipt {
  readonly sizeBytes: number;
  /** False when the bytes were there already. */
  readonly isNew: boolean;
}

export interface BlobStore {
  /**
   * Stores the stream's bytes durably; what is there already is touched. Nothing stays behind when it fails.
   *
   * @throws BlobTooLargeError, BlobMismatchError, StoreUnavailableError (disk full, read-only)
   */
  put(sha256: string, bytes: ReadableStream<Uint8Array>, maxBytes: number): Promise<PutReceipt>;
  /** Null when nothing has that hash. */
  open(sha256: string): Promise<StoredBlob | null>;
  /** From now on it counts as just stored: somebody uses it, or is about to name it. False when it is not there. */
  touch(sha256: string): Promise<boolean>;
  /** All that is stored, in no certain order; what is put meanwhile may be among it or not. */
  list(): AsyncIterable<BlobEntry>;
  /** Deletes what was neither put nor touched since that time, in milliseconds since 1970; says whether it did. */
  delete(sha256: string, untouchedSince: number): Promise<boolean>;
  /** Enters an installation as the one whose blobs these are; false when another one was entered before. */
  claim(installation: string): Promise<boolean>;
}

/** What a list of blobs tells of one. */
export interface BlobEntry {
  readonly sha256: string;
  /** When it was put or touched last, in milliseconds since 1970. */
  readonly touchedAt: number;
}

/** A SHA-256 as blobs are named by it. */
export const BLOB_NAME = /^[0-9a-f]{64}$/;

/** The stream is longer than allowed. */
export class BlobTooLargeError extends Error {
  override readonly name = "BlobTooLargeError";
  readonly maxBytes: number;
  constructor(maxBytes: number) {
    super(`larger than ${maxBytes} bytes`);
    this.maxBytes = maxBytes;
  }
}

/** The stream's bytes have another hash than the one they were to be stored under. */
export class BlobMismatchError extends Error {
  override readonly name = "BlobMismatchError";
  readonly expected: string;
  readonly actual: string;
  constructor(expected: string, actual: string) {
    super(`the bytes have the SHA-256 ${actual}, not ${expected}`);
    this.expected = expected;
    this.actual = actual;
  }
}
