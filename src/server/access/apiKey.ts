/** What an API key is: a text that its holder keeps, of which the server keeps only the SHA-256. */
import { randomBytes } from "node:crypto";
import type { KeyRole } from "../../dialects/route.ts";

export const KEY_ROLES = ["read", "submit", "work", "admin"] as const satisfies readonly KeyRole[];

/** A key as the server knows it. */
export interface KnownKey {
  /** Names the key where the key itself must not appear. */
  readonly id: string;
  readonly role: KeyRole;
  /** SHA-256 of the key's UTF-8 text, 32 bytes. */
  readonly digest: Uint8Array;
  /** Made by the server for its own processes: no limit applies to it. */
  readonly isOwn: boolean;
}

/** A key as an operator writes it into the settings. */
export interface ConfiguredKey {
  readonly role: KeyRole;
  readonly key: string;
}

const KEY_BYTES = 32;
/** Says what it is where somebody finds one, and lets scanners for leaked secrets find it. */
const PREFIX = "ymk_";

/** A new key with 256 random bits: nobody guesses it, and no slow hash is needed to keep it. */
export function newApiKey(): string {
  return PREFIX + randomBytes(KEY_BYTES).toString("base64url");
}

/** SHA-256 of a key. */
export function digestOf(key: string): Uint8Array {
  const digest = new Uint8Array(32);
  Bun.SHA256.hash(key, digest);
  return digest;
}

/**
 * What a token names its key by: it tells nothing of the key, and stays the same as long as the key does,
 * also where keys of the settings change places.
 */
export function bindingOf(digest: Uint8Array): string {
  return new Bun.CryptoHasher("sha256")
    .update("yardmaster token\0")
    .update(digest)
    .digest("base64url")
    .slice(0, 22);
}
