/** Stores a script's model as an artifact of the server. */
import { JobFault, type RunContext } from "../runner.ts";
import { fileSha256 } from "./fileHash.ts";
import type { ModelFile } from "./model.ts";
import type { ScriptServices } from "./scriptServices.ts";

/** A model that the server has. */
export interface StoredModel {
  readonly sha256: string;
  readonly bytes: number;
  /** From `output/` on. */
  readonly name: string;
}

/**
 * Stores the file, trying for as long as the job is wanted.
 *
 * @throws JobFault when it is too large, YardmasterError when the server refuses it, the signal's reason
 */
export async function storeModel(
  file: ModelFile,
  { link, client, maxModelBytes }: Pick<ScriptServices, "link" | "client" | "maxModelBytes">,
  { signal, note }: Pick<RunContext, "signal" | "note">,
): Promise<StoredModel> {
  if (file.bytes > maxModelBytes) {
    throw new JobFault(
      `output/${file.name} has ${file.bytes} bytes, more than the ${maxModelBytes} that this agent takes (max-model-bytes)`,
    );
  }
  const { sha256, bytes } = await fileSha256(file.path, signal);
  note(`storing the model output/${file.name} (${bytes} bytes)`);
  await link.call(
    "the job's model",
    async (both) => {
      if (await client.hasArtifact(sha256, { signal: both })) return;
      // A stream, made anew for each try: a model need not fit into memory.
      await client.putArtifact(sha256, Bun.file(file.path).stream(), { signal: both });
    },
    signal,
  );
  note(`the model's SHA-256 is ${sha256}`);
  // Names of files may hold what texts must not.
  return { sha256, bytes, name: file.name.toWellFormed().replaceAll("\0", "\ufffd") };
}
