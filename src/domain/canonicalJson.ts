/**
 * JSON in one fixed form, so that the same value has the same hash wherever it is written: RFC 8785. Names are
 * sorted by their UTF-16 code units, nothing is put between tokens, numbers and texts are as ECMAScript writes them.
 * What the standard has no form for stands as ECMAScript writes it too, so that every value has a hash: half of a
 * character as its escape, a number beyond all bounds as null, which is what it becomes on its way through a store.
 */
import type { Json } from "./job.ts";

/** The canonical text of a JSON value. */
export function canonicalJson(value: Json): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  // Texts compare by their UTF-16 code units, as the order of names must.
  const members = Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
  return `{${members.join(",")}}`;
}
