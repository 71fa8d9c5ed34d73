/** Where a request carries its key or token. */

/** A longer text is no key; it is not worth a hash. */
const MAX_KEY_LENGTH = 4_096;
/** Tokens of some issuers are long. */
const MAX_TOKEN_LENGTH = 16_384;
/** How every token begins: `{"` in base64. */
const TOKEN_START = "eyJ";

/**
 * The key or token of a request: `X-API-Key`, `Authorization: Bearer`, or the password of HTTP Basic, in this order.
 * Null when there is none that can be read.
 */
export function keyOf(headers: Headers): string | null {
  const key = headers.get("x-api-key") || fromAuthorization(headers.get("authorization"));
  if (key === null || key === "") return null;
  return key.length > (key.startsWith(TOKEN_START) ? MAX_TOKEN_LENGTH : MAX_KEY_LENGTH) ? null : key;
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

/** What to answer a request whose token is not good (RFC 6750). */
export function invalidTokenChallenge(reason: string): string {
  return `Bearer realm="yardmaster", error="invalid_token", error_description="${reason.replaceAll(/[^ !#-[\]-~]/g, "'")}"`;
}

const URL_TOKEN = "access_token=";

/** Says whether a query may hold a token. */
export function hasUrlToken(search: string): boolean {
  return search.includes(URL_TOKEN);
}

/**
 * Takes a token out of a query, so that nothing behind this sees or logs it. Browsers can put no headers on
 * WebSockets and event streams; everywhere else a token has no business in an address.
 *
 * @param search without `?`
 */
export function splitUrlToken(search: string): { readonly search: string; readonly token: string | null } {
  if (!hasUrlToken(search)) return { search, token: null };
  let token: string | null = null;
  const rest = search.split("&").filter((part) => {
    if (!part.startsWith(URL_TOKEN)) return true;
    token ??= part.slice(URL_TOKEN.length);
    return false;
  });
  return { search: rest.join("&"), token: token === "" ? null : token };
}
