/**
 * Blobs on an S3-compatible service, for servers on several machines: `PREFIX/abcd…`, one object a blob.
 *
 * What comes in is first written to a file of this machine and checked: a stream's hash is known at its end, and an
 * object must not be seen before. Only then it goes up, in one piece or in parts that the service joins at the end, so
 * that a name never stands for less than its bytes, and a request to the service can be sent again.
 */
import { mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { StoreUnavailableError } from "../../domain/errors.ts";
import { BLOB_NAME, type BlobEntry, type BlobStore, type PutReceipt, type StoredBlob } from "./blobStore.ts";
import { copyChecked } from "./checkedCopy.ts";
import { diskFault } from "./diskFault.ts";
import { S3Bucket, type S3BucketOptions } from "./s3Bucket.ts";
import { BlobPlaceError, S3Fault, unavailable } from "./s3Fault.ts";

export interface S3BlobStoreOptions extends S3BucketOptions {
  /** Stands before every name, without a slash at its ends; empty is none. */
  readonly prefix: string;
  /** Folder of this process alone, for what is coming in. Made when it is not there, and emptied. */
  readonly spoolDirectory: string;
  /** Called when the service cannot be reached at the start; the store works as soon as it can. */
  readonly onUnreachable?: (reason: string) => void;
}

/** Says whose blobs they are. */
const OWNER = "installation";
/** Under these names beside the blobs stand those that were touched, and those that are being deleted. */
const MARKS = "touched";
const DELETIONS = "deleting";
/** How long a deletion is waited for; longer than a request may take that carries it out. */
const MAX_DELETION_MS = 90_000;
const DELETION_LOOK_MS = 200;
/** A word of a deletion that is this old was left by one that was cut off. */
const LEFT_DELETION_MS = 600_000;

/** Written at the start, which shows that the bucket is there and takes objects. */
const MARKER = {
  name: "yardmaster.txt",
  text: "Artifacts of Yardmaster, each under the SHA-256 of its bytes.\n",
};

/**
 * Opens the store.
 * @throws BlobPlaceError when the service refuses: no such bucket, wrong key, no right to write
 */
export async function openS3BlobStore(options: S3BlobStoreOptions): Promise<BlobStore> {
  await mkdir(options.spoolDirectory, { recursive: true, mode: 0o700 });
  for (const name of await readdir(options.spoolDirectory)) {
    await rm(join(options.spoolDirectory, name), { recursive: true, force: true });
  }
  const bucket = new S3Bucket(options);
  const prefix = options.prefix === "" ? "" : `${options.prefix}/`;
  try {
    await bucket.putText(prefix + MARKER.name, MARKER.text);
  } catch (error) {
    if (!(error instanceof S3Fault)) throw error;
    if (!error.isPassing) {
      throw new BlobPlaceError(
        `the artifacts cannot be kept in s3://${options.bucket}/${options.prefix}: ${error.message}`,
      );
    }
    options.onUnreachable?.(error.message);
  }
  return new S3BlobStore(bucket, prefix, options.spoolDirectory);
}

class S3BlobStore implements BlobStore {
  readonly #bucket: S3Bucket;
  readonly #prefix: string;
  readonly #spoolDirectory: string;

  constructor(bucket: S3Bucket, prefix: string, spoolDirectory: string) {
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#spoolDirectory = spoolDirectory;
  }

  async open(sha256: string): Promise<StoredBlob | null> {
    const key = this.#prefix + sha256;
    const found = await this.#bucket.find(key).catch(refuse);
    if (found === null) return null;
    const { sizeBytes } = found;
    return {
      sizeBytes,
      body: (start, end) => (start >= end ? new Blob([]) : this.#bucket.read(key, start, end)),
    };
  }

  async put(sha256: string, bytes: ReadableStream<Uint8Array>, maxBytes: number): Promise<PutReceipt> {
    // What is there already is still read and checked: the sender learns whether its bytes are those.
    if (await this.#touchIfThere(sha256)) {
      const sizeBytes = await copyChecked(sha256, bytes, maxBytes, null);
      if ((await this.open(sha256)) !== null) return { sizeBytes, isNew: false };
      throw new StoreUnavailableError("the artifact was deleted at this very moment: send it again");
    }
    const path = join(this.#spoolDirectory, crypto.randomUUID());
    try {
      const file = await open(path, "wx", 0o600);
      let sizeBytes: number;
      try {
        sizeBytes = await copyChecked(sha256, bytes, maxBytes, file);
      } finally {
        await file.close();
      }
      await this.#bucket.putFile(this.#prefix + sha256, path, sizeBytes);
      return { sizeBytes, isNew: true };
    } catch (error) {
      throw error instanceof S3Fault ? unavailable(error) : diskFault(error);
    } finally {
      await rm(path, { force: true }).catch(() => {});
    }
  }

  touch(sha256: string): Promise<boolean> {
    return this.#touchIfThere(sha256);
  }

  async claim(installation: string): Promise<boolean> {
    const key = this.#prefix + OWNER;
    try {
      const found = await this.#bucket.find(key);
      if (found === null) await this.#bucket.putText(key, installation);
      const sizeBytes = found?.sizeBytes ?? installation.length;
      return (await new Response(this.#bucket.read(key, 0, sizeBytes)).text()) === installation;
    } catch (error) {
      return refuse(error);
    }
  }

  /**
   * Touches it; false when it is not there. The service has no way to renew an object's time without writing it anew: a
   * mark beside it has the later one.
   */
  async #touchIfThere(sha256: string): Promise<boolean> {
    const key = this.#prefix + sha256;
    try {
      if ((await this.#bucket.find(key)) === null) return false;
      await this.#bucket.putText(this.#under(MARKS, sha256), "");
      // Who deletes it has said so before looking at the mark: either the mark was seen, or this is.
      if ((await this.#bucket.find(this.#under(DELETIONS, sha256))) === null) return true;
      return await this.#isThereAfterDeletion(sha256);
    } catch (error) {
      return refuse(error);
    }
  }

  async #isThereAfterDeletion(sha256: string): Promise<boolean> {
    const deadline = Date.now() + MAX_DELETION_MS;
    while (Date.now() < deadline) {
      await Bun.sleep(DELETION_LOOK_MS);
      if ((await this.#bucket.find(this.#under(DELETIONS, sha256))) === null) {
        return (await this.#bucket.find(this.#prefix + sha256)) !== null;
      }
    }
    // Whoever began it has not ended it, and may have been cut off: it counts as gone, and is written anew.
    return false;
  }

  #under(folder: string, sha256: string): string {
    return `${this.#prefix}${folder}/${sha256}`;
  }

  async *list(): AsyncIterable<BlobEntry> {
    const marks = new Map<string, number>();
    for await (const { name, changedAt } of this.#list(`${this.#prefix}${MARKS}/`))
      marks.set(name, changedAt);
    for await (const { name, changedAt } of this.#list(`${this.#prefix}${DELETIONS}/`)) {
      // Left by one that was cut off.
      if (changedAt < Date.now() - LEFT_DELETION_MS)
        await this.#bucket.remove(this.#under(DELETIONS, name)).catch(refuse);
    }
    for await (const { name, changedAt } of this.#list(this.#prefix)) {
      if (BLOB_NAME.test(name))
        yield { sha256: name, touchedAt: Math.max(changedAt, marks.get(name) ?? changedAt) };
    }
  }

  async *#list(prefix: string): AsyncIterable<{ name: string; changedAt: number }> {
    let from: string | null = null;
    do {
      const page: Awaited<ReturnType<S3Bucket["list"]>> = await this.#bucket.list(prefix, from).catch(refuse);
      for (const { key, changedAt } of page.objects) yield { name: key.slice(prefix.length), changedAt };
      from = page.next;
    } while (from !== null);
  }

  async delete(sha256: string, untouchedSince: number): Promise<boolean> {
    const key = this.#prefix + sha256;
    const [mark, deletion] = [this.#under(MARKS, sha256), this.#under(DELETIONS, sha256)];
    const isOld = async () => {
      const blob = await this.#bucket.find(key);
      if (blob === null || blob.changedAt >= untouchedSince) return false;
      return ((await this.#bucket.find(mark))?.changedAt ?? 0) < untouchedSince;
    };
    try {
      if (!(await isOld())) return false;
      await this.#bucket.putText(deletion, "");
      const mayGo = await isOld();
      // One that fails may be carried out later: the word of it stays, and who wants the blob waits for that time.
      if (mayGo) await this.#bucket.remove(key);
      if (mayGo) await this.#bucket.remove(mark);
      await this.#bucket.remove(deletion);
      return mayGo;
    } catch (error) {
      return refuse(error);
    }
  }
}

function refuse(error: unknown): never {
  throw error instanceof S3Fault ? unavailable(error) : error;
}
