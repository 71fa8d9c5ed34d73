import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { openDirectoryBlobStore } from "../../src/store/blobs/directoryBlobStore.ts";
import { describeBlobStore, type OpenBlobs } from "./blobStoreConformance.ts";

const newFolder = () => mkdtemp(join(tmpdir(), "yardmaster-blobs-"));

async function filesUnder(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => basename(entry.name));
}

async function open(): Promise<OpenBlobs> {
  const directory = await newFolder();
  return {
    blobs: await openDirectoryBlobStore(directory),
    reopen: () => openDirectoryBlobStore(directory),
    leftovers: () => filesUnder(directory),
    dispose: () => rm(directory, { recursive: true, force: true }),
  };
}

describeBlobStore("a folder", open, { largeBytes: 40_000_000 });

test("what a broken upload left in a folder is gone at the next start", async () => {
  const directory = await newFolder();
  try {
    await openDirectoryBlobStore(directory);
    await writeFile(join(directory, "incoming", "left"), "half");
    await openDirectoryBlobStore(directory);
    expect(await filesUnder(directory)).toEqual([]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
