/**
 * Blobs as files of one directory: `ab/cd/abcd…`. A file is written under a name of its own in `incoming`,
 * flushed to the disk, and only then renamed to its place: what has a blob's name is whole.
 */
import { renameSync, statSync, utimesSync } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BLOB_NAME, type BlobEntry, type BlobStore, type PutReceipt, type StoredBlob } from "./blobStore.ts";
import { copyChecked } from "./checkedCopy.ts";
import { codeOf, diskFault } from "./diskFault.ts";

/** Says whose blobs they are. */
const OWNER_FILE = "installation";

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
      throw diskFault(error);
    });
    if (found === null) return null;
    return { sizeBytes: found.size, body: (start, end) => Bun.file(path).slice(start, end) };
  }

  async put(sha256: string, bytes: ReadableStream<Uint8Array>, maxBytes: number): Promise<PutReceipt> {
    // What is there already is still read and checked: the sender learns whether its bytes are those.
    if (this.#touch(sha256)) {
      return { sizeBytes: await copyChecked(sha256, bytes, maxBytes, null), isNew: false };
    }
    const temporary = join(this.#incoming, crypto.randomUUID());
    try {
      const file = await open(temporary, "wx", 0o644);
      let sizeBytes: number;
      try {
        sizeBytes = await copyChecked(sha256, bytes, maxBytes, file);
        await file.sync();
      } finally {
        await file.close();
      }
      await this.#install(temporary, this.#path(sha256));
      return { sizeBytes, isNew: true };
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      throw diskFault(error);
    }
  }

  async touch(sha256: string): Promise<boolean> {
    return this.#touch(sha256);
  }

  /** At once, as deleting is: what was touched cannot be deleted a moment later by one that looked before. */
  #touch(sha256: string): boolean {
    const now = new Date();
    return orIfMissing(() => {
      utimesSync(this.#path(sha256), now, now);
      return true;
    }, false);
  }

  async claim(installation: string): Promise<boolean> {
    const path = join(this.#directory, OWNER_FILE);
    try {
      await writeFile(path, `${installation}\n`, { flag: "wx" });
      return true;
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw diskFault(error);
      return (await readFile(path, "utf8")).trim() === installation;
    }
  }

  async *list(): AsyncIterable<BlobEntry> {
    for (const first of await this.#subfolders(this.#directory)) {
      for (const second of await this.#subfolders(join(this.#directory, first))) {
        const names = await readdir(join(this.#directory, first, second));
        for (const sha256 of names.filter((name) => BLOB_NAME.test(name)).sort()) {
          const found = await stat(this.#path(sha256)).catch(() => null);
          if (found !== null) yield { sha256, touchedAt: found.mtimeMs };
        }
      }
    }
  }

  async delete(sha256: string, untouchedSince: number): Promise<boolean> {
    const path = this.#path(sha256);
    // A large file takes a while to delete; only its name goes at once.
    const gone = join(this.#incoming, crypto.randomUUID());
    const isTaken = orIfMissing(() => {
      if (statSync(path).mtimeMs >= untouchedSince) return false;
      renameSync(path, gone);
      return true;
    }, false);
    if (isTaken) await rm(gone, { force: true });
    return isTaken;
  }

  async #subfolders(path: string): Promise<string[]> {
    return (await readdir(path)).filter((name) => /^[0-9a-f]{2}$/.test(name)).sort();
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

function orIfMissing<T>(work: () => T, otherwise: T): T {
  try {
    return work();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return otherwise;
    throw diskFault(error);
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
