/** SHA-256 of texts and files. */

/** SHA-256 of a text or of bytes, as 64 hexadecimal digits. */
export function sha256Hex(data: string | Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(data).digest("hex");
}

/**
 * SHA-256 of a file, read as a stream.
 *
 * @throws the signal's reason when it is aborted, Error when the file cannot be read
 */
export async function fileSha256(
  path: string,
  signal: AbortSignal,
): Promise<{ sha256: string; bytes: number }> {
  const hasher = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  for await (const chunk of Bun.file(path).stream()) {
    signal.throwIfAborted();
    hasher.update(chunk);
    bytes += chunk.byteLength;
  }
  return { sha256: hasher.digest("hex"), bytes };
}
