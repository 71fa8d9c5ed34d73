/** The signature by which a node acknowledges a job. */

/** Hex HMAC-SHA256 of the job's id under the node's `handshakeKey`. */
export async function acknowledgementSignature(jobId: string, handshakeKey: string): Promise<string> {
  const encoder = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", encoder.encode(handshakeKey), algorithm, false, ["sign"]);
  const bytes = new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(jobId)));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
