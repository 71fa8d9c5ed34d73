/** Which of the files that a script left in its `output/` is the model. */
import { lstatSync, readdirSync } from "node:fs";
import { lstat } from "node:fs/promises";
import { join, relative } from "node:path";

/** The model's file. */
export interface ModelFile {
  readonly path: string;
  /** From `output/` on. */
  readonly name: string;
  readonly bytes: number;
}

/** More files than this are not looked at. */
const MAX_ENTRIES = 100_000;
const MAX_DEPTH = 32;

/** In the order in which they are looked for; `model.bin` itself comes before them. */
const ENDINGS = [".pt", ".pth", ".onnx", ".safetensors"] as const;

/**
 * `model.bin`, else the largest file that ends like a model's, else the largest of all. Only plain files count: a link
 * could name a file that is none of the job's. A file whose name is no UTF-8 cannot be named, and is passed over.
 *
 * @returns null when there is no file with anything in it
 */
export async function findModel(output: string): Promise<ModelFile | null> {
  const files = await plainFiles(output);
  const largest = (wanted: (file: ModelFile) => boolean): ModelFile | undefined =>
    files.filter(wanted).sort((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1))[0];
  const named = files.find(({ name }) => name === "model.bin");
  if (named !== undefined) return named;
  for (const ending of ENDINGS) {
    const found = largest(({ name }) => name.toLowerCase().endsWith(ending));
    if (found !== undefined) return found;
  }
  return largest(() => true) ?? null;
}

async function plainFiles(output: string): Promise<ModelFile[]> {
  const files: ModelFile[] = [];
  if (!lstatSync(output, { throwIfNoEntry: false })?.isDirectory()) return files;
  const folders = [{ path: output, depth: 0 }];
  let seen = 0;
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of entriesOf(folder.path)) {
      seen += 1;
      if (seen > MAX_ENTRIES) return files;
      const path = join(folder.path, entry.name);
      if (entry.isDirectory() && folder.depth < MAX_DEPTH) folders.push({ path, depth: folder.depth + 1 });
      if (!entry.isFile()) continue;
      const size = await sizeOf(path);
      if (size > 0) files.push({ path, name: relative(output, path), bytes: size });
    }
  }
  return files;
}

/** Of a file that cannot be looked at there is nothing to store: its name is no UTF-8, or it went away meanwhile. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await lstat(path)).size;
  } catch {
    return 0;
  }
}

function entriesOf(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    // The script may have taken the folder away, or put a file in its place.
    return [];
  }
}
