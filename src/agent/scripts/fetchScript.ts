/** A job's script from the server, whole and checked. */
import { YardmasterError } from "@yardmaster/client";
import { JobFault } from "../runner.ts";
import { sha256Hex } from "./fileHash.ts";
import type { ScriptServices } from "./scriptServices.ts";

/**
 * The script's bytes.
 *
 * @throws JobFault when the server has it no more, or it is too large or another one; the signal's reason
 */
export async function fetchScript(
  sha256: string,
  { link, client, maxScriptBytes }: Pick<ScriptServices, "link" | "client" | "maxScriptBytes">,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const request = async (both: AbortSignal): Promise<Uint8Array | null> =>
    bytesUpTo(await client.getArtifact(sha256, { signal: both }), maxScriptBytes);
  const bytes = await link.call("the job's script", request, signal).catch((error: unknown) => {
    if (!(error instanceof YardmasterError) || error.status !== 404) throw error;
    throw new JobFault(`the server has no script ${sha256} (any more): upload it again`);
  });
  if (bytes === null) {
    throw new JobFault(`the script is larger than the ${maxScriptBytes} bytes that this agent takes`);
  }
  const actual = sha256Hex(bytes);
  if (actual === sha256) return bytes;
  throw new JobFault(`the script is not the one that was uploaded: expected ${sha256}, got ${actual}`);
}

/** The body's bytes; null when there are more than `maxBytes`. */
async function bytesUpTo(response: Response, maxBytes: number): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.byteLength;
    if (length > maxBytes) return null;
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}
