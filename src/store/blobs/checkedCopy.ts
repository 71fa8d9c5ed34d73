/** Takes in a stream of bytes that must have a certain SHA-256, as every blob store does before it stores them. */
import type { FileHandle } from "node:fs/promises";
import { BlobMismatchError, BlobTooLargeError } from "./blobStore.ts";

/** Small pieces of a stream are gathered to this size before they are written. */
const WRITE_BYTES = 256 * 1024;

/**
 * Reads all of a stream, checks size and hash, and writes it to the file if there is one.
 *
 * @returns how many bytes there were
 * @throws BlobTooLargeError, BlobMismatchError, and what the stream or the disk throws
 */
export async function copyChecked(
  sha256: string,
  bytes: ReadableStream<Uint8Array>,
  maxBytes: number,
  file: FileHandle | null,
): Promise<number> {
  const hasher = new Bun.CryptoHasher("sha256");
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  let sizeBytes = 0;
  const write = async () => {
    if (file !== null && pendingBytes > 0) await writeAll(file, pending);
    pending = [];
    pendingBytes = 0;
  };
  // Leaving the loop by an error cancels the stream.
  for await (const chunk of bytes) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > maxBytes) throw new BlobTooLargeError(maxBytes);
    hasher.update(chunk);
    pending.push(chunk);
    pendingBytes += chunk.byteLength;
    if (pendingBytes >= WRITE_BYTES) await write();
  }
  await write();
  const actual = hasher.digest("hex");
  if (actual !== sha256) throw new BlobMismatchError(sha256, actual);
  return sizeBytes;
}

async function writeAll(file: FileHandle, chunks: readonly Uint8Array[]): Promise<void> {
  let rest = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
  while (rest.byteLength > 0) {
    const { bytesWritten } = await file.write(rest);
    rest = rest.subarray(bytesWritten);
  }
}
