/** The keys that a server knows, to be found by the text that a request carries. */
import { timingSafeEqual } from "node:crypto";
import { bindingOf, digestOf, type KnownKey } from "./apiKey.ts";

/**
 * Keys by the first four bytes of their digest. What is found there is compared in constant time, so the time
 * of an answer tells nothing about the rest of a digest, let alone about a key.
 */
export class KeyRing {
  readonly #byStart = new Map<number, KnownKey[]>();
  readonly #byBinding = new Map<string, KnownKey>();
  readonly size: number;

  constructor(keys: readonly KnownKey[]) {
    this.size = keys.length;
    for (const key of keys) {
      this.#byBinding.set(bindingOf(key.digest), key);
      const start = startOf(key.digest);
      const same = this.#byStart.get(start);
      if (same === undefined) this.#byStart.set(start, [key]);
      else same.push(key);
    }
  }

  /** Null when no key is that text. */
  find(text: string): KnownKey | null {
    const digest = digestOf(text);
    for (const key of this.#byStart.get(startOf(digest)) ?? []) {
      if (timingSafeEqual(key.digest, digest)) return key;
    }
    return null;
  }

  /** The key that tokens name in that way; null when there is none. */
  findBound(binding: string): KnownKey | null {
    return this.#byBinding.get(binding) ?? null;
  }
}

function startOf(digest: Uint8Array): number {
  return new DataView(digest.buffer, digest.byteOffset).getUint32(0);
}
