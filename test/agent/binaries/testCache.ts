/** A cache for tests, with limits that make them quick. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BinaryCache, type HeldBinary } from "../../../src/agent/binaries/binaryCache.ts";
import { type BinaryOptions, binarySettings } from "../../../src/agent/binaries/binaryOptions.ts";
import { type OwnServer, sourceOf } from "../../../src/agent/binaries/source.ts";
import { RememberingLog } from "../testAgent.ts";

export function sha256(bytes: Uint8Array | string): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

/** Bytes that look the same nowhere. */
export function noise(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

export class TestCache implements Disposable {
  readonly folder: string;
  readonly log = new RememberingLog();
  readonly notes: string[] = [];
  readonly cache: BinaryCache;
  readonly server: OwnServer;
  readonly #ownsFolder: boolean;

  constructor(options: BinaryOptions & { server?: OwnServer } = {}) {
    this.folder = options.cacheDir ?? mkdtempSync(join(tmpdir(), "yardmaster-cache-"));
    this.#ownsFolder = options.cacheDir === undefined;
    this.server = options.server ?? { url: "http://127.0.0.1:1", apiKey: "agent-key" };
    const quick = { downloadFirstPauseMs: 5, downloadIdleTimeoutMs: 2_000, downloadTimeoutMs: 20_000 };
    const settings = binarySettings({ ...quick, ...options, cacheDir: this.folder });
    this.cache = new BinaryCache({
      folder: settings.cacheDir,
      maxBytes: settings.cacheBytes,
      limits: settings.limits,
      server: this.server,
      log: this.log,
    });
  }

  async hold(url: string, checksum: string, signal = new AbortController().signal): Promise<HeldBinary> {
    const wanting = { signal, note: (text: string) => void this.notes.push(text) };
    return await this.cache.hold(checksum, sourceOf(url, this.server), wanting);
  }

  path(checksum: string): string {
    return join(this.folder, "sha256", checksum.slice(0, 2), checksum);
  }

  [Symbol.dispose](): void {
    this.cache.close();
    if (this.#ownsFolder) rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The words with which something was refused. */
export async function faultOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error("it was not refused");
}
