/**
 * What every blob store must do, written once. A store's own test file calls this with a way to open one.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  BlobMismatchError,
  type BlobStore,
  BlobTooLargeError,
  type StoredBlob,
} from "../../src/store/blobs/blobStore.ts";

export interface OpenBlobs {
  readonly blobs: BlobStore;
  /** Opens the same place again, as a restarted server would. */
  reopen(): Promise<BlobStore>;
  /** Everything that lies about there, files under way included. */
  leftovers(): Promise<readonly string[]>;
  /** Removes all. */
  dispose(): Promise<void>;
}

const MAX_BYTES = 1024 ** 3;

export function hashOf(bytes: string | Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

export function streamOf(...chunks: (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks)
        controller.enqueue(typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk);
      controller.close();
    },
  });
}

export async function bytesOf(blob: StoredBlob | null, start = 0, end = blob?.sizeBytes ?? 0) {
  if (blob === null) throw new Error("there is no blob");
  return new Uint8Array(await new Response(blob.body(start, end)).arrayBuffer());
}

async function textOf(blob: StoredBlob | null, start?: number, end?: number): Promise<string> {
  return new TextDecoder().decode(await bytesOf(blob, start, end));
}

/** Bytes that no compression makes small, the same each time. */
export function noise(sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  let state = 1;
  for (let at = 0; at < sizeBytes; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
    bytes[at + 1] = state >>> 16;
    bytes[at + 2] = state >>> 8;
  }
  return bytes;
}

