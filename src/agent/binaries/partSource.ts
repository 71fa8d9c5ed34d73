/** What says beside a part what it is a part of, so that another try, or another agent, can go on with it. */
import { type FileHandle, readFile, rename, writeFile } from "node:fs/promises";
import type { CachePaths } from "./cacheFolder.ts";
import type { Partial } from "./download.ts";

/** What an earlier try has left in a part, where it came from the same address. */
export async function leftPartial(file: FileHandle, paths: CachePaths, urlHash: string): Promise<Partial> {
  const { size } = await file.stat();
  if (size > 0) {
    const left = await readSource(paths.source);
    if (left?.urlHash === urlHash) return { sizeBytes: size, validator: left.validator };
    await file.truncate(0);
  }
  return { sizeBytes: 0, validator: null };
}

interface LeftSource {
  readonly urlHash: string;
  readonly validator: string | null;
}

async function readSource(path: string): Promise<LeftSource | null> {
  try {
    const read: unknown = JSON.parse(await readFile(path, "utf8"));
    if (typeof read !== "object" || read === null || !("urlHash" in read) || !("validator" in read))
      return null;
    const { urlHash, validator } = read;
    if (typeof urlHash !== "string" || (typeof validator !== "string" && validator !== null)) return null;
    return { urlHash, validator };
  } catch {
    return null;
  }
}

/** Notes what a part is filled from; called before the first byte of it. */
export async function writeSource(path: string, source: LeftSource): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(source), { mode: 0o600 });
  await rename(`${path}.new`, path);
}
