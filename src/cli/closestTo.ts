/** Finds what a mistyped word was meant to be. */

/** Letters to change, add or leave out to turn `a` into `b` (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** The word nearest to `typed`, or null when none is near. */
export function closestTo(typed: string, words: readonly string[]): string | null {
  let nearest: string | null = null;
  let nearestDistance = Math.max(2, Math.floor(typed.length / 3)) + 1;
  for (const word of words) {
    const away = distance(typed, word);
    if (away < nearestDistance) {
      nearest = word;
      nearestDistance = away;
    }
  }
  return nearest;
}
