/** Turns the messages of a job's log into its lines, each once, also where a lost connection brought a new snapshot. */
import type { LiveMessage, LogLine } from "./wire.ts";

/** Lines that a snapshot holds at most. */
const SNAPSHOT_LINES = 1_000;

export class LogFollower {
  /** The last lines that were given. */
  #given: LogLine[] = [];
  #status: string | null = null;

  /** The job's status once its log has ended; null before. */
  get status(): string | null {
    return this.#status;
  }

  /** The lines that a message brings. */
  take({ type, data }: LiveMessage): readonly LogLine[] {
    const content: { logs?: unknown; status?: unknown } =
      typeof data === "object" && data !== null ? data : {};
    if (type === "end") this.#status = typeof content.status === "string" ? content.status : "unknown";
    if (type === "log") return isLine(data) ? this.#give([data]) : [];
    if (type !== "snapshot" || !Array.isArray(content.logs)) return [];
    const lines = content.logs.filter(isLine);
    return this.#give(lines.slice(overlap(this.#given, lines)));
  }

  #give(lines: readonly LogLine[]): readonly LogLine[] {
    this.#given = [...this.#given, ...lines].slice(-SNAPSHOT_LINES);
    return lines;
  }
}

/** How many of the first lines of `next` are the last ones of `given`. */
function overlap(given: readonly LogLine[], next: readonly LogLine[]): number {
  for (let length = Math.min(given.length, next.length); length > 0; length--) {
    const from = given.length - length;
    let at = 0;
    while (at < length && isSame(given[from + at], next[at])) at++;
    if (at === length) return length;
  }
  return 0;
}

function isSame(a: LogLine | undefined, b: LogLine | undefined): boolean {
  return a?.line === b?.line && a?.timestamp === b?.timestamp;
}

function isLine(value: unknown): value is LogLine {
  if (typeof value !== "object" || value === null || !("line" in value) || !("timestamp" in value))
    return false;
  return typeof value.line === "string" && typeof value.timestamp === "number";
}
