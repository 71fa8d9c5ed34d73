/** The `Range` header of RFC 9110, one range of bytes; several at once are answered with the whole. */

/** From `start` (inclusive) to `end` (exclusive). */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Reads a `Range` header for something of `sizeBytes` bytes.
 *
 * @returns null when the whole is to be sent (no header, other unit, several ranges, nonsense), or
 *   "unsatisfiable" when the range has no byte in it (416)
 */
export function parseByteRange(header: string | null, sizeBytes: number): ByteRange | null | "unsatisfiable" {
  const match = header === null ? null : /^\s*bytes\s*=\s*(\d{0,15})\s*-\s*(\d{0,15})\s*$/i.exec(header);
  if (match === null) return null;
  const [, from = "", to = ""] = match;
  if (from === "" && to === "") return null;
  if (from === "") {
    const length = Math.min(Number(to), sizeBytes);
    return length === 0 ? "unsatisfiable" : { start: sizeBytes - length, end: sizeBytes };
  }
  const start = Number(from);
  if (to !== "" && Number(to) < start) return null;
  if (start >= sizeBytes) return "unsatisfiable";
  return { start, end: to === "" ? sizeBytes : Math.min(Number(to) + 1, sizeBytes) };
}
