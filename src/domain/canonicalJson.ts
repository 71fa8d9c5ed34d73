/**
 * JSON in one fixed form, so that the same value has the same hash wherever it is written: RFC 8785. Names are
 * sorted by their UTF-16 code units, nothing is put between tokens, numbers and texts are as ECMAScript writes them. Half
 * of a character, for which the standard has no form, stands as its escape: what came as JSON always has a hash.
 */
import type { Json } from "./job.ts";

/** The value cannot be written: a number that JSON does not have. */
export class CanonicalJsonError extends Error {
  override readonly name = "CanonicalJsonError";
}

/**
 * The canonical text of a JSON value.
 *
 * @throws CanonicalJsonError for numbers that JSON does not have
 */
export function canonicalJson(value: Json): string {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new CanonicalJsonError(`${value} is no number of JSON`);
  }
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  // Texts compare by their UTF-16 code units, as the order of names must.
  const members = Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
  return `{${members.join(",")}}`;
}
