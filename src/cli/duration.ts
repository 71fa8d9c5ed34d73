/** Durations as people write them: `90s`, `1h30m`, `500ms`, or a bare number with a unit of its own. */

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};

/** What to write where a duration was not understood. */
export const DURATION_FORM = "a duration such as 500ms, 90s, 5m, 1h30m or 7d";

/**
 * Milliseconds of `text`, or null when it is no duration. A bare number takes `bareUnit`.
 *
 * @param bareUnit unit of a number without one
 */
export function parseDuration(text: string, bareUnit: "ms" | "s"): number | null {
  const trimmed = text.trim();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Math.round(Number(trimmed) * (UNIT_MS[bareUnit] ?? 1));
  if (!/^(\d+(\.\d+)?(ms|[smhdw])\s*)+$/.test(trimmed)) return null;
  let totalMs = 0;
  for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) {
    totalMs += Number(amount) * (UNIT_MS[unit ?? ""] ?? 0);
  }
  return Math.round(totalMs);
}

/** Milliseconds in a short form that keeps two units: `1h 30m`, `4.2s`, `35ms`. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 60_000) return `${(Math.floor(ms / 100) / 10).toString()}s`;
  const parts: readonly (readonly [string, number])[] = [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1_000],
  ];
  const first = parts.findIndex(([, unitMs]) => ms >= unitMs);
  const shown: string[] = [];
  let left = ms;
  for (const [unit, unitMs] of parts.slice(first, first + 2)) {
    const amount = Math.floor(left / unitMs);
    left -= amount * unitMs;
    if (amount > 0) shown.push(`${amount}${unit}`);
  }
  return shown.join(" ");
}

/** How long ago (or until) a time was: `12s ago`, `in 5m`; `-` for none. */
export function relativeTime(iso: string | null, nowMs: number = Date.now()): string {
  if (iso === null) return "-";
  const deltaMs = nowMs - Date.parse(iso);
  if (Number.isNaN(deltaMs)) return iso;
  if (Math.abs(deltaMs) < 1_000) return "now";
  const [coarse] = formatDuration(Math.floor(Math.abs(deltaMs) / 1_000) * 1_000).split(" ");
  return deltaMs > 0 ? `${coarse} ago` : `in ${coarse}`;
}
