/** Answers that come encoded although nobody asked for it: the file is what is inside. */
import { pipeline, Readable, type Transform } from "node:stream";
import { createBrotliDecompress, createUnzip, createZstdDecompress } from "node:zlib";
import { JobFault } from "../runner.ts";
import { shownUrl } from "./shownUrl.ts";

/** An encoding that can be undone. */
export interface Encoding {
  readonly decoder: () => Transform;
  /** Endings of files that are such data themselves: some servers take a file's own form for an encoding of the answer. */
  readonly ownEndings: RegExp;
}

/** Bytes as they come. */
export interface ByteReader {
  read(): Promise<{ readonly done?: boolean; readonly value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

const GZIP: Encoding = { decoder: createUnzip, ownEndings: /\.(t?gz|svgz)$/i };
const ENCODINGS = new Map<string, Encoding>([
  ["gzip", GZIP],
  ["x-gzip", GZIP],
  ["deflate", GZIP],
  ["br", { decoder: createBrotliDecompress, ownEndings: /\.br$/i }],
  ["zstd", { decoder: createZstdDecompress, ownEndings: /\.t?zst$/i }],
]);

/**
 * What an answer is encoded by; null where its bytes are the file's.
 *
 * @throws JobFault for an encoding that is not known here
 */
export function encodingOf(response: Response, url: URL): Encoding | null {
  const told = (response.headers.get("content-encoding") ?? "").trim().toLowerCase();
  if (told === "" || told === "identity") return null;
  const encoding = ENCODINGS.get(told);
  if (encoding === undefined) {
    const shown = JSON.stringify(told.slice(0, 100));
    throw new JobFault(
      `${shownUrl(url)}: its server sent it encoded as ${shown}, unasked; gzip, deflate, br and zstd can be decoded`,
    );
  }
  return encoding.ownEndings.test(url.pathname) ? null : encoding;
}

/** The bytes of an answer, decoded piece by piece: what is not taken is not decoded. */
export function readerOf(body: ReadableStream<Uint8Array>, encoding: Encoding | null): ByteReader {
  if (encoding === null) {
    const reader = body.getReader();
    return { read: () => reader.read(), cancel: () => reader.cancel() };
  }
  const decoder = encoding.decoder();
  // What breaks on its way is told by the next read.
  pipeline(Readable.from(body), decoder, () => {});
  const pieces: AsyncIterator<Uint8Array> = decoder[Symbol.asyncIterator]();
  return {
    read: () => pieces.next(),
    cancel: async () => {
      decoder.destroy();
    },
  };
}
