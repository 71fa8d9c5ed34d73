/** The signature of an acknowledgement: hex HMAC-SHA256 of the job's id under the node's handshake key. */
import { createHmac, timingSafeEqual } from "node:crypto";

/** Says whether the signature is right, in a time that does not tell how much of it is. */
export function isSignatureOf(signature: string, jobId: string, handshakeKey: string): boolean {
  const expected = createHmac("sha256", handshakeKey).update(jobId).digest();
  const given = /^[0-9a-f]{64}$/i.test(signature)
    ? Buffer.from(signature, "hex")
    : Buffer.alloc(expected.length);
  return timingSafeEqual(expected, given);
}
