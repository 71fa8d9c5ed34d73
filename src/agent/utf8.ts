/** Where UTF-8 text may be cut: never inside a character. */

/** Longest run of continuation bytes in a character. */
const MAX_CONTINUATION = 3;

const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80;

/** Number of bytes a lead byte announces; 1 for ASCII and for bytes that cannot lead. */
function announcedLength(byte: number): number {
  if (byte >= 0xc2 && byte <= 0xdf) return 2;
  if (byte >= 0xe0 && byte <= 0xef) return 3;
  if (byte >= 0xf0 && byte <= 0xf4) return 4;
  return 1;
}

/** How many bytes at the end belong to a character that is not whole yet: 0 to 3. */
export function unfinishedLength(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(MAX_CONTINUATION, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (isContinuation(byte)) continue;
    return announcedLength(byte) > back ? back : 0;
  }
  return 0;
}

/** First place at or after `index` that is not inside a character. */
export function boundaryFrom(bytes: Uint8Array, index: number): number {
  let at = index;
  while (at < bytes.length && at - index < MAX_CONTINUATION && isContinuation(bytes[at] ?? 0)) at += 1;
  return at;
}

// A BOM that a program writes is part of its output.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Decodes whole characters; bytes that are no UTF-8 become U+FFFD. */
export function decodeUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}
