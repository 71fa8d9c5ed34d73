/**
 * The secret that tokens are signed with, `token-secret` in the data folder: made at the first start and kept,
 * so that tokens outlive a restart. Only its owner may read it: who has it can make tokens of every key.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { KeyFileError } from "./keyFile.ts";

/** As long as the digest of HMAC-SHA256, which is what RFC 7518 asks for. */
const SECRET_BYTES = 32;

/** Where the secret of a data folder is. */
export function tokenSecretPath(dataDir: string): string {
  return join(dataDir, "token-secret");
}

/** A secret that ends with the process, for servers without a data folder. */
export function newTokenSecret(): Uint8Array {
  return randomBytes(SECRET_BYTES);
}

/**
 * Reads the secret, after making it where there is none. Of several processes that start at once all get the
 * same one.
 *
 * @throws KeyFileError
 */
export function openTokenSecret(path: string): Uint8Array {
  try {
    return read(path) ?? make(path);
  } catch (error) {
    if (error instanceof KeyFileError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new KeyFileError(`the file of the token secret ${path} cannot be used: ${reason}`);
  }
}

function read(path: string): Uint8Array | null {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
  const secret = Buffer.from(text, "base64url");
  if (secret.byteLength >= SECRET_BYTES && /^[\w-]+$/.test(text)) return secret;
  throw new KeyFileError(
    `the file of the token secret ${path} does not hold one; restore it, or delete it: tokens made before end then`,
  );
}

function make(path: string): Uint8Array {
  const secret = newTokenSecret();
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    const file = openSync(temporary, "wx", 0o600);
    try {
      writeSync(file, `${Buffer.from(secret).toString("base64url")}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    // A link, unlike a rename, refuses when another process was faster.
    linkSync(temporary, path);
  } catch (error) {
    const made = codeOf(error) === "EEXIST" ? read(path) : null;
    if (made === null) throw error;
    return made;
  } finally {
    rmSync(temporary, { force: true });
  }
  return secret;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
