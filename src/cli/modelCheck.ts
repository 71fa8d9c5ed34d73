/** Whether a model is the one that provenance names: a file, or what the server has. */
import { existsSync } from "node:fs";
import { type YardmasterClient, YardmasterError } from "@yardmaster/client";
import type { RecordVerdict } from "../domain/provenanceChain.ts";
import { UsageError } from "./usageError.ts";

/** What became of the model. */
export interface ModelVerdict {
  /** For people. */
  readonly text: string;
  readonly isChecked: boolean;
  /** Null when nothing is wrong. */
  readonly fault: string | null;
}

const SHA256 = /^[0-9a-f]{64}$/;

/**
 * Compares the model with the one that a record names.
 *
 * @param file the model; null is the server's
 * @param client null where no server is asked
 * @throws UsageError when there is no such file
 */
export async function checkModel(
  { modelHash, signature }: RecordVerdict,
  file: string | null,
  client: YardmasterClient | null,
): Promise<ModelVerdict> {
  const unchecked = (text: string): ModelVerdict => ({ text, isChecked: false, fault: null });
  if (file !== null) {
    if (!existsSync(file)) throw new UsageError(`there is no file ${JSON.stringify(file)}`);
    return compared(await digest(Bun.file(file).stream()), modelHash ?? "", file);
  }
  if (modelHash === null || modelHash === "") return unchecked("none was made");
  if (client === null) return unchecked(`${modelHash}, not checked: name its file by --artifact`);
  if (!SHA256.test(modelHash)) return unchecked(`${modelHash} is no SHA-256, so it cannot be checked`);
  try {
    const { body } = await client.getArtifact(modelHash);
    return compared(await digest(body ?? new Blob([]).stream()), modelHash, "the server's file");
  } catch (error) {
    if (!(error instanceof YardmasterError) || error.status !== 404) throw error;
    // Agents of other makers keep their models elsewhere.
    if (signature === "unsigned") {
      return unchecked(`${modelHash}, not on this server: name its file by --artifact`);
    }
    const fault = `the model ${modelHash} is not on the server any more`;
    return { text: fault, isChecked: true, fault };
  }
}

function compared({ sha256, bytes }: Digest, expected: string, what: string): ModelVerdict {
  if (sha256 === expected) {
    return {
      text: `${what} is the one recorded (SHA-256 ${sha256}, ${bytes} bytes)`,
      isChecked: true,
      fault: null,
    };
  }
  const recorded = expected === "" ? "no model" : expected;
  const fault = `the model is another one: ${what} has the SHA-256 ${sha256}, the newest record names ${recorded}`;
  return { text: `${what} is NOT the one recorded`, isChecked: true, fault };
}

interface Digest {
  readonly sha256: string;
  readonly bytes: number;
}

async function digest(stream: ReadableStream<Uint8Array>): Promise<Digest> {
  const hasher = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  for await (const chunk of stream) {
    hasher.update(chunk);
    bytes += chunk.byteLength;
  }
  return { sha256: hasher.digest("hex"), bytes };
}
