/** Copies the artifacts of one place to another. Each is checked by its hash; those that are there already are skipped. */
import { BlobMismatchError, type BlobStore, type StoredBlob } from "../blobs/blobStore.ts";
import { MigrationError } from "./migrationError.ts";

const COPIED_AT_ONCE = 4;

/**
 * @param onCopied told how many are there
 * @throws MigrationError for an artifact that is damaged, StoreUnavailableError
 */
export async function copyBlobs(
  from: BlobStore,
  to: BlobStore,
  onCopied: (count: number) => void,
): Promise<{ count: number; bytes: number }> {
  let count = 0;
  let bytes = 0;
  const entries = from.list()[Symbol.asyncIterator]();
  const worker = async () => {
    for (;;) {
      const next = await entries.next();
      if (next.done === true) return;
      bytes += await copyBlob(next.value.sha256, from, to);
      onCopied(++count);
    }
  };
  await Promise.all(Array.from({ length: COPIED_AT_ONCE }, worker));
  return { count, bytes };
}

async function copyBlob(sha256: string, from: BlobStore, to: BlobStore): Promise<number> {
  const blob = await from.open(sha256);
  if (blob === null) throw new MigrationError(`the artifact ${sha256} went away while it was copied`);
  const there = await to.open(sha256);
  if (there?.sizeBytes === blob.sizeBytes) return blob.sizeBytes;
  try {
    await to.put(sha256, streamOf(blob), blob.sizeBytes);
  } catch (error) {
    if (!(error instanceof BlobMismatchError)) throw error;
    throw new MigrationError(
      `the artifact ${sha256} is damaged: its bytes have the SHA-256 ${error.actual}; restore it from a backup, or delete its file`,
    );
  }
  return blob.sizeBytes;
}

function streamOf(blob: StoredBlob): ReadableStream<Uint8Array> {
  const body = blob.body(0, blob.sizeBytes);
  return body instanceof Blob ? body.stream() : body;
}
