/**
 * Provenance: what a job's result was made of, by whom, in records that nobody can change unseen.
 *
 * A record names the hash of the job's record before it (`previous`) and carries the Ed25519 signature of the node
 * that wrote it over everything else in it. So a record cannot be changed, and none can be taken out from between
 * two others, without its followers telling.
 *
 * ```ts
 * const signed = await signRecord({ ...record, previous: await recordHash(before) }, await readNodeKey(text));
 * await hasValidSignature(signed, signed.publicKey); // true
 * ```
 */
import { canonicalJson } from "./canonicalJson.ts";
import type { JsonObject } from "./job.ts";

/** Kind under which provenance is kept among a job's records. */
export const PROVENANCE = "provenance";

/** What a signature is made over begins with this, so that it can stand for nothing else. */
const SIGNING_CONTEXT = "yardmaster provenance v1\n";
const ALGORITHM = "Ed25519";

const encoder = new TextEncoder();

/** The key pair by which a node signs. */
export interface NodeKey {
  readonly privateKey: CryptoKey;
  /** The 32 bytes of the public key, in base64. */
  readonly publicKey: string;
}

/** Makes a key pair. */
export async function makeNodeKey(): Promise<NodeKey> {
  const { privateKey, publicKey } = await crypto.subtle.generateKey({ name: ALGORITHM }, true, [
    "sign",
    "verify",
  ]);
  return { privateKey, publicKey: base64(await crypto.subtle.exportKey("raw", publicKey)) };
}

/** A key pair as text, to be kept where nobody else reads: the private key as PKCS #8 in PEM. */
export async function nodeKeyText({ privateKey, publicKey }: NodeKey): Promise<string> {
  const body = base64(await crypto.subtle.exportKey("pkcs8", privateKey));
  const lines = body.match(/.{1,64}/g) ?? [];
  return ["-----BEGIN PRIVATE KEY-----", ...lines, "-----END PRIVATE KEY-----", publicKey, ""].join("\n");
}

/**
 * Reads what `nodeKeyText` wrote.
 *
 * @throws Error when the text is no such key
 */
export async function readNodeKey(text: string): Promise<NodeKey> {
  const [, body, publicKey] =
    /^-----BEGIN PRIVATE KEY-----\n([A-Za-z0-9+/=\n]+)\n-----END PRIVATE KEY-----\n([A-Za-z0-9+/=]{44})\s*$/.exec(
      text,
    ) ?? [];
  if (body === undefined || publicKey === undefined) throw new Error("not a node's key");
  const der = bytesOf(body.replaceAll("\n", ""));
  if (der === null) throw new Error("not a node's key");
  const privateKey = await crypto.subtle.importKey("pkcs8", der, { name: ALGORITHM }, false, ["sign"]);
  const key = { privateKey, publicKey };
  const probe = await signRecord({}, key);
  if (!(await hasValidSignature(probe, publicKey)))
    throw new Error("the two halves of the key do not belong together");
  return key;
}

/** SHA-256 of a record's canonical form, signature included, as 64 hexadecimal digits: what the next one calls `previous`. */
export async function recordHash(record: JsonObject): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", encoder.encode(canonicalJson(record)));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The record with the node's public key and its signature. */
export async function signRecord(record: JsonObject, key: NodeKey): Promise<JsonObject> {
  const unsigned = { ...record, publicKey: key.publicKey };
  const signature = await crypto.subtle.sign({ name: ALGORITHM }, key.privateKey, signingInput(unsigned));
  return { ...unsigned, signature: base64(signature) };
}

/** Says whether the record's signature is that of the key (32 bytes in base64). */
export async function hasValidSignature(record: JsonObject, publicKey: string): Promise<boolean> {
  const { signature, ...unsigned } = record;
  const raw = bytesOf(publicKey);
  const bytes = typeof signature === "string" ? bytesOf(signature) : null;
  if (raw?.length !== 32 || bytes?.length !== 64) return false;
  const key = await crypto.subtle.importKey("raw", raw, { name: ALGORITHM }, false, ["verify"]);
  return crypto.subtle.verify({ name: ALGORITHM }, key, bytes, signingInput(unsigned));
}

/** A short name of a public key, for people: the beginning of its SHA-256. */
export async function keyName(publicKey: string): Promise<string> {
  const raw = bytesOf(publicKey) ?? new Uint8Array(0);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", raw));
  return Array.from(digest.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function signingInput(unsigned: JsonObject): Uint8Array<ArrayBuffer> {
  return encoder.encode(SIGNING_CONTEXT + canonicalJson(unsigned));
}

function base64(bytes: ArrayBuffer): string {
  return btoa(String.fromCharCode(...new Uint8Array(bytes)));
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}
