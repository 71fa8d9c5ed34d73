/** Amounts of bytes as people write them: `64MiB`, `1GiB`, `512kB`, or bytes. */

const UNIT_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1_000,
  mb: 1_000_000,
  gb: 1_000_000_000,
  tb: 1_000_000_000_000,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
};

/** What to write where a size was not understood. */
export const BYTE_SIZE_FORM = "a size such as 512KiB, 64MiB, 2GiB or a number of bytes";

/** Bytes of `text`, or null when it is no size. */
export function parseByteSize(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const unit = UNIT_BYTES[(match?.[2] ?? "?").toLowerCase()];
  return match === null || unit === undefined ? null : Math.round(Number(match[1]) * unit);
}

/** Bytes with the largest binary unit that keeps the number whole, else with one decimal: `64MiB`, `1.4GiB`. */
export function formatByteSize(bytes: number): string {
  const units = ["TiB", "GiB", "MiB", "KiB"];
  for (const unit of units) {
    const size = UNIT_BYTES[unit.toLowerCase()] ?? 1;
    if (bytes >= size) return `${Number((bytes / size).toFixed(1))}${unit}`;
  }
  return `${bytes}B`;
}
