/** Stores a script's model as an artifact of the server. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { YardmasterError } from "@yardmaster/client";
import { sha256OfFile } from "../binaries/sha256.ts";
import { JobFault, type RunContext } from "../runner.ts";
import type { ModelFile } from "./model.ts";
import type { ScriptServices } from "./scriptServices.ts";

/** A model that the server has. */
export interface StoredModel {
  readonly sha256: string;
  readonly bytes: number;
  /** From `output/` on. */
  readonly name: string;
}

/** How much of the file is read at a time. */
const PIECE_BYTES = 1024 * 1024;

/**
 * Stores the file, trying for as long as the job is wanted.
 *
 * @throws JobFault when it is too large or changes meanwhile, YardmasterError when the server refuses it, the signal's
 * reason
 */
export async function storeModel(
  { path, name }: ModelFile,
  { link, client, maxModelBytes }: Pick<ScriptServices, "link" | "client" | "maxModelBytes">,
  { signal, note }: Pick<RunContext, "signal" | "note">,
): Promise<StoredModel> {
  // One descriptor for all of it: what a script left running may put another file, a link or a pipe in its place.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const before = await file.stat();
    const bytes = before.size;
    if (!before.isFile()) throw new JobFault(`output/${name} is no plain file any more`);
    if (bytes > maxModelBytes) {
      throw new JobFault(
        `output/${name} has ${bytes} bytes, more than the ${maxModelBytes} that this agent takes (max-model-bytes)`,
      );
    }
    const sha256 = await sha256OfFile(file, signal, bytes);
    const hasChanged = async (): Promise<boolean> => {
      const { size, mtimeMs } = await file.stat();
      return size !== bytes || mtimeMs !== before.mtimeMs;
    };
    const changed = `output/${name}: the file changed while it was stored; let the script end only when nothing writes to it`;
    if (await hasChanged()) throw new JobFault(changed);
    note(`storing the model output/${name} (${bytes} bytes)`);
    const put = async (both: AbortSignal): Promise<void> => {
      if (await client.hasArtifact(sha256, { signal: both })) return;
      // A stream, made anew for each try: a model need not fit into memory.
      await client.putArtifact(sha256, contentOf(file, bytes), { signal: both });
    };
    await link.call("the job's model", put, signal).catch(async (error: unknown) => {
      if (error instanceof YardmasterError && error.status === 422 && (await hasChanged())) {
        throw new JobFault(changed);
      }
      throw error;
    });
    note(`the model's SHA-256 is ${sha256}`);
    // Names of files may hold what texts must not.
    return { sha256, bytes, name: name.toWellFormed().replaceAll("\0", "\ufffd") };
  } finally {
    await file.close();
  }
}

/** The first `bytes` of a file, each piece read when the one before it was taken. */
function contentOf(file: FileHandle, bytes: number): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const piece = new Uint8Array(Math.min(PIECE_BYTES, bytes - at));
      const { bytesRead } = await file.read(piece, 0, piece.length, at);
      at += bytesRead;
      if (bytesRead > 0) controller.enqueue(piece.subarray(0, bytesRead));
      if (bytesRead === 0 || at >= bytes) controller.close();
    },
  });
}
