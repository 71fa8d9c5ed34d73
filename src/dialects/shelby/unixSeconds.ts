/** A time as ShelbyCompute writes it: whole seconds since 1970. */
export function unixSeconds(ms: number): number {
  return Math.floor(ms / 1_000);
}
