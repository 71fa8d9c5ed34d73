/** Times as WhatsNext writes them. */

let lastMs = Number.NaN;
let lastText = "";

/**
 * Milliseconds as `2024-01-15T10:30:00.123000+00:00`: six digits and a numeric offset, because the oldest
 * Python that existing clients run on reads neither three digits nor `Z`.
 */
export function timestamp(ms: number): string {
  if (ms !== lastMs) {
    lastText = `${new Date(ms).toISOString().slice(0, -1)}000+00:00`;
    lastMs = ms;
  }
  return lastText;
}
