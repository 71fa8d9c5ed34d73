/** The SHA-256 of files. */
import { readSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";

/** Read at a time. Hashing this much holds other jobs up for about a millisecond. */
const BLOCK_BYTES = 1024 * 1024;

/** Says whether a text is a SHA-256: 64 hexadecimal digits in small letters. */
export function isSha256(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** The SHA-256 of a small open file, at once. */
export function sha256OfSmallFile(descriptor: number, sizeBytes: number): string {
  const bytes = new Uint8Array(sizeBytes);
  let length = 0;
  while (length < sizeBytes) {
    const count = readSync(descriptor, bytes, length, sizeBytes - length, length);
    if (count === 0) break;
    length += count;
  }
  return new Bun.CryptoHasher("sha256").update(bytes.subarray(0, length)).digest("hex");
}

/**
 * The SHA-256 of an open file of any size.
 *
 * Not as a stream: a file's stream comes without a pause, and as long as it lasts no timer fires and no lease is renewed.
 *
 * @param maxBytes what comes after them is left out: a file may grow as fast as it is read
 * @throws the signal's reason
 */
export async function sha256OfFile(
  file: FileHandle,
  signal: AbortSignal,
  maxBytes = Number.POSITIVE_INFINITY,
): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  const block = new Uint8Array(BLOCK_BYTES);
  for (let at = 0; ; ) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(block, 0, Math.min(BLOCK_BYTES, maxBytes - at), at);
    if (bytesRead === 0) return hasher.digest("hex");
    hasher.update(block.subarray(0, bytesRead));
    at += bytesRead;
  }
}
