/** Hashing a large file leaves the agent free for everything else, such as keeping its leases. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256OfFile } from "../../../src/agent/binaries/sha256.ts";
import { sha256Hex } from "../../../src/agent/scripts/fileHash.ts";

const LARGE_BYTES = 512 * 1024 * 1024;

/** A file of zeros that takes no room. */
async function withFile(bytes: number, use: (file: FileHandle) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "yardmaster-hash-"));
  const path = join(folder, "model.bin");
  writeFileSync(path, "");
  truncateSync(path, bytes);
  const file = await open(path);
  try {
    await use(file);
  } finally {
    await file.close();
    rmSync(folder, { recursive: true });
  }
}

test.each([0, 1, 1024 * 1024 - 1, 1024 * 1024, 3 * 1024 * 1024 + 1])("a file of %d bytes", async (bytes) => {
  await withFile(bytes, async (file) => {
    const { signal } = new AbortController();
    expect(await sha256OfFile(file, signal)).toBe(sha256Hex(new Uint8Array(bytes)));
    expect(await sha256OfFile(file, signal, 1_000)).toBe(sha256Hex(new Uint8Array(Math.min(bytes, 1_000))));
  });
});

test("timers go on meanwhile", async () => {
  await withFile(LARGE_BYTES, async (file) => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    try {
      await sha256OfFile(file, new AbortController().signal);
    } finally {
      clearInterval(timer);
    }
    expect(ticks).toBeGreaterThan(3);
  });
});

test("ends when its job is not wanted any more", async () => {
  await withFile(LARGE_BYTES, async (file) => {
    const wanted = new AbortController();
    const timer = setTimeout(() => wanted.abort(new Error("cancelled")), 5);
    try {
      await expect(sha256OfFile(file, wanted.signal)).rejects.toThrow("cancelled");
    } finally {
      clearTimeout(timer);
    }
  });
});
