/** What the last key counted, so that keys of the same millisecond are in order too. */
let lastMs = 0;
let count = 0;

/**
 * A fresh key for one submission: the time in milliseconds (12 hexadecimal digits), a count within it (4) and
 * 64 random bits (16). Keys that grow let the server's index take them at its end: with random keys each
 * submission writes a page of its own. `randomUUID` is missing on pages served without TLS.
 */
export function idempotencyKey(): string {
  const now = Date.now();
  count = now === lastMs ? (count + 1) & 0xffff : 0;
  lastMs = now;
  let key = now.toString(16).padStart(12, "0") + count.toString(16).padStart(4, "0");
  for (const byte of crypto.getRandomValues(new Uint8Array(8))) key += byte.toString(16).padStart(2, "0");
  return key;
}
