/** `yardmaster submit --binary-url` and `--binary`: a program by its checksum. */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { BinarySpec, YardmasterClient } from "@yardmaster/client";
import { UsageError } from "./usageError.ts";

/** Flags that say which program, as they were given. */
export interface BinaryFlags {
  binary?: string;
  binaryUrl?: string;
  sha256?: string;
  task?: string;
  cwd?: string;
}

/** Where the program is: at a URL, or a file to upload. */
export type BinaryChoice =
  | { readonly url: string; readonly sha256: string; readonly name: string }
  | { readonly file: string; readonly sha256: string | null; readonly name: string };

/**
 * The program that the flags name; null when they name none.
 *
 * @throws UsageError for flags that do not go together, an address or a checksum that is none
 */
export function binaryOf(flags: BinaryFlags): BinaryChoice | null {
  const { binary, binaryUrl, sha256 } = flags;
  if (binary === undefined && binaryUrl === undefined) {
    if (sha256 !== undefined) {
      throw new UsageError("--sha256: the checksum of what? Give --binary-url or --binary too");
    }
    return null;
  }
  if (binary !== undefined && binaryUrl !== undefined) {
    throw new UsageError("give --binary-url or --binary, not both");
  }
  if (flags.task !== undefined) throw new UsageError("give a binary or --task, not both");
  if (flags.cwd !== undefined) {
    throw new UsageError("--cwd: a binary runs in a fresh folder of its own; --cwd is for commands");
  }
  const checksum = sha256 === undefined ? null : checksumOf(sha256);
  if (binary !== undefined) return { file: binary, sha256: checksum, name: nameOf(basename(binary)) };
  const url = URL.parse(binaryUrl ?? "");
  if (url === null || !/^https?:$/.test(url.protocol)) {
    // The text is not repeated: it may hold a password.
    throw new UsageError("--binary-url: expected a URL that begins with http:// or https://");
  }
  if (checksum === null) {
    throw new UsageError(
      "--binary-url needs --sha256, the checksum of the program, which `sha256sum FILE` prints",
    );
  }
  return { url: url.href, sha256: checksum, name: nameOf(url.pathname.split("/").at(-1) ?? "") };
}

/**
 * What the job runs. A file is uploaded where the server does not have it yet.
 *
 * @throws UsageError for a file that cannot be read or has another checksum
 */
export async function binarySpecOf(
  choice: BinaryChoice,
  args: readonly string[],
  env: Readonly<Record<string, string>> | undefined,
  client: YardmasterClient,
): Promise<BinarySpec> {
  const { url, sha256 } = "url" in choice ? choice : await uploaded(client, choice.file, choice.sha256);
  return { url, sha256, args: [...args], ...(env === undefined ? {} : { env: { ...env } }) };
}

async function uploaded(
  client: YardmasterClient,
  path: string,
  expected: string | null,
): Promise<{ url: string; sha256: string }> {
  const file = Bun.file(path);
  const hash = createHash("sha256");
  try {
    for await (const bytes of file.stream()) hash.update(bytes);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new UsageError(`--binary: cannot read ${JSON.stringify(path)} (${code})`);
  }
  const sha256 = hash.digest("hex");
  if (expected !== null && expected !== sha256) {
    throw new UsageError(`--sha256: ${JSON.stringify(path)} has the checksum ${sha256}`);
  }
  if (!(await client.hasArtifact(sha256))) await client.putArtifact(sha256, file);
  // Each agent knows the server by an address of its own.
  return { url: `/v1/artifacts/${sha256}`, sha256 };
}

function checksumOf(text: string): string {
  const sha256 = text.toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    throw new UsageError(`--sha256: expected 64 hexadecimal digits, got ${JSON.stringify(text)}`);
  }
  return sha256;
}

function nameOf(text: string): string {
  return text === "" ? "binary" : text.slice(0, 200);
}
