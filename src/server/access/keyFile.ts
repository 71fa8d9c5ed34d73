/**
 * The key file, `keys.json` in the data folder: every key that was created, as its SHA-256 with role, name
 * and time. Never a key itself. Only its owner may read it.
 *
 * It is replaced as a whole, so a reader sees the old file or the new one, and two programs that change it at
 * the same time take turns.
 */
import { Database, SQLiteError } from "bun:sqlite";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import type { KeyRole } from "../../dialects/route.ts";
import { digestOf, KEY_ROLES, type KnownKey, newApiKey } from "./apiKey.ts";

/** The key file cannot be used; the message says why, for the operator. */
export class KeyFileError extends Error {
  override readonly name = "KeyFileError";
}

/** One key of the file. */
export interface StoredKey {
  readonly id: string;
  readonly name: string;
  readonly role: KeyRole;
  /** SHA-256 of the key, 64 hexadecimal digits. */
  readonly sha256: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
}

/** How long a change waits for another one of the same file. */
const LOCK_TIMEOUT_MS = 5_000;
export const MAX_KEYS = 10_000;
export const MAX_KEY_NAME_LENGTH = 100;

const storedKey = z.strictObject({
  id: z.string().min(1).max(100),
  name: z.string().max(MAX_KEY_NAME_LENGTH),
  role: z.enum(KEY_ROLES),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, "expected 64 hexadecimal digits in small letters"),
  createdAt: z.iso.datetime(),
});
const keyFile = z.strictObject({ version: z.literal(1), keys: z.array(storedKey).max(MAX_KEYS) });

/** Where the keys of a data folder are. */
export function keyFilePath(dataDir: string): string {
  return join(dataDir, "keys.json");
}

/**
 * All keys of the file; none where there is no file.
 *
 * @throws KeyFileError
 */
export function readKeyFile(path: string): readonly StoredKey[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return [];
    throw new KeyFileError(`the key file ${path} cannot be read: ${reasonOf(error)}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new KeyFileError(
      `the key file ${path} is not valid JSON; restore it, or delete it and create keys anew`,
    );
  }
  const parsed = keyFile.safeParse(value);
  if (parsed.success) return parsed.data.keys;
  const [issue] = parsed.error.issues;
  const place = issue === undefined ? "" : `${issue.path.join(".") || "its whole"}: ${issue.message}`;
  throw new KeyFileError(`the key file ${path} does not have the form of one: ${place}`);
}

/** The file's keys as a server knows them. */
export function knownKeys(stored: readonly StoredKey[]): readonly KnownKey[] {
  return stored.map(({ id, role, sha256 }) => ({
    id,
    role,
    digest: new Uint8Array(Buffer.from(sha256, "hex")),
    isOwn: false,
  }));
}

/**
 * Adds a new key. The key itself is returned here and kept nowhere.
 *
 * @throws KeyFileError
 */
export function createKey(path: string, role: KeyRole, name: string): { key: string; stored: StoredKey } {
  const key = newApiKey();
  const sha256 = Buffer.from(digestOf(key)).toString("hex");
  const createdAt = new Date().toISOString();
  const stored = { id: `key_${randomBytes(6).toString("hex")}`, name, role, sha256, createdAt };
  changeKeyFile(path, (keys) => {
    if (keys.length >= MAX_KEYS) {
      throw new KeyFileError(`the key file ${path} holds ${MAX_KEYS} keys, which is the most; revoke some`);
    }
    return [...keys, stored];
  });
  return { key, stored };
}

/**
 * Takes keys out of the file by their ids: all of them, or none where one is unknown.
 *
 * @returns how many keys are left
 * @throws KeyFileError naming the ids that are unknown
 */
export function revokeKeys(path: string, ids: readonly string[]): number {
  const kept = changeKeyFile(path, (keys) => {
    const unknown = ids.filter((id) => !keys.some((key) => key.id === id));
    if (unknown.length > 0) throw new KeyFileError(`no key in ${path} has the id ${unknown.join(", ")}`);
    return keys.filter((key) => !ids.includes(key.id));
  });
  return kept.length;
}

function changeKeyFile(
  path: string,
  change: (keys: readonly StoredKey[]) => readonly StoredKey[],
): readonly StoredKey[] {
  const lock = lockBeside(path);
  try {
    const keys = change(readKeyFile(path));
    writeWhole(path, `${JSON.stringify({ version: 1, keys }, null, 2)}\n`);
    return keys;
  } finally {
    lock.close();
  }
}

/** An exclusive transaction on a database beside the file: the kernel ends it with the process, however that ends. */
function lockBeside(path: string): Database {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const lock = new Database(join(dirname(path), "keys-lock.db"), { create: true });
    try {
      lock.run(`PRAGMA busy_timeout = ${LOCK_TIMEOUT_MS}`);
      lock.run("PRAGMA journal_mode = MEMORY");
      lock.run("BEGIN EXCLUSIVE");
      return lock;
    } catch (error) {
      lock.close();
      throw error;
    }
  } catch (error) {
    const isBusy = error instanceof SQLiteError && error.code?.startsWith("SQLITE_BUSY") === true;
    const reason = isBusy ? "another program is changing it" : reasonOf(error);
    throw new KeyFileError(`the key file ${path} cannot be changed: ${reason}`);
  }
}

function writeWhole(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    rmSync(temporary, { force: true });
    const file = openSync(temporary, "wx", 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    // Without this a power cut could bring a revoked key back.
    const folder = openSync(dirname(path), "r");
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new KeyFileError(`the key file ${path} cannot be written: ${reasonOf(error)}`);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
