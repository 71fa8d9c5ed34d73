/** Where a request carries its key. */

/** A longer text is no key; it is not worth a hash. */
const MAX_KEY_LENGTH = 4_096;

/**
 * The key of a request: `X-API-Key`, `Authorization: Bearer`, or the password of HTTP Basic, in this order.
 * Null when there is none that can be read.
 */
export function keyOf(headers: Headers): string | null {
  const key = headers.get("x-api-key") || fromAuthorization(headers.get("authorization"));
  return key === null || key === "" || key.length > MAX_KEY_LENGTH ? null : key;
}

function fromAuthorization(header: string | null): string | null {
  const match = header === null ? null : /^(bearer|basic) +(\S+) *$/i.exec(header);
  const [, scheme = "", value = ""] = match ?? [];
  if (match === null) return null;
  return scheme.toLowerCase() === "bearer" ? value : passwordOf(value);
}

/** RFC 7617: user and password stand with a colon between them; the user's name cannot hold one. */
function passwordOf(encoded: string): string | null {
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon === -1 ? null : text.slice(colon + 1);
}

/**
 * What to answer a request without a key. Basic is left out where a page's script asks: a browser would put
 * a window of its own before the page.
 */
export function challengeFor(headers: Headers): string {
  const mode = headers.get("sec-fetch-mode");
  const bearer = 'Bearer realm="yardmaster"';
  return mode === null || mode === "navigate"
    ? `${bearer}, Basic realm="yardmaster", charset="UTF-8"`
    : bearer;
}