/** @param largeBytes size of the largest blob that is tried */
export function describeBlobStore(
  name: string,
  open: () => Promise<OpenBlobs>,
  { largeBytes }: { readonly largeBytes: number },
): void {
  describe(`${name} as a blob store`, () => {
    let opened: OpenBlobs;
    beforeEach(async () => {
      opened = await open();
    });
    afterEach(async () => {
      await opened.dispose();
    });

    test("what is put under its hash is given back, once stored and known the second time", async () => {
      const hash = hashOf("hello");
      expect(await opened.blobs.open(hash)).toBeNull();
      expect(await opened.blobs.put(hash, streamOf("he", "llo"), MAX_BYTES)).toEqual({
        sizeBytes: 5,
        isNew: true,
      });
      expect(await opened.blobs.put(hash, streamOf("hello"), MAX_BYTES)).toEqual({
        sizeBytes: 5,
        isNew: false,
      });
      const blob = await opened.blobs.open(hash);
      expect([blob?.sizeBytes, await textOf(blob)]).toEqual([5, "hello"]);
      expect(await opened.leftovers()).toEqual([hash]);
    });

    test("nothing is a blob too", async () => {
      const hash = hashOf("");
      expect(await opened.blobs.put(hash, streamOf(), 0)).toEqual({ sizeBytes: 0, isNew: true });
      const blob = await opened.blobs.open(hash);
      expect([blob?.sizeBytes, await textOf(blob)]).toEqual([0, ""]);
    });

    test("a part of a blob is given back alone", async () => {
      const hash = hashOf("0123456789");
      await opened.blobs.put(hash, streamOf("0123456789"), MAX_BYTES);
      const blob = await opened.blobs.open(hash);
      expect(await textOf(blob, 2, 5)).toBe("234");
      expect(await textOf(blob, 9, 10)).toBe("9");
      expect(await textOf(blob, 4, 4)).toBe("");
    });

    test("bytes of another hash, or too many, are refused and leave nothing behind", async () => {
      const hash = hashOf("hello");
      const wrong = opened.blobs.put(hash, streamOf("hullo"), MAX_BYTES);
      await expect(wrong).rejects.toBeInstanceOf(BlobMismatchError);
      const tooMany = opened.blobs.put(hash, streamOf("hello"), 4);
      await expect(tooMany).rejects.toBeInstanceOf(BlobTooLargeError);
      expect(await opened.blobs.open(hash)).toBeNull();
      expect(await opened.leftovers()).toEqual([]);
    });

    test("what is there is not replaced by bytes of another hash, and the sender is told", async () => {
      const hash = hashOf("hello");
      await opened.blobs.put(hash, streamOf("hello"), MAX_BYTES);
      const wrong = opened.blobs.put(hash, streamOf("hullo"), MAX_BYTES);
      await expect(wrong).rejects.toBeInstanceOf(BlobMismatchError);
      expect(await textOf(await opened.blobs.open(hash))).toBe("hello");
    });

    test("an upload that breaks off leaves nothing behind", async () => {
      const broken = new ReadableStream<Uint8Array>({
        pull(controller) {
          controller.enqueue(noise(300_000));
          controller.error(new Error("the sender went away"));
        },
      });
      const put = opened.blobs.put(hashOf("x"), broken, MAX_BYTES);
      await expect(put).rejects.toThrow("the sender went away");
      expect(await opened.leftovers()).toEqual([]);
    });

    test("the same bytes put by many at once are there once", async () => {
      const bytes = noise(100_000);
      const hash = hashOf(bytes);
      await Promise.all(Array.from({ length: 8 }, () => opened.blobs.put(hash, streamOf(bytes), MAX_BYTES)));
      expect(await opened.leftovers()).toEqual([hash]);
      expect(hashOf(await bytesOf(await opened.blobs.open(hash)))).toBe(hash);
    });

    test("a large blob comes back as it was, whole and from its middle", async () => {
      const bytes = noise(largeBytes);
      const hash = hashOf(bytes);
      expect(await opened.blobs.put(hash, streamOf(bytes), MAX_BYTES)).toEqual({
        sizeBytes: largeBytes,
        isNew: true,
      });
      const blob = await opened.blobs.open(hash);
      expect(blob?.sizeBytes).toBe(largeBytes);
      expect(hashOf(await bytesOf(blob))).toBe(hash);
      const [start, end] = [Math.floor(largeBytes / 2), Math.floor(largeBytes / 2) + 100_001];
      expect(hashOf(await bytesOf(blob, start, end))).toBe(hashOf(bytes.subarray(start, end)));
    });

    test("a reader that stops early holds nothing up", async () => {
      const bytes = noise(2_000_000);
      const hash = hashOf(bytes);
      await opened.blobs.put(hash, streamOf(bytes), MAX_BYTES);
      const blob = await opened.blobs.open(hash);
      const reader = new Response(blob?.body(0, bytes.byteLength)).body?.getReader();
      expect((await reader?.read())?.value?.byteLength).toBeGreaterThan(0);
      await reader?.cancel();
      expect((await opened.blobs.open(hash))?.sizeBytes).toBe(bytes.byteLength);
    });

    test("all names are told, also after a restart", async () => {
      const hashes = Array.from({ length: 12 }, (_, index) => hashOf(`blob ${index}`));
      await Promise.all(
        hashes.map((hash, index) => opened.blobs.put(hash, streamOf(`blob ${index}`), MAX_BYTES)),
      );
      const sorted = [...hashes].sort();
      expect(await names(opened.blobs)).toEqual(sorted);
      const again = await opened.reopen();
      expect(await names(again)).toEqual(sorted);
      expect(await textOf(await again.open(hashes[3] ?? ""))).toBe("blob 3");
    });

    test("what is put or touched counts as young; only what is not is deleted", async () => {
      const { blobs } = opened;
      const hashes = ["put", "put again", "touched", "left"].map(hashOf);
      const [put = "", again = "", touched = "", left = ""] = hashes;
      for (const text of ["put again", "touched", "left"])
        await blobs.put(hashOf(text), streamOf(text), MAX_BYTES);
      expect([await blobs.touch(hashOf("not there")), await blobs.touch(left)]).toEqual([false, true]);
      const between = await later(blobs, left);
      await blobs.put(put, streamOf("put"), MAX_BYTES);
      await blobs.put(again, streamOf("put again"), MAX_BYTES);
      await blobs.touch(touched);
      const entries = await Array.fromAsync(blobs.list());
      const young = entries.filter(({ touchedAt }) => touchedAt >= between).map(({ sha256 }) => sha256);
      expect(young.sort()).toEqual([put, again, touched].sort());
      for (const hash of [put, again, touched, hashOf("not there")]) {
        expect(await blobs.delete(hash, between)).toBe(false);
      }
      expect(await blobs.delete(left, between)).toBe(true);
      expect(await blobs.open(left)).toBeNull();
      expect(await blobs.delete(left, between)).toBe(false);
      expect(await names(blobs)).toEqual([put, again, touched].sort());
      // It may come again.
      expect(await blobs.put(left, streamOf("left"), MAX_BYTES)).toEqual({ sizeBytes: 4, isNew: true });
      expect(await textOf(await blobs.open(left))).toBe("left");
    });

    test("belongs to the installation that was entered first", async () => {
      expect(await opened.blobs.claim("first")).toBe(true);
      expect(await opened.blobs.claim("second")).toBe(false);
      expect(await (await opened.reopen()).claim("first")).toBe(true);
      expect(await names(opened.blobs)).toEqual([]);
    });
  });
}

async function names(blobs: BlobStore): Promise<string[]> {
  return (await Array.fromAsync(blobs.list())).map(({ sha256 }) => sha256).sort();
}

/** Waits for a time at which that blob was there for a while, by the clock of those who keep it, which may tell whole seconds. */
export async function later(blobs: BlobStore, sha256: string): Promise<number> {
  const { touchedAt } = (await Array.fromAsync(blobs.list())).find((one) => one.sha256 === sha256) ?? {};
  if (touchedAt === undefined) throw new Error("the blob is not there");
  const wholeSecond = Math.floor(touchedAt / 1_000) * 1_000 + 1_000;
  await Bun.sleep(Math.max(wholeSecond - Date.now(), 0) + 5);
  return wholeSecond;
}
