/**
 * JSON in one fixed form, so that the same value has the same hash wherever it is written: RFC 8785. Names are
 * sorted by their UTF-16 code units, nothing is put between tokens, numbers and texts are as ECMAScript writes them.
 */
import type { Json } from "./job.ts";

/** The value cannot be written: a number that JSON does not have, or half of a character. */
export class CanonicalJsonError extends Error {
  override readonly name = "CanonicalJsonError";
}

/**
 * The canonical text of a JSON value.
 *
 * @throws CanonicalJsonError for what RFC 8785 has no form for
 */
export function canonicalJson(value: Json): string {
  if (typeof value === "string") return textOf(value);
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new CanonicalJsonError(`${value} is no number of JSON`);
  }
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  // Texts compare by their UTF-16 code units, as the order of names must.
  const members = Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${textOf(name)}:${canonicalJson(member)}`);
  return `{${members.join(",")}}`;
}

function textOf(text: string): string {
  if (!text.isWellFormed()) throw new CanonicalJsonError("a text has a lone surrogate");
  return JSON.stringify(text);
}
