/**
 * Blobs as files of one directory: `ab/cd/abcd…`. A file is written under a name of its own in `incoming`,
 * flushed to the disk, and only then renamed to its place: what has a blob's name is whole.
 */
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { StoreUnavailableError } from "../../domain/errors.ts";
import {
  BlobMismatchError,
  type BlobStore,
  BlobTooLargeError,
  type PutReceipt,
  type StoredBlob,
} from "./blobStore.ts";

/** Faults of the disk, which pass: the request can be sent again. */
const DISK_FAULTS = new Set([
  "ENOSPC",
  "EDQUOT",
  "EROFS",
  "EIO",
  "EACCES",
  "EPERM",
  "EMFILE",
  "ENFILE",
  "EFBIG",
]);

/** Small pieces of a stream are gathered to this size before they are written. */
const WRITE_BYTES = 256 * 1024;

/** Opens the directory, makes it when it is not there, and removes what broken uploads left behind. */
export async function openDirectoryBlobStore(directory: string): Promise<BlobStore> {
  const incoming = join(directory, "incoming");
  await mkdir(incoming, { recursive: true });
  for (const name of await readdir(incoming))
    await rm(join(incoming, name), { recursive: true, force: true });
  return new DirectoryBlobStore(directory, incoming);
}

class DirectoryBlobStore implements BlobStore {
  readonly #directory: string;
  readonly #incoming: string;

  constructor(directory: string, incoming: string) {
    this.#directory = directory;
    this.#incoming = incoming;
  }

  async open(sha256: string): Promise<StoredBlob | null> {
    const path = this.#path(sha256);
    const found = await stat(path).catch((error: unknown) => {
      if (codeOf(error) === "ENOENT") return null;
      throw storeError(error);
    });
    if (found === null) return null;
    return { sizeBytes: found.size, body: (start, end) => Bun.file(path).slice(start, end) };
  }

  async put(sha256: string, bytes: ReadableStream<Uint8Array>, maxBytes: number): Promise<PutReceipt> {
    // What is there already is still read and checked: the sender learns whether its bytes are those.
    if ((await this.open(sha256)) !== null) {
      return { sizeBytes: await this.#read(sha256, bytes, maxBytes, null), isNew: false };
    }
    const temporary = join(this.#incoming, crypto.randomUUID());
    try {
      const file = await open(temporary, "wx", 0o644);
      let sizeBytes: number;
      try {
        sizeBytes = await this.#read(sha256, bytes, maxBytes, file);
        await file.sync();
      } finally {
        await file.close();
      }
      await this.#install(temporary, this.#path(sha256));
      return { sizeBytes, isNew: true };
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      throw storeError(error);
    }
  }

  /** Reads all of a stream, checks size and hash, and writes it to the file if there is one. */
  async #read(
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

  /** Puts a finished file in its place. Two that do this at once bring the same bytes: either may win. */
  async #install(temporary: string, path: string): Promise<void> {
    const directory = join(path, "..");
    await mkdir(directory, { recursive: true });
    await rename(temporary, path);
    for (const changed of [directory, join(directory, ".."), this.#directory]) await syncDirectory(changed);
  }

  #path(sha256: string): string {
    return join(this.#directory, sha256.slice(0, 2), sha256.slice(2, 4), sha256);
  }
}

async function writeAll(file: FileHandle, chunks: readonly Uint8Array[]): Promise<void> {
  let rest = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
  while (rest.byteLength > 0) {
    const { bytesWritten } = await file.write(rest);
    rest = rest.subarray(bytesWritten);
  }
}

/** Makes a rename lasting; without it a power cut can take back the name of a file that was flushed. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function storeError(error: unknown): unknown {
  const code = codeOf(error);
  if (!DISK_FAULTS.has(code)) return error;
  const reason = code === "ENOSPC" || code === "EDQUOT" ? "its disk is full" : `its disk answers ${code}`;
  return new StoreUnavailableError(`the artifact store cannot be used now: ${reason}`, 5_000);
}
