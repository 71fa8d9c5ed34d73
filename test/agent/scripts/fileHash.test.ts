/** Hashing a large file leaves the agent free for everything else, such as keeping its leases. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileSha256, sha256Hex } from "../../../src/agent/scripts/fileHash.ts";

const LARGE_BYTES = 512 * 1024 * 1024;

/** A file of zeros that takes no room. */
async function withFile(bytes: number, use: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "yardmaster-hash-"));
  const path = join(folder, "model.bin");
  writeFileSync(path, "");
  truncateSync(path, bytes);
  try {
    await use(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test.each([0, 1, 1024 * 1024 - 1, 1024 * 1024, 3 * 1024 * 1024 + 1])("a file of %d bytes", async (bytes) => {
  await withFile(bytes, async (path) => {
    const found = await fileSha256(path, new AbortController().signal);
    expect(found).toEqual({ sha256: sha256Hex(new Uint8Array(bytes)), bytes });
  });
});

test("timers go on meanwhile", async () => {
  await withFile(LARGE_BYTES, async (path) => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    try {
      await fileSha256(path, new AbortController().signal);
    } finally {
      clearInterval(timer);
    }
    expect(ticks).toBeGreaterThan(3);
  });
});

test("ends when its job is not wanted any more", async () => {
  await withFile(LARGE_BYTES, async (path) => {
    const wanted = new AbortController();
    const timer = setTimeout(() => wanted.abort(new Error("cancelled")), 5);
    try {
      await expect(fileSha256(path, wanted.signal)).rejects.toThrow("cancelled");
    } finally {
      clearTimeout(timer);
    }
  });
});

test("a file that is not there", async () => {
  await expect(fileSha256("/nowhere/model.bin", new AbortController().signal)).rejects.toThrow("ENOENT");
});
