/** Finds names of blobs (SHA-256 in hexadecimal) in any text, wherever they stand. */

/** Runs of digits in which names may be; in longer ones it is looked piece by piece. Also for PostgreSQL, whose bound it is. */
export const DIGITS = "[0-9a-fA-F]{64,255}";

const NAME_LENGTH = 64;
/** A run so long is data: whatever else stands in it, a name stands at one of its ends. */
const MAX_TRIED = 128;

/** The names in a text, in small digits. */
export function blobNamesIn(text: string): string[] {
  return (text.match(new RegExp(DIGITS, "g")) ?? []).flatMap(blobNamesOf);
}

/** All that a run of at least 64 digits may name: what stands before a name may look like a part of it. */
export function blobNamesOf(digits: string): string[] {
  const run = digits.toLowerCase();
  const last = run.length - NAME_LENGTH;
  if (last > MAX_TRIED) return [run.slice(0, NAME_LENGTH), run.slice(last)];
  return Array.from({ length: last + 1 }, (_, at) => run.slice(at, at + NAME_LENGTH));
}
