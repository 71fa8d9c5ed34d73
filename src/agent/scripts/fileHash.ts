/** SHA-256 of texts and files. */
import { open } from "node:fs/promises";

/** How much of a file is read at a time. */
const PIECE_BYTES = 1024 * 1024;

/** SHA-256 of a text or of bytes, as 64 hexadecimal digits. */
export function sha256Hex(data: string | Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(data).digest("hex");
}

/**
 * SHA-256 of a file, read piece by piece.
 *
 * @throws the signal's reason when it is aborted, Error when the file cannot be read
 */
export async function fileSha256(
  path: string,
  signal: AbortSignal,
): Promise<{ sha256: string; bytes: number }> {
  const hasher = new Bun.CryptoHasher("sha256");
  const piece = new Uint8Array(PIECE_BYTES);
  let bytes = 0;
  // Not as a stream: a file's stream comes without a pause, and as long as it lasts no timer fires and no lease is
  // renewed. A read by hand is done by another thread, and everything else has its turn meanwhile.
  const file = await open(path, "r");
  try {
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(piece, 0, PIECE_BYTES);
      if (bytesRead === 0) break;
      hasher.update(piece.subarray(0, bytesRead));
      bytes += bytesRead;
    }
  } finally {
    await file.close();
  }
  return { sha256: hasher.digest("hex"), bytes };
}
